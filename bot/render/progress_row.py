"""What is known of one reference model while its round runs, how it is worded, and how it is drawn."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bot.events import (
    CallDelta,
    CallFinished,
    CallQueued,
    CallRetrying,
    CallStarted,
    ToolFinished,
    ToolStarted,
)
from bot.render.live import plain_signs
from bot.render.styles import style
from bot.render.turn_progress import MARGIN
from bot.render.turn_text import failure_text
from bot.text.numbers import duration
from bot.text.sanitise import sanitise
from bot.text.tool_calls import short_call
from bot.text.wrap import break_points, cut_cells, cut_runs, fit_cells, last_cells

if TYPE_CHECKING:
    from rich.console import Console

    from bot.events import Event
    from bot.render.live import LiveRows
    from bot.text.wrap import Row

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for the number of tokens, until the service reports it."""

_TOKENS, _RATE, _WORDS = 11, 7, 12  # cells, at least; the words get what is left
_MOST_TOOLS = 3
_BLANKS = re.compile(r"\s+")
_TAIL = 200  # characters of an answer that are kept to be shown
_SIGNS = {
    "done": ("✓", "good"),
    "writing": ("▸", "busy"),
    "failed": ("✗", "bad"),
    "retrying": ("↻", "busy"),
}


class Cells(NamedTuple):
    """The texts of a row: tokens or state, time, rate, and the last words or the reason."""

    tokens: str = ""
    time: str = ""
    rate: str = ""
    words: str = ""


