"""What is seen while the models think: a line for each slot, folded into one when the round is over.

`RoundBlock` draws in place on a terminal; `PlainProgress` prints a line when a round ends, for
screen readers and terminals that cannot redraw. Both are told events and the time by their owner:
no threads, no timers, and nothing is written while nothing changed.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    CallRetrying,
    CallStarted,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
)
from bot.render.live import LiveRows, plain_signs
from bot.render.progress_row import ProgressRow
from bot.render.styles import style
from bot.render.turn_text import failure_text, round_summary
from bot.text.names import short_name, slot_names
from bot.text.numbers import duration, plural
from bot.text.wrap import break_points, cut_cells, cut_runs, last_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bot.events import Event, Slot
    from bot.text.wrap import Row

INTERVAL = 0.1
"""Seconds between two redraws at least."""

MARGIN = "  "
"""What stands left of everything that is not the reply."""

_TOKENS, _SECONDS, _RATE, _WORDS = 11, 8, 7, 12  # cells; the words take what is left, at least these


class Progress(Protocol):
    """Shows a turn up to the reply's first word."""

    def on(self, event: Event) -> None:
        """Take in one event."""

    def refresh(self) -> None:
        """Let time show, if it is time."""

    def say(self, text: str, look: str = "dim") -> None:
        """Print one line that stays."""

    def hide(self) -> None:
        """Make room for something that stays."""

    def close(self) -> None:
        """Take off the screen what is not meant to stay."""


