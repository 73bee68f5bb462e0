"""The log: one line per call in a rotating file, and on stderr with --verbose.

Lines hold models, rounds, seconds, tokens and reasons; never prompts, answers or keys. loguru
takes 50 ms to import, so it is loaded in a thread while the models think. A log that cannot be
written never stops the program.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bot.events import CallFinished, CallRetrying, Event, Notice, TurnFinished

if TYPE_CHECKING:
    from loguru import Logger

ROTATE_AT = "5 MB"
KEEP_FILES = 3


class Log:
    """Writes what happens, once `start` has loaded the writer. `file` None means no file."""

    def __init__(self, file: Path | None, verbose: TextIO | None = None) -> None:
        self._file, self._verbose = file, verbose
        self._loader: threading.Thread | None = None
        self._logger: Logger | None = None
        self._sinks: list[int] = []
        self._shown: int | None = None

    def start(self) -> None:
        """Load the writer in the background; returns at once."""
        if self._loader is None:
            self._loader = threading.Thread(target=self._load, daemon=True)
            self._loader.start()

    def event(self, event: Event) -> None:
        """Write the line that this event is worth, if it is worth one."""
        line = describe(event)
        if line:
            self.line(line)

    def line(self, text: str) -> None:
        """Write a line."""
        self.start()
        if self._loader is not None:
            self._loader.join()
        if self._logger is not None:
            with suppress(OSError, ValueError):  # a full disk, a closed stderr
                self._logger.log("INFO", text)

    def show(self, stream: TextIO | None) -> None:
        """Write to this stream as well from now on; None ends that."""
        self.start()
        if self._loader is not None:
            self._loader.join()
        if self._shown is not None and self._logger is not None:
            with suppress(ValueError):
                self._logger.remove(self._shown)
            self._sinks.remove(self._shown)
            self._shown = None
        if stream is not None:
            self._add_stream(stream)

    def close(self) -> None:
        """Write out and close the file."""
        if self._loader is not None:
            self._loader.join()
        for sink in self._sinks:
            with suppress(OSError, ValueError):
                if self._logger is not None:
                    self._logger.remove(sink)
        self._sinks.clear()
        self._logger = None

    def _load(self) -> None:
        from loguru import logger

        form = "{time:YYYY-MM-DD HH:mm:ss.SSS} {process} {message}"
        with suppress(ValueError):
            logger.remove(0)  # loguru's own handler, which writes to stderr
        if self._file is not None:
            # Another process may rotate the same file, a folder may be read-only: no log, then.
            with suppress(OSError, ValueError):
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._sinks.append(
                    logger.add(
                        self._file,
                        format=form,
                        rotation=ROTATE_AT,
                        retention=KEEP_FILES,
                        encoding="utf-8",
                        errors="replace",
                        catch=False,
                        backtrace=False,
                        diagnose=False,
                        opener=_private,
                    )
                )
        self._logger = logger
        if self._verbose is not None:
            self._add_stream(self._verbose)

    def _add_stream(self, stream: TextIO) -> None:
        if self._logger is not None:
            self._shown = self._logger.add(stream, format="moa-bot: {message}", catch=False, diagnose=False)
            self._sinks.append(self._shown)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def describe(event: Event) -> str:
    """Return the log's line for an event, "" for none: facts about the call, nothing that was said."""
    match event:
        case CallFinished(call):
            seat, completion, failure = call.seat, call.completion, call.failure
            parts = [f"round {seat.round}", seat.role, seat.agent.endpoint, seat.agent.model]
            if failure:
                parts.append(
                    f"failed: {failure.kind}: {failure.message}"
                    if failure.message
                    else f"failed: {failure.kind}"
                )
            elif completion and completion.partial:
                parts.append(f"partial: {completion.partial}")
            else:
                parts.append("done")
            if completion:
                usage = completion.usage
                parts.append(f"{completion.seconds:.2f} s")
                parts.append(f"{_known(usage.prompt_tokens)} + {_known(usage.completion_tokens)} tokens")
            return " | ".join(parts)
        case CallRetrying(seat, failure, attempt, wait):
            where = f"round {seat.round} | {seat.role} | {seat.agent.model}"
            return f"{where} | again after try {attempt} in {wait:.1f} s: {failure.kind}"
        case Notice(text):
            return f"notice | {text}"
        case TurnFinished(result):
            return f"turn {result.status} | {result.model} | {result.seconds:.2f} s"
        case _:
            return ""


def _known(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)
