"""What every view of a turn can do. The views themselves are in `terminal_view` and `reply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.events import Event


class View:
    """Shows one turn. Views inherit from it what they need not do."""

    def handle_event(self, event: Event) -> None:
        """Show what the event says."""

    def refresh(self) -> None:
        """Redraw times and rates; to be called a few times a second."""

    def toggle_answers(self) -> None:
        """Show the reference models' answers as they come, or stop doing so."""

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen, so that others may write there.

        The next `refresh` draws it again.
        """

    def handle_resize(self) -> None:
        """Take what can still change off the screen until the window's size has settled."""

    def close(self) -> None:
        """Leave the terminal in order, however the turn ended. May be called more than once."""


class ReplyWriter:
    """Writes one reply as it arrives. Writers inherit from it what they need not do."""

    def feed(self, text: str) -> None:
        """Write the next piece."""

    def refresh(self) -> None:
        """Redraw what was left out when the last piece came too soon after another."""

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen; the next `refresh` draws it again."""

    def handle_resize(self) -> None:
        """Take what can still change off the screen until the window's size has settled."""

    def close(self, *, partial: bool = False) -> None:
        """Write what was held back and end the last line; `partial` says that the reply was cut."""
