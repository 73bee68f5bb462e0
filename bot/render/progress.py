"""The rows of the models while they answer, redrawn in place, and replaced by one line when a round is over.

There are no threads and no timers here: the owner passes on events and calls `refresh`, and nothing is
written while nothing has changed.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    CallQueued,
    CallRetrying,
    CallStarted,
    Compared,
    ComparisonDelta,
    DraftDelta,
    JudgeStarted,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    ToolFinished,
    ToolStarted,
)
from bot.render.comparison import newest_items
from bot.render.live import LiveRows, widest_row
from bot.render.progress_row import ProgressRow, RowPainter, tool_lines
from bot.render.sources import source_row
from bot.render.turn_progress import MARGIN, TurnProgress, summary_of
from bot.render.turn_text import round_title, stopped
from bot.text.names import short_name, slot_names
from bot.text.numbers import duration, plural
from bot.text.tool_calls import short_call
from bot.turn_result import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bot.events import Event
    from bot.tool_use import ToolSource
    from bot.turn_result import Slot

INTERVAL = 0.1
"""Seconds between two redraws at least."""

_SECONDS = 8  # cells, at least
_SHORTEST_NAME = 8  # cells
_FOUND = 12
"""Lines of what the judge has found that are shown while it works."""


class LiveProgress(TurnProgress):
    """The live view of one turn's rounds on a terminal that can redraw.

    With `keep`, each round leaves its summary behind; without, only what went wrong stays.
    """

    def __init__(
        self, console: Console, *, keep: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._keep = keep
        self._clock = clock
        self._live = LiveRows(console, clock)
        self._painter = RowPainter(console, self._live)
        self._next = float("-inf")
        self._rows: dict[tuple[int, int], ProgressRow] = {}
        self._title = ""
        self._since = 0.0
        self._aggregator = ""
        self._summaries: list[str] = []
        self._found: list[str] = []
        """What the judge has found so far, a line each."""
        self._held: list[str] | None = None
        self._draft: Slot | None = None
        self._reviewed = False

    def handle_event(self, event: Event) -> None:  # noqa: C901 - one case per event
        """Show what the event says; after the reply's first word there is nothing to show."""
        now = self._clock()
        match event:
            case RoundStarted(number, rounds, slots):
                names = slot_names([slot.agent for slot in slots])
                self._rows = {_key(slot): ProgressRow(name) for slot, name in zip(slots, names, strict=True)}
                self._reviewed = slots[0].role == "review"
                self._title, self._since, self._aggregator = round_title(number, rounds, slots), now, ""
                self._next = float("-inf")
            case (
                CallStarted(slot)
                | CallQueued(slot)
                | CallDelta(slot)
                | CallRetrying(slot)
                | CallFinished(Call(slot))
                | ToolStarted(slot)
                | ToolFinished(slot)
            ) if slot.role in {"reference", "review", "draft"}:
                if row := self._rows.get(_key(slot)):
                    row.update(event, now)
            case ToolStarted(_, _, name, arguments) if self._aggregator:
                self._aggregator = f"{self._title}: {short_call(name, arguments)}"
            case CallRetrying(_, failure, _, wait):
                retry = f"{failure.kind}, asking again in {duration(math.ceil(wait))}"
                self._aggregator = f"{self._title}: {retry}"
            case RoundFinished() | Compared():
                self._fold(event)
                return
            case ComparisonDelta(_, analysis):
                self._found = newest_items(analysis)
            case JudgeStarted(slot, references) | AggregatorStarted(slot, references):
                self._start_writer(slot, references, now)
            case DraftDelta(text, reasoning) if self._draft and (row := self._rows.get(_key(self._draft))):
                row.update(CallDelta(self._draft, text, reasoning), now)
            case ReplyDelta(text) if text:
                self.close()
                return
            case ReplyDelta(_, reasoning) if reasoning and self._aggregator:
                self._aggregator = f"{self._title} thinks"
        self.refresh()

    def _start_writer(self, slot: Slot, references: int, now: float) -> None:
        """Show that the judge, the author of a draft or the aggregator was asked."""
        self._rows.clear()
        self._found.clear()
        self._title, self._since = short_name(slot.agent.model), now
        verb = "compares" if slot.role == "judge" else "reads"
        what = "review" if self._reviewed else "answer"
        state = f"{verb} {plural(references, what)}" if references else "was asked"
        self._aggregator = f"{self._title} {state}"
        if slot.role == "draft":
            self._draft = slot
            self._rows = {_key(slot): ProgressRow(self._title)}
            self._title, self._aggregator = "revision" if references else "draft", ""

    def refresh(self) -> None:
        """Redraw, but not sooner than `INTERVAL` after the last time."""
        now = self._clock()
        if now >= self._next and (self._rows or self._aggregator):
            self._next = now + INTERVAL
            self._draw([], now)

    def print_line(self, text: str, look: str = "dim") -> None:
        """Print a line that stays, above what is live."""
        self._print_rows(self._painter.wrapped(text, look))

    def print_source(self, number: int, source: ToolSource) -> None:
        """Print a source of the reply, as a link where the terminal has them."""
        width = max(self._console.width - len(MARGIN), 1)
        row = source_row(number, source, width)
        if row is None:
            super().print_source(number, source)
        else:
            self._print_rows([self._live.ansi([(MARGIN, None), *row])])

    def hold_lines(self) -> None:
        """Keep the lines that are to stay among the live ones until `release_lines`."""
        self._held = [] if self._held is None else self._held

    def release_lines(self) -> None:
        """Print the lines that were held back; what is live is off the screen."""
        held, self._held = self._held, None
        self.clear_live_rows()
        if held:
            self._live.draw(held, [""])

    @property
    def tallest(self) -> int:
        """How many rows the live rows had at most."""
        return self._live.tallest

    def _print_rows(self, rows: list[str]) -> None:
        if self._held is None:
            self._draw(rows, self._clock())
        else:
            self._held += rows
            self._draw([], self._clock())

    def clear_live_rows(self) -> None:
        """Take the live rows off the screen; the next redraw brings them back."""
        self._live.clear()
        self._next = float("-inf")

    def handle_resize(self) -> None:
        """Take the live rows off the screen until the window's size has settled."""
        self._live.handle_resize()

    def close(self) -> None:
        """Take the live rows off the screen."""
        self._rows.clear()
        self._summaries.clear()
        self._aggregator = ""
        self._found.clear()
        self.clear_live_rows()

    def _fold(self, event: RoundFinished | Compared) -> None:
        """Replace the rows of a round or a comparison that is over by one line."""
        self._rows.clear()
        self._found.clear()
        if isinstance(event, RoundFinished) and stopped(event):
            self._draw([], self._clock())
            return
        summary, failures = summary_of(event)
        if isinstance(event, Compared):
            self._aggregator = ""
            hint = f"{summary}   /analysis"
            summary = hint if self._keep and len(MARGIN + hint) <= self._console.width else summary
        if self._keep:
            joined = "   ".join([summary, ", ".join(failures)]) if failures else summary
            fits = len(MARGIN + joined) <= self._console.width
            lines = [joined] if fits else [summary, *(f"{MARGIN}{failure}" for failure in failures)]
        else:
            self._summaries.append(self._painter.row([(MARGIN + summary, "dim")]))
            lines = [f"{summary.split('   ')[0]}: {failure}" for failure in failures]
        self._print_rows([row for line in lines for row in self._painter.wrapped(line, "dim")])

    def _draw(self, done: list[str], now: float) -> None:
        if self._live.begins:
            slots = len(self._rows)
            self._painter.width = widest_row(self._console, slots and slots + 1 + len(self._summaries))
        self._painter.width = min(self._painter.width, self._console.width)
        rows = [*self._summaries, *(self._held or ())]
        elapsed = duration(max(now - self._since, 0))
        if self._rows:
            rows += self._round_rows(elapsed, now)
        elif self._aggregator:
            rows.append(self._painter.row([(f"{MARGIN}{self._aggregator}   {elapsed}", "dim")]))
            rows += [self._painter.row([(f"{MARGIN}  {line}", "dim")]) for line in self._found[-_FOUND:]]
        room = max(self._console.height - 2, 1)
        if len(rows) > room:
            more = len(rows) - room + 1
            rows = [*rows[: room - 1], self._painter.row([(f"{MARGIN}… {more} more", "dim")])]
        self._live.draw(done, [*rows, ""] if rows else [""])

    def _round_rows(self, elapsed: str, now: float) -> list[str]:
        """Return the rows of the round in progress: its title, and a row for each model."""
        from rich.cells import cell_len

        width = self._painter.width
        title = MARGIN + self._title + self._finished()
        if len(title) + len(elapsed) + 3 > width:
            title = MARGIN + self._title
        space = max(width - len(title) - len(elapsed), 3)
        rows = [self._painter.row([(title, "dim"), (" " * space + elapsed, "dim")])]
        time_width = max(_SECONDS, *(len(row.cells(now).time) + 2 for row in self._rows.values()))
        name_width = min(
            max(cell_len(row.name) for row in self._rows.values()),
            max(width - len(MARGIN) - 2 - time_width, _SHORTEST_NAME),
            max(width // 2, 2 * _SHORTEST_NAME),
        )
        for row in self._rows.values():
            rows.append(self._painter.model_row(row, now, name_width, time_width))
            rows += [self._painter.row([(f"{MARGIN}    {tool}", "dim")]) for tool in tool_lines(row)]
        return rows

    def _finished(self) -> str:
        """Return how many models are done, and which is waited for once it is only one."""
        waiting = [row.name for row in self._rows.values() if row.state not in {"done", "failed"}]
        if len(waiting) == len(self._rows):
            return ""
        done = f"   {len(self._rows) - len(waiting)} of {len(self._rows)}"
        return f"{done}   waiting for {waiting[0]}" if len(waiting) == 1 else done


def _key(slot: Slot) -> tuple[int, int]:
    return slot.round, slot.index