@dataclass(slots=True)
class ProgressRow:
    """The state of one slot. Times are the owner's clock's, in seconds."""

    name: str
    state: str = "queued"
    since: float = 0.0
    first_token: float | None = None
    retry_at: float = 0.0
    characters: int = 0
    tail: str = ""
    tokens: int | None = None
    seconds: float = 0.0
    reason: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    """The calls of tools by their ids that the model waits for, or waited for last, until it writes."""
    running: set[str] = field(default_factory=set)

    def update(self, event: Event, now: float) -> None:
        """Change the state as an event of this slot says."""
        match event:
            case CallStarted():
                # After tools, it is the same call that goes on.
                self.state, self.since = "waiting", self.since if self.tools else now
            case ToolStarted() | ToolFinished():
                self._follow_tool(event)
            case CallQueued():
                # Between its tools a call waits only for permission.
                self.state = "asks" if self.running else "queued"
            case CallDelta(_, text, reasoning):
                self._add(text, reasoning, now)
            case CallRetrying(_, failure, _, wait):
                self.state, self.reason, self.retry_at = "retrying", str(failure.kind), now + wait
                self.first_token, self.characters, self.tail = None, 0, ""
            case CallFinished(call) if call.failure is not None:
                self.state, self.reason = "failed", failure_text(call.failure)
                self.tools.clear()
            case CallFinished(call) if call.completion is not None:
                self.state, self.tokens = "done", call.completion.usage.completion_tokens
                self.seconds, self.first_token = call.completion.seconds, call.completion.first_token
                self.tools.clear()

    def _follow_tool(self, event: ToolStarted | ToolFinished) -> None:
        self.state = "tools"
        if isinstance(event, ToolStarted):
            if not self.running:
                self.tools.clear()
            self.running.add(event.id)
            self.tools[event.id] = short_call(event.name, event.arguments)
            return
        self.running.discard(event.id)
        if event.run.error and event.id in self.tools:
            self.tools[event.id] += "   failed"

    def _add(self, text: str, reasoning: str, now: float) -> None:
        if text:
            if self.state != "writing":
                self.state, self.characters, self.tail = "writing", 0, ""
                self.tools.clear()
                self.first_token = now - self.since
            self.characters += len(text)
        elif reasoning and self.state != "writing":
            self.state = "thinking"
        else:
            return
        new = sanitise((text or reasoning)[-_TAIL:], newlines=False)
        self.tail = _BLANKS.sub(" ", self.tail + new)[-_TAIL:]

    def sign(self) -> tuple[str, str]:
        """Return the sign and the name of its style."""
        return _SIGNS.get(self.state, ("∙", "dim"))

    def cells(self, now: float) -> Cells:
        """Return the row's texts."""
        elapsed = duration(max(now - self.since, 0))
        match self.state:
            case "failed":
                return Cells(words=self.reason)
            case "retrying":
                left = math.ceil(max(self.retry_at - now, 0))
                return Cells(words=f"{self.reason}, asking again" + (f" in {duration(left)}" if left else ""))
            case "queued":
                return Cells("queued")
            case "done":
                tokens = "done" if self.tokens is None else f"{self.tokens:,} tok"
                rate = _rate(self.tokens or 0, self.seconds - (self.first_token or 0))
                return Cells(tokens, duration(self.seconds), rate)
            case "writing":
                guess = -(-self.characters // CHARACTERS_PER_TOKEN)
                rate = _rate(guess, now - self.since - (self.first_token or 0))
                return Cells(f"~{guess:,} tok", elapsed, rate, self.tail)
        return Cells(self.state, elapsed, words=self.tail)


def tool_lines(row: ProgressRow) -> list[str]:
    """Return a line for each tool that the model waits for, the newest ones where there are many."""
    calls = list(row.tools.values())
    more = [f"and {len(calls) - _MOST_TOOLS} more"] if len(calls) > _MOST_TOOLS else []
    return calls[-_MOST_TOOLS:] + more


class RowPainter:
    """Draws rows in colours for a terminal. `width` is how many cells a row takes at most."""

    def __init__(self, console: Console, live: LiveRows) -> None:
        self._console = console
        self._live = live
        self.width = console.width

    def model_row(self, row: ProgressRow, now: float, name_width: int, time_width: int) -> str:
        """Return a model's row; where there is no room the last words go first, then rate and tokens."""
        sign, look = row.sign()
        cells = row.cells(now)
        shown = [(MARGIN, ""), (sign, look), (f" {_fit_name(row.name, name_width)}", "name")]
        if row.state in {"failed", "retrying"}:
            return self.row([*shown, (f"  {cells.words}", "dim")])
        left = self.width - len(MARGIN) - 2 - name_width
        columns = {}
        for column, size in (("time", time_width), ("tokens", _TOKENS), ("rate", _RATE)):
            if size > left:
                break
            left -= size
            columns[column] = getattr(cells, column).rjust(size)
        shown += [(columns[name], "dim") for name in ("tokens", "time", "rate") if name in columns]
        if cells.words and len(columns) == 3 and left >= _WORDS:  # noqa: PLR2004 - all three
            shown.append((f"   … {last_cells(cells.words, left - 5).lstrip()}", "dim"))
        return self.row(shown)

    def wrapped(self, text: str, look: str) -> list[str]:
        """Return the rows of a line that stays, all of it."""
        text = plain_signs(text, self._console.encoding)
        room = max(self._console.width - len(MARGIN), 1)
        rows = cut_runs([(text, style(look))], break_points(text, room))
        return [self._live.ansi([(MARGIN, None), *row]) for row in rows]

    def row(self, cells: list[tuple[str, str]]) -> str:
        """Return a row in colours, cut where the window ends; `cells` are texts and their styles."""
        from rich.cells import cell_len

        encoding = self._console.encoding
        left = self.width
        row: Row = []
        for text, look in cells:
            shown = plain_signs(cut_cells(plain_signs(text, encoding), left), encoding)
            left -= cell_len(shown)
            row.append((shown, style(look) if look else None))
        return self._live.ansi(row)


def _rate(tokens: int, seconds: float) -> str:
    # A rate over a moment is noise.
    return f"{tokens / seconds:.0f}/s" if tokens and seconds >= 1 / 2 else ""


def _fit_name(name: str, width: int) -> str:
    """Return a name in exactly `width` cells; its number ("GLM-5.3 #2") is not cut."""
    number = found[0] if (found := re.search(r" #\d+$", name)) else ""
    return fit_cells(cut_cells(name.removesuffix(number), width - len(number)) + number, width)
