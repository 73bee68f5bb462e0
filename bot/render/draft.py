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
from bot.render.styles import style

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bot.render.turn_progress import TurnProgress

_REVISED = "revised"


class DraftOnScreen:
    """Writes a draft under a line that calls it one.

    `disturbed` is to be set when something else was printed since it began.
    """

    def __init__(self, console: Console, title: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        from bot.render.markdown import MarkdownStream

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


class Drafts:
    """The drafts of a turn on the screen, one at a time, each in the place of the one before it.

    While a draft is written, the lines that `progress` is to print below it are held back. `title` is that
    of the next draft.
    """

    def __init__(self, out: Console, progress: TurnProgress, clock: Callable[[], float]) -> None:
        self._out = out
        self._progress = progress
        self._clock = clock
        self._draft: DraftOnScreen | None = None
        self.title = ""

    @property
    def on_screen(self) -> bool:
        """Whether a draft is on the screen, whole or not."""
        return self._draft is not None

    @property
    def writing(self) -> bool:
        """Whether a draft is being written."""
        return self._draft is not None and not self._draft.closed

    def feed(self, text: str) -> None:
        """Write the next piece of a draft."""
        if self._draft is None or self._draft.closed:
            self.replace()
            self._progress.close()
            self._draft = DraftOnScreen(self._out, self.title, clock=self._clock)
            self._progress.hold_lines()
        self._draft.feed(text)

    def end(self) -> None:
        """End the draft: it is whole."""
        if self._draft is not None:
            self._draft.close()

    def print_below(self) -> None:
        """Print the lines that were held back; others are printed below them, so that the draft stays."""
        if self._draft is not None:
            self._draft.disturbed = True
            self._progress.release_lines()

    def replace(self) -> None:
        """Make room for what replaces the draft."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self._progress.clear_live_rows()
            draft.replace(self._progress.tallest)
            self._progress.release_lines()

    def keep(self, *, partial: bool) -> None:
        """Let the draft stay, and print what was held back below it."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.close(partial=partial)
            self._progress.release_lines()

    def refresh(self) -> None:
        """Redraw what was left out when the last piece came too soon after another."""
        if self._draft is not None:
            self._draft.refresh()

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen: others write there."""
        if self._draft is not None:
            self._draft.clear_live_rows()

    def handle_resize(self) -> None:
        """Take what can still change off the screen until the window's size has settled."""
        if self._draft is not None:
            self._draft.handle_resize()
