"""The program's three streams, and whether each is a terminal.

They are passed as one object, so that tests can pass others. Input is read from the descriptor in a
daemon thread: a read that blocks must not keep Ctrl-C or the end of the program waiting.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Streams:
    """Standard input (its descriptor, None when closed), output and error."""

    stdin: int | None
    stdout: TextIO
    stderr: TextIO
    stdin_is_terminal: bool
    stdout_is_terminal: bool
    stderr_is_terminal: bool

    @classmethod
    def of_process(cls) -> Streams:
        """Return this process's streams; text goes out as UTF-8, whatever the locale says."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and hasattr(stream, "reconfigure"):
                with suppress(ValueError, OSError):
                    stream.reconfigure(encoding="utf-8", errors="replace")
        out, err = _or_nowhere(sys.stdout), _or_nowhere(sys.stderr)
        stdin = _descriptor()
        return cls(stdin, out, err, _terminal(stdin), out.isatty(), err.isatty())

    def say(self, text: str) -> None:
        """Write one line to stderr; a stderr that is gone is no reason to stop."""
        with suppress(OSError, ValueError):
            print(text, file=self.stderr, flush=True)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield what comes on standard input, as it comes, until its end."""
        if self.stdin is None:
            return
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes] = asyncio.Queue()

        def pump(descriptor: int) -> None:
            chunk = b"-"
            while chunk:
                try:
                    chunk = os.read(descriptor, CHUNK)
                except OSError:
                    chunk = b""
                with suppress(RuntimeError):  # the loop is closed: nobody reads on
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        threading.Thread(target=pump, args=(self.stdin,), daemon=True).start()
        while chunk := await chunks.get():
            yield chunk


def _or_nowhere(stream: TextIO | None) -> TextIO:
    """Return the stream; where it is closed (`>&-`), what is written goes nowhere."""
    return open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: PTH123 - lives as long as the process


def _descriptor() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor


def _terminal(descriptor: int | None) -> bool:
    return descriptor is not None and os.isatty(descriptor)
