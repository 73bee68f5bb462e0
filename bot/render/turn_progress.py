"""What is shown of a turn up to the reply's first word, and the way of it without anything redrawn.

`bot.render.progress` redraws in place; `PlainProgress` prints a line when a round is over, for screen
readers and terminals that cannot redraw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.events import Compared, RoundFinished
from bot.render.comparison import comparison_summary
from bot.render.live import plain_signs, write_text
from bot.render.sources import source_text
from bot.render.turn_text import round_summary, stopped
from bot.text.numbers import duration

if TYPE_CHECKING:
    from rich.console import Console

    from bot.events import Event
    from bot.tool_use import ToolSource

MARGIN = "  "
"""What stands left of everything that is not the reply."""


class TurnProgress:
    """Shows a turn up to the reply's first word."""

    def handle_event(self, event: Event) -> None:
        """Show what the event says."""

    def refresh(self) -> None:
        """Redraw times and rates."""

    def print_line(self, text: str, look: str = "dim") -> None:
        """Print a line that stays."""

    def print_source(self, number: int, source: ToolSource) -> None:
        """Print a source of the reply."""
        self.print_line(source_text(number, source))

    def clear_live_rows(self) -> None:
        """Take what can still change off the screen; the next redraw brings it back."""

    def hold_lines(self) -> None:
        """Print no line before `release_lines`, where that can be done."""

    def release_lines(self) -> None:
        """Print the lines that were held back."""

    @property
    def tallest(self) -> int:
        """How many rows the live rows had at most."""
        return 0

    def handle_resize(self) -> None:
        """Take what can still change off the screen while the window is being resized."""

    def close(self) -> None:
        """Take off the screen what is not meant to stay."""


class PlainProgress(TurnProgress):
    """Prints a line for each round and comparison that is over, and one for each model that failed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def handle_event(self, event: Event) -> None:
        """Print a round that is over."""
        if isinstance(event, Compared) or (isinstance(event, RoundFinished) and not stopped(event)):
            summary, failures = summary_of(event)
            for line in (summary, *failures):
                self.print_line(line)

    def print_line(self, text: str, look: str = "dim") -> None:  # noqa: ARG002 - plain means without looks
        """Print a line."""
        write_text(self._console.file, plain_signs(MARGIN + text, self._console.encoding) + "\n")


def summary_of(event: RoundFinished | Compared) -> tuple[str, list[str]]:
    """Return a line about a round or a comparison that is over, and one for each model that failed in it."""
    if isinstance(event, RoundFinished):
        return round_summary(event)
    return f"compared   {comparison_summary(event.analysis)}   {duration(event.seconds)}", []
