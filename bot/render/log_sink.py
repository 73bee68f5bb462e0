"""Shows the log on a terminal whose last rows are being redrawn by a view."""

from __future__ import annotations

import asyncio
import io
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from bot.render.view import View


class LogSink(io.TextIOBase):
    """A text stream onto `out` that first clears the rows which `view`, if there is one, keeps redrawing.

    It may be written to from any thread, and has to be made in the event loop.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._loop = asyncio.get_running_loop()
        self.view: View | None = None

    def write(self, text: str) -> int:
        """Write the text, in the event loop."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._write(text)
        else:
            with suppress(RuntimeError):  # the loop is closed: the program is leaving
                self._loop.call_soon_threadsafe(self._write, text)
        return len(text)

    def _write(self, text: str) -> None:
        if self.view is not None:
            self.view.clear_live_rows()
        with suppress(OSError, ValueError):  # its reader has gone
            self._out.write(text)
            self._out.flush()
