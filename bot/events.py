"""The events of a turn, as the mixture yields them.

Terminal, JSON output, store and evaluations all read this one stream. Its order:

    RoundStarted ─ (CallStarted | CallQueued | CallDelta | CallRetrying | CallFinished)* ─ RoundFinished
      … once per round, then …
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

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from bot.analysis import Analysis
from bot.errors import Failure, FailureKind
from bot.messages import Agent, Completion, Usage
from bot.panel import Panel
from bot.shadow import Shadow

TurnStatus = Literal["done", "partial", "failed"]
CallRole = Literal["reference", "draft", "review", "judge", "aggregator", "shadow"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A call's place: rounds 1 to `rounds` for references, index from 0 in the order listed.

    The layers after the rounds count on: the judge, if there is one, is in round `rounds + 1` (its second
    try at index 1), the aggregator in the next at index 0; its fallbacks have the indices after it. In mode
    "critique" the draft, its reviews and each revision are rounds of their own. The calls of a shadow reply
    (`bot.method.shadow_stop`) follow the references of the round that they read.
    """

    round: int
    index: int
    agent: Agent
    role: CallRole = "reference"


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call: an answer when `failure` is None.

    A failed call has a completion too when the service used tokens (a model that thought until
    none were left for an answer). `cost` is in US dollars, None when the model's price or its
    tokens are unknown, 0 for a call that got no response.
    """

    slot: Slot
    completion: Completion | None = None
    failure: Failure | None = None
    cost: float | None = None

    @property
    def answer(self) -> str:
        """The answer's text, "" when the call failed."""
        return self.completion.text if self.completion and not self.failure else ""

    @property
    def cut(self) -> FailureKind | None:
        """CANCELLED or TOO_SLOW when the user or the round did not wait for its end, else None."""
        if self.failure:
            kind: FailureKind | None = self.failure.kind
        else:
            kind = self.completion.truncation_kind if self.completion else None
        return kind if kind in {FailureKind.CANCELLED, FailureKind.TOO_SLOW} else None


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
class TurnResult:
    """A finished turn.

    `status` is "partial" when the reply was cut off or is not what was asked for (a proposal,
    because every aggregator failed), "failed" when there is none (then `failure` says why).
    `model` is the model that wrote the reply, or the aggregator that was to write it. `calls`
    are all calls in the order of their slots: the references round by round, then the judge's, then the
    aggregators that failed, last the one that wrote the reply. `analysis` is the judge's comparison that
    the aggregator read, `panel` who answered in the round that the reply is made from. `shadow` is what
    early stop would have done, None where it was not asked or could decide nothing. `first_token`
    (of the reply, or of its first draft) and `seconds` (to the reply's end) count from the prompt.
    """

    status: TurnStatus
    reply: str
    reasoning: str
    model: str
    calls: tuple[Call, ...] = ()
    failure: Failure | None = None
    first_token: float | None = None
    seconds: float = 0.0
    notices: tuple[str, ...] = ()
    analysis: Analysis | None = None
    panel: Panel | None = None
    shadow: Shadow | None = None

    @property
    def rounds(self) -> tuple[tuple[Call, ...], ...]:
        """The references: `rounds[r][i]` is the call of slot i in round r + 1."""
        references = [call for call in self.calls if call.slot.role == "reference"]
        return tuple(tuple(calls) for _, calls in groupby(references, lambda call: call.slot.round))

    @property
    def aggregator(self) -> Call | None:
        """The call that wrote the reply, or the last one that failed to; None when there was none."""
        return self._aggregators[-1] if self._aggregators else None

    @property
    def writer(self) -> Call | None:
        """The call that wrote the reply or was to: `aggregator`, without one the last draft's, else None."""
        return self.aggregator or (self.drafts[-1] if self.drafts else None)

    @property
    def attempts(self) -> tuple[Call, ...]:
        """The aggregator calls before `aggregator`, which failed or broke off."""
        return self._aggregators[:-1]

    @property
    def judges(self) -> tuple[Call, ...]:
        """The judge's calls: one, or two if its first reply was of no use."""
        return tuple(call for call in self.calls if call.slot.role == "judge")

    @property
    def drafts(self) -> tuple[Call, ...]:
        """The calls that wrote a draft (mode "critique"), in order; those that failed among them."""
        return tuple(call for call in self.calls if call.slot.role == "draft")

    @property
    def reviews(self) -> tuple[tuple[Call, ...], ...]:
        """The reviews of the drafts: `reviews[r][i]` is that of reviewer i in review r + 1."""
        reviews = [call for call in self.calls if call.slot.role == "review"]
        return tuple(tuple(calls) for _, calls in groupby(reviews, lambda call: call.slot.round))

    @property
    def _aggregators(self) -> tuple[Call, ...]:
        return tuple(call for call in self.calls if call.slot.role == "aggregator")

    @property
    def finish_reason(self) -> str | None:
        """Why the reply ended, as the service put it (in mode "rank": of the proposal that was chosen)."""
        source = next((call for call in reversed(self.calls) if call.answer == self.reply), None)
        return source.completion.finish_reason if source and source.completion else None

    @property
    def usage(self) -> Usage:
        """The tokens of all calls together, as far as the services reported them."""
        usages = [call.completion.usage for call in self.calls if call.completion]
        return Usage(
            _total([usage.prompt_tokens for usage in usages]),
            _total([usage.completion_tokens for usage in usages]),
            _total([usage.reasoning_tokens for usage in usages]),
            _total([usage.cached_tokens for usage in usages]),
        )

    @property
    def cost(self) -> float | None:
        """US dollars of all calls together, None when that of any is unknown."""
        costs = [call.cost for call in self.calls if call.cost is not None]
        return sum(costs) if self.calls and len(costs) == len(self.calls) else None


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


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
