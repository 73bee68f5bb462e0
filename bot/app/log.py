"""The log: one line per call in a rotating file, and on stderr with --verbose.

Lines have models, rounds, seconds, tokens and kinds of failure; never prompts, answers or keys, and so
no message of a service, which may quote the prompt. loguru takes 50 ms to import, so it is imported in
a thread while the models think. A log that cannot be written does not stop the program.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bot.errors import Failure, FailureKind
from bot.events import CallFinished, CallRetrying, Event, Notice, ToolFinished, TurnFinished
from bot.text.numbers import duration, plural
from bot.text.sanitise import one_line
from bot.turn_result import Slot

if TYPE_CHECKING:
    from loguru import Logger

ROTATE_AT = "5 MB"
KEEP_FILES = 3

_LONGEST_TOOL = 64
_OWN_MESSAGES = frozenset(
    {
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.CUT,
        FailureKind.ENDLESS,
        FailureKind.EMPTY,
        FailureKind.OUT_OF_TOKENS,
        FailureKind.WORKER,
        FailureKind.CANCELLED,
        FailureKind.TOO_SLOW,
    }
)
"""Kinds of failure whose message is ours, not a service's."""


class LogOutput(Protocol):
    """Where the log can be shown: a stream, or a `LogSink` above what a view redraws."""

    def write(self, text: str, /) -> object:
        """Write a line."""


class Log:
    """Writes lines once `start` has imported loguru, and keeps them until then. `file` None: no file."""

    def __init__(self, file: Path | None, verbose: LogOutput | None = None) -> None:
        self._file, self._verbose = file, verbose
        self._loader: threading.Thread | None = None
        self._logger: Logger | None = None
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._sinks: list[int] = []
        self._shown: int | None = None

    def start(self) -> None:
        """Import loguru in the background; returns at once."""
        if self._loader is None:
            self._loader = threading.Thread(target=self._load, daemon=True)
            self._loader.start()

    def log_event(self, event: Event) -> None:
        """Write the line of this event, if it has one."""
        if line := log_line(event):
            self.write_line(line)

    def write_line(self, text: str) -> None:
        """Write a line, or keep it until loguru is imported."""
        self.start()
        with self._lock:
            if self._logger is None:
                self._waiting.append(text)
            else:
                self._write(self._logger, text)

    def show_on(self, output: LogOutput | None) -> None:
        """Also write to `output` from now on; with None, only to the file."""
        self._wait_until_loaded()
        if self._shown is not None and self._logger is not None:
            with suppress(ValueError):
                self._logger.remove(self._shown)
            self._sinks.remove(self._shown)
            self._shown = None
        if output is not None and self._logger is not None:
            self._add_output(self._logger, output)

    def close(self) -> None:
        """Write the waiting lines and close the file."""
        if self._loader is None:
            return
        self._wait_until_loaded()
        logger, self._logger = self._logger, None
        for sink in self._sinks:
            with suppress(OSError, ValueError):
                if logger is not None:
                    logger.remove(sink)
        self._sinks.clear()

    def _wait_until_loaded(self) -> None:
        self.start()
        if self._loader is not None:
            self._loader.join()

    def _load(self) -> None:
        from loguru import logger  # noqa: PLC0415 - takes 50 ms, and is imported in a thread

        with suppress(ValueError):
            logger.remove(0)  # loguru's own handler, which writes to stderr
        if self._file is not None:
            # No log if another process rotates the same file, or the folder is read-only.
            with suppress(OSError, ValueError):
                self._add_file(logger, self._file)
        if self._verbose is not None:
            self._add_output(logger, self._verbose)
        with self._lock:
            for line in self._waiting:
                self._write(logger, line)
            self._waiting.clear()
            self._logger = logger

    def _add_file(self, logger: Logger, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sinks.append(
            logger.add(
                file,
                format="{time:YYYY-MM-DD HH:mm:ss.SSS} {process} {message}",
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

    def _add_output(self, logger: Logger, output: LogOutput) -> None:
        def write(line: str) -> None:
            output.write(line)

        self._shown = logger.add(write, format="moa-bot: {message}", catch=False, diagnose=False)
        self._sinks.append(self._shown)

    @staticmethod
    def _write(logger: Logger, text: str) -> None:
        with suppress(OSError, ValueError):  # a full disk, a closed stderr
            logger.log("INFO", text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def log_line(event: Event) -> str:
    """Return the line of an event, "" if it has none: facts about the call, no text of a model."""
    match event:
        case CallFinished(call):
            slot, completion, failure = call.slot, call.completion, call.failure
            parts = [_where(slot), slot.agent.endpoint, slot.agent.model]
            if failure:
                parts.append(f"failed: {_failure(failure)}")
            elif completion and completion.partial:
                parts.append(f"partial: {completion.truncation_kind or completion.partial}")
            else:
                parts.append("done")
            if completion:
                usage = completion.usage
                parts.append(duration(completion.seconds))
                parts.append(f"{_known(usage.prompt_tokens)} + {_known(usage.completion_tokens)} tokens")
            return " | ".join(parts)
        case ToolFinished(slot, _, run):
            # Its error may quote a page, its arguments are a model's.
            end = "failed" if run.error else f"{run.bytes} bytes, {plural(len(run.sources), 'source')}"
            tool = f"tool {one_line(run.name)[:_LONGEST_TOOL]}"
            return " | ".join([_where(slot), slot.agent.model, tool, duration(run.seconds), end])
        case CallRetrying(slot, failure, attempt, wait):
            where = f"{_where(slot)} | {slot.agent.model}"
            return f"{where} | again after try {attempt} in {duration(wait)}: {_failure(failure)}"
        case Notice(text):
            # After a colon there may be a service's message.
            return f"notice | {text.partition(': ')[0]}"
        case TurnFinished(result):
            return f"turn {result.status} | {result.model} | {duration(result.seconds)}"
        case _:
            return ""


def _where(slot: Slot) -> str:
    # The others' place is after the last round.
    return f"round {slot.round} | {slot.role}" if slot.role == "reference" else slot.role


def _failure(failure: Failure) -> str:
    if failure.kind in _OWN_MESSAGES and failure.message:
        return f"{failure.kind}: {failure.message}"
    return f"{failure.kind}: HTTP {failure.status}" if failure.status else str(failure.kind)


def _known(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)