class RoundBlock:
    """The live view of one turn's rounds on a terminal that can redraw.

    With `keep`, each round leaves its folded line behind; without, only what went wrong stays.
    """

    def __init__(
        self, console: Console, *, keep: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._keep = keep
        self._clock = clock
        self._rows = LiveRows(console)
        self._next = float("-inf")
        self._slots: dict[tuple[int, int], ProgressRow] = {}
        self._title = ""
        self._since = 0.0
        self._reading = ""
        self._folded: list[str] = []

    def on(self, event: Event) -> None:
        """Take in one event; events after the reply's first word change nothing."""
        now = self._clock()
        match event:
            case RoundStarted():
                self._start(event, now)
            case CallStarted() | CallDelta() | CallRetrying() | CallFinished():
                self._slot(event, now)
            case RoundFinished():
                self._fold(event)
                return
            case AggregatorStarted(slot, references):
                self._slots.clear()
                self._since = now
                name = short_name(slot.agent.model)
                self._title = name
                self._reading = f"{name} reads {plural(references, 'answer')}" if references else ""
                self._reading = self._reading or f"{name} was asked"
            case ReplyDelta(text, reasoning):
                if text:
                    self.close()
                    return
                if reasoning and self._reading:
                    self._reading = f"{self._title} thinks"
            case _:
                return
        self.refresh()

    def refresh(self) -> None:
        """Redraw, but not sooner than `INTERVAL` after the last time."""
        now = self._clock()
        if now < self._next or not (self._slots or self._reading):
            return
        self._next = now + INTERVAL
        self._draw([], now)

    def say(self, text: str, look: str = "dim") -> None:
        """Print one line that stays, above what is live."""
        self._draw(self._wrapped(text, look), self._clock())

    def hide(self) -> None:
        """Take the live lines off the screen for something that stays; the next redraw brings them back."""
        self._rows.clear()
        self._next = float("-inf")

    def close(self) -> None:
        """Take the live lines off the screen."""
        self._slots.clear()
        self._reading = ""
        self._folded.clear()
        self._next = float("-inf")
        self._rows.clear()

    def _start(self, event: RoundStarted, now: float) -> None:
        names = slot_names([slot.agent for slot in event.slots])
        self._slots = {_key(slot): ProgressRow(name) for slot, name in zip(event.slots, names, strict=True)}
        self._title = f"round {event.round} of {event.rounds}"
        self._since = now
        self._reading = ""
        self._next = float("-inf")

    def _slot(self, event: CallStarted | CallDelta | CallRetrying | CallFinished, now: float) -> None:
        slot = event.call.slot if isinstance(event, CallFinished) else event.slot
        if slot.role == "aggregator":
            if isinstance(event, CallRetrying):
                again = f"{event.failure.kind}, asking again in {duration(math.ceil(event.wait))}"
                self._reading = f"{self._title}: {again}"
            return
        line = self._slots.get(_key(slot))
        if line is None:
            return
        match event:
            case CallStarted():
                line.state, line.since = "waiting", now
            case CallDelta():
                line.wrote(event, now)
            case CallRetrying():
                line.state, line.said, line.until = "retrying", str(event.failure.kind), now + event.wait
                line.first, line.characters, line.tail = None, 0, ""
            case CallFinished(call):
                if call.failure is not None:
                    line.state, line.said = "failed", failure_text(call.failure)
                elif call.completion is not None:
                    line.state, line.tokens = "done", call.completion.usage.completion_tokens
                    line.seconds, line.first = call.completion.seconds, call.completion.first_token

    def _fold(self, event: RoundFinished) -> None:
        self._slots.clear()
        head, failures = round_summary(event)
        if self._keep:
            joined = "   ".join([head, ", ".join(failures)]) if failures else head
            fits = len(MARGIN + joined) <= self._console.width
            lines = [joined] if fits else [head, *(f"{MARGIN}{failure}" for failure in failures)]
        else:
            self._folded.append(self._row([(MARGIN + head, "dim")]))
            lines = [f"round {event.round}: {failure}" for failure in failures]
        self._draw([row for line in lines for row in self._wrapped(line, "dim")], self._clock())

    def _draw(self, done: list[str], now: float) -> None:
        rows = list(self._folded)
        if self._slots:
            rows += self._block(now)
        elif self._reading:
            spent = duration(max(now - self._since, 0))
            rows.append(self._row([(f"{MARGIN}{self._reading}   {spent}", "dim")]))
        room = max(self._console.height - 2, 1)
        if len(rows) > room:
            more = len(rows) - room + 1
            rows = [*rows[: room - 1], self._row([(f"{MARGIN}… {more} more", "dim")])]
        self._rows.draw(done, [*rows, ""] if rows else [""])

    def _block(self, now: float) -> list[str]:
        width = self._console.width
        spent = duration(max(now - self._since, 0))
        title = MARGIN + self._title + self._awaited()
        if len(title) + len(spent) + 3 > width:
            title = MARGIN + self._title
        space = width - len(title) - len(spent)
        rows = [self._row([(title, "dim"), (" " * max(space, 3) + spent, "dim")])]
        rows += [self._slot_row(line, now, width) for line in self._slots.values()]
        return rows

    def _awaited(self) -> str:
        """Say how many are done, and whom all wait for once it is only one."""
        open_ = [line.name for line in self._slots.values() if line.state not in {"done", "failed"}]
        if len(open_) == len(self._slots):
            return ""
        done = f"   {len(self._slots) - len(open_)} of {len(self._slots)}"
        return f"{done}   waiting for {open_[0]}" if len(open_) == 1 else done

    def _slot_row(self, line: ProgressRow, now: float, width: int) -> str:
        from rich.cells import cell_len, set_cell_size

        sign, look = line.sign()
        longest = max(cell_len(other.name) for other in self._slots.values())
        name_width = min(longest, max(width - len(MARGIN) - 2 - _SECONDS, 8), max(width // 2, 16))
        tokens, spent, rate, words = line.cells(now)
        name = set_cell_size(cut_cells(line.name, name_width), name_width)
        cells = [(MARGIN, None), (sign, look), (f" {name}", "name")]
        left = width - len(MARGIN) - 2 - name_width
        if line.state in {"failed", "retrying"}:
            return self._row([*cells, (f"  {words}", "dim")])
        wanted = [(spent, _SECONDS), (tokens, _TOKENS), (rate, _RATE)]
        fits = [False, False, False]
        for index, (_, cost) in enumerate(wanted):
            if cost > left:
                break
            left -= cost
            fits[index] = True
        cells += [(wanted[index][0].rjust(wanted[index][1]), "dim") for index in (1, 0, 2) if fits[index]]
        if words and all(fits) and left >= _WORDS:
            cells.append((f"   … {last_cells(words, left - 5).lstrip()}", "dim"))
        return self._row(cells)

    def _wrapped(self, text: str, look: str) -> list[str]:
        """Return the rows of a line that stays, all of it."""
        text = plain_signs(text, self._console.encoding)
        room = max(self._console.width - len(MARGIN), 1)
        rows = cut_runs([(text, style(look))], break_points(text, room))
        return [self._rows.ansi([(MARGIN, None), *row]) for row in rows]

    def _row(self, cells: list[tuple[str, str | None]]) -> str:
        """Return a row in colours, cut where the window ends."""
        from rich.cells import cell_len

        encoding = self._console.encoding
        left = self._console.width
        row: Row = []
        for text, look in cells:
            shown = plain_signs(cut_cells(plain_signs(text, encoding), left), encoding)
            left -= cell_len(shown)
            row.append((shown, style(look) if look else None))
        return self._rows.ansi(row)


class PlainProgress:
    """A line for each round when it is over, and one for each model that failed in it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, RoundFinished):
            head, failures = round_summary(event)
            self.say(head)
            for failure in failures:
                self.say(failure)

    def refresh(self) -> None:
        """Do nothing: what stands here does not move."""

    def say(self, text: str, look: str = "dim") -> None:  # noqa: ARG002 - plain means without looks
        """Print one line."""
        from bot.render.live import write_text

        write_text(self._console, plain_signs(MARGIN + text, self._console.encoding) + "\n")

    def hide(self) -> None:
        """Do nothing: nothing here is in the way."""

    def close(self) -> None:
        """Do nothing: all that was printed stays."""


def _key(slot: Slot) -> tuple[int, int]:
    return slot.round, slot.index
