"""What happens during a turn, as the mixture tells it: the one stream that everything reads.

Terminal, JSON output, store and evaluations all listen to these events, in this order:

    RoundStarted ─ (CallStarted | CallDelta | CallRetrying | CallFinished)* ─ RoundFinished
      … once per round, then …
    AggregatorStarted ─ (ReplyDelta | CallRetrying)* ─ CallFinished      once, and again for each
                                                                         fallback aggregator
    TurnFinished                                (always the last)

`Notice` may come anywhere. `Slot` says which call an event is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bot.errors import Failure
from bot.messages import Agent, Completion, Usage

TurnStatus = Literal["done", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A call's place: round 1 … rounds for references, index from 0 in the order listed.

    The aggregator sits in round `rounds + 1`, index 0; its fallbacks have the indices after it.
    """

    round: int
    index: int
    agent: Agent
    role: Literal["reference", "aggregator"] = "reference"


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call: an answer when `failure` is None.

    A failed call may hold a completion too, when the service did something that cost tokens (it
    thought until there were none left for an answer, say). `cost` is in US dollars, None when the
    model's price or its tokens are unknown; a call that never got anywhere cost 0.
    """

    slot: Slot
    completion: Completion | None = None
    failure: Failure | None = None
    cost: float | None = None

    @property
    def answer(self) -> str:
        """The answer's text, "" when the call failed."""
        return self.completion.text if self.completion and not self.failure else ""


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """A round of `rounds` begins with these slots."""

    round: int
    rounds: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The request of this slot has been handed to the pool."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class CallDelta:
    """Words (or thinking) of a reference model as they arrive."""

    slot: Slot
    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class CallRetrying:
    """A call failed in passing and is tried again after `wait` seconds."""

    slot: Slot
    failure: Failure
    attempt: int
    wait: float


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call is over, well or badly."""

    call: Call


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round is over: its calls in the order of its slots, and whether its answers are used."""

    round: int
    rounds: int
    calls: tuple[Call, ...]
    seconds: float
    used: bool = True


@dataclass(frozen=True, slots=True)
class AggregatorStarted:
    """The aggregator has been asked, with `references` answers to read."""

    slot: Slot
    references: int


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """Words (or thinking) of the reply as they arrive."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know, in one sentence: what was cut, left out or put in its place."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnResult:
    """All of a turn.

    `rounds[r][i]` is the call of slot i in round r + 1. `status` is "partial" when the reply was
    cut off or is not what was asked for (one proposal, because no aggregator could be reached),
    "failed" when there is none (then `failure` says why). `aggregator` is the call that wrote the
    reply, or the last that failed to; `attempts` are those that failed before it. `cost` is the
    sum over all calls in US dollars, None as soon as one of them is unknown. Seconds count from
    the prompt.
    """

    status: TurnStatus
    reply: str
    reasoning: str
    model: str
    rounds: tuple[tuple[Call, ...], ...] = ()
    aggregator: Call | None = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    first_token: float | None = None
    seconds: float = 0.0
    notices: tuple[str, ...] = ()
    attempts: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn is over."""

    result: TurnResult


Event = (
    RoundStarted
    | CallStarted
    | CallDelta
    | CallRetrying
    | CallFinished
    | RoundFinished
    | AggregatorStarted
    | ReplyDelta
    | Notice
    | TurnFinished
)
