"""The events of a turn, as the mixture yields them.

Terminal, JSON output, store and evaluations all read this one stream. Its order:

    RoundStarted ─ (CallStarted | CallQueued | CallDelta | CallRetrying | CallFinished)* ─ RoundFinished
      … once per round; a call that uses tools has ToolStarted ─ ToolFinished for each of theirs, then …
    JudgeStarted ─ (CallStarted | CallQueued | CallDelta | ComparisonDelta | CallRetrying)* ─ CallFinished
      … in the modes with a judge, and again if its reply was of no use, then perhaps Compared, then …
    AggregatorStarted ─ (CallStarted | CallQueued | ReplyDelta | CallRetrying)* ─ CallFinished
      … once, and again for each fallback aggregator, then …
    TurnFinished                                (always the last)

In mode "critique" the rounds are reviews, with a draft before each:

    AggregatorStarted ─ (CallStarted | DraftDelta | CallRetrying)* ─ CallFinished
    RoundStarted … RoundFinished
      … once per review, then the last revision as above, or DraftAccepted ─ ReplyDelta

`Notice` may come anywhere. `Slot` says which call an event is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.analysis import Analysis
from bot.errors import Failure
from bot.tool_use import ToolRun
from bot.turn_result import Call, Slot, TurnResult


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """A round of `rounds` begins with these slots."""

    round: int
    rounds: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The request of this slot is being sent. Without `loaded`, the model may have to be loaded first."""

    slot: Slot
    loaded: bool = True


@dataclass(frozen=True, slots=True)
class CallQueued:
    """The request waits for others on the same computer; `CallStarted` comes again when it is sent."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a reference model's answer, or of its thinking, as it arrives."""

    slot: Slot
    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class CallRetrying:
    """A call had a transient failure and is sent again after `wait` seconds."""

    slot: Slot
    failure: Failure
    attempt: int
    wait: float


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call is over, answered or failed."""

    call: Call


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The model of this slot has called a tool, which runs or waits for permission; `id` is the call's."""

    slot: Slot
    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """The tool call `id` of this slot is over, or was not made: `run.error` says why."""

    slot: Slot
    id: str
    run: ToolRun


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round is over: its calls in the order of its slots, and whether its answers are used.

    `seconds` count from the beginning of the round.
    """

    round: int
    rounds: int
    calls: tuple[Call, ...]
    seconds: float
    used: bool = True


@dataclass(frozen=True, slots=True)
class JudgeStarted:
    """The judge is asked to compare `references` answers."""

    slot: Slot
    references: int


@dataclass(frozen=True, slots=True)
class ComparisonDelta:
    """The judge has found more: `analysis` holds all that is complete so far."""

    slot: Slot
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class Compared:
    """The judge's comparison is there, `seconds` after it was first asked."""

    analysis: Analysis
    seconds: float


@dataclass(frozen=True, slots=True)
class AggregatorStarted:
    """An aggregator is asked for the reply, or for a draft of it, with `references` answers to read."""

    slot: Slot
    references: int


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """A piece of the reply, or of the thinking before it, as it arrives."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class DraftDelta:
    """A piece of a draft, or of the thinking before it, as it arrives; it is not part of the reply yet."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class DraftAccepted:
    """The last draft is the reply as it is. The `ReplyDelta` after it repeats the draft."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The reply is these answers as they are, below the comparison if there is one.

    The `ReplyDelta` after it has all of it as one text.
    """

    calls: tuple[Call, ...]
    analysis: Analysis | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence for the user: what was shortened, left out or replaced."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn is over."""

    result: TurnResult


Event = (
    RoundStarted
    | CallStarted
    | CallQueued
    | CallDelta
    | CallRetrying
    | CallFinished
    | ToolStarted
    | ToolFinished
    | RoundFinished
    | JudgeStarted
    | ComparisonDelta
    | Compared
    | AggregatorStarted
    | ReplyDelta
    | DraftDelta
    | DraftAccepted
    | SideBySide
    | Notice
    | TurnFinished
)
