"""A draft on a terminal: it streams as a reply does, and is taken off the screen for what replaces it.

  draft · GLM-5.3

…its words, as Markdown…

What was printed can be taken back only while all of it is on the screen, nothing else was printed below
it, and the window has the size that it had. Otherwise the draft stays, and a rule is drawn below it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bot.render.live import LiveRows
from bot.render.markdown import MarkdownStream
from bot.render.styles import style

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_REVISED = "revised"


class DraftOnScreen:
    """Writes a draft under a line that calls it one.

    `disturbed` is to be set when something else was printed since it began.
    """

    def __init__(self, console: Console, title: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._size = console.size
        self._rows = LiveRows(console, clock)
        self._stream = MarkdownStream(console, clock=clock)
        self.disturbed = False
        self.closed = False
        self._rows.draw([self._rows.ansi([(f"  {title}", style("dim"))]), ""], [""])

    def feed(self, text: str) -> None:
        """Write the next piece."""
        self._stream.feed(text)

    def refresh(self) -> None:
        """Redraw what was left out when the last piece came too soon after another."""
        if not self.closed:
            self._stream.refresh()

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen: others write there."""
        self.disturbed = True
        if not self.closed:
            self._stream.clear_live_rows()

    def handle_resize(self) -> None:
        """Take what can still change off the screen until the window's size has settled."""
        self.disturbed = True
        if not self.closed:
            self._stream.handle_resize()

    def close(self, *, partial: bool = False) -> None:
        """Print the rest, and a blank row; may be called more than once."""
        if not self.closed:
            self.closed = True
            self._stream.close(partial=partial)
            self._rows.draw([""], [""])

    def replace(self, rows_below: int) -> None:
        """Take the draft off the screen, or draw a rule below it where that cannot be done.

        `rows_below` is how many rows the highest of the live views below it had: they have moved it up.
        """
        self.close()
        rows = self._rows.printed + self._stream.printed
        whole = self._console.size == self._size and rows + rows_below < self._console.height
        if whole and not self.disturbed:
            self._rows.erase_above(rows)
            return
        dashes = "─" * max(self._console.width - len(_REVISED) - 8, 2)
        self._rows.draw([self._rows.ansi([(f"  ── {_REVISED} {dashes}", style("dim"))])], [""])
