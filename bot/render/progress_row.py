"""What is known of one reference model while its round runs, and how it is worded."""

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
from bot.render.turn_text import failure_text
from bot.text.numbers import duration
from bot.text.sanitise import sanitise
from bot.text.tool_calls import short_call

if TYPE_CHECKING:
    from bot.events import Event

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for the number of tokens, until the service reports it."""

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


def _rate(tokens: int, seconds: float) -> str:
    # A rate over a moment is noise.
    return f"{tokens / seconds:.0f}/s" if tokens and seconds >= 1 / 2 else ""
