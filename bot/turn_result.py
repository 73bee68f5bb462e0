"""What a turn came to: its calls, each with its place, the panel that answered, and the reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

from bot.analysis import Analysis
from bot.errors import Failure, FailureKind
from bot.messages import Agent, Attachment, Completion, Usage
from bot.tool_use import ToolRun, ToolSource, add_sources

TurnStatus = Literal["done", "partial", "failed"]
CallRole = Literal["reference", "draft", "review", "judge", "aggregator", "shadow"]
ALONE = 0
"""The round of the aggregator's call before the rounds (`bot.method.consult`)."""
_MAX_READ = 1_000
"""Entries of a stored list that are read."""
_CITED = re.compile(r"\[(\d{1,3}(?:, ?\d{1,3})*)\](?!\()")
_HIGHEST = 1.000001
"""A similarity is at most 1, but for rounding."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A call's place: rounds 1 to `rounds` for references, index from 0 in the order listed.

    The layers after the rounds count on: the judge, if there is one, is in round `rounds + 1` (its second
    try at index 1), the aggregator in the next at index 0; its fallbacks have the indices after it. In mode
    "critique" the draft, its reviews and each revision are rounds of their own. The calls of a shadow reply
    (`bot.method.shadow_stop`) follow the references of the round that they read. An aggregator that answers
    before the rounds, and may ask for them, is in round `ALONE`.
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
    tokens are unknown, 0 for a call that got no response. `tool_runs` are the tools that its model
    called; the completion's tokens and seconds include those of all its requests and tools.
    """

    slot: Slot
    completion: Completion | None = None
    failure: Failure | None = None
    cost: float | None = None
    tool_runs: tuple[ToolRun, ...] = ()

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
class LeftOut:
    """A model whose answer was not there, and why, such as "rate limited" or "cut off after 12 s"."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Who was asked in the round that the reply is made from, and who answered.

    `families` counts the families of the models that answered.
    """

    asked: int
    answered: int
    left_out: tuple[LeftOut, ...] = ()
    families: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the panel as plain JSON values."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "left_out": [{"model": each.model, "reason": each.reason} for each in self.left_out],
            "families": self.families,
        }


def stored_panel(value: object) -> Panel | None:
    """Return the panel that `as_json` made `value` of, None where it is none."""
    if not isinstance(value, dict):
        return None
    asked, answered, families = (value.get(name) for name in ("asked", "answered", "families"))
    listed = value.get("left_out")
    if type(asked) is not int or type(answered) is not int or type(families) is not int:
        return None
    entries = listed[:_MAX_READ] if isinstance(listed, list) else ()
    left_out = tuple(
        LeftOut(str(each.get("model")), str(each.get("reason"))) for each in entries if isinstance(each, dict)
    )
    return Panel(asked, answered, left_out, families)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The decision of early stop, which the turn did not follow, and the reply that it would have led to.

    `stop_after` is the round after which the turn would have ended, None where early stop would have changed
    nothing. `similarity` is that of the answers of this round, or of the last one that was compared; answers
    agree from `agreement` on. `reason` says so in words. `reply` was made from the answers of round
    `stop_after` and written by `model`; it was never shown. `error` says why there is no whole one, "" where
    there is.
    """

    stop_after: int | None
    similarity: float
    agreement: float
    reason: str
    reply: str = ""
    model: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the values as plain JSON values."""
        return asdict(self)


def stored_shadow(value: object) -> Shadow | None:
    """Return what `as_json` made `value` of, None where it is something else."""
    if not isinstance(value, dict):
        return None
    stop_after, similarity = value.get("stop_after"), _number(value.get("similarity"))
    agreement = _number(value.get("agreement"))
    texts = [value.get(name, "") for name in ("reason", "reply", "model", "error")]
    if similarity is None or agreement is None or not all(isinstance(each, str) for each in texts):
        return None
    if stop_after is not None and (type(stop_after) is not int or stop_after < 1):
        return None
    return Shadow(stop_after, similarity, agreement, *map(str, texts))


def _number(value: object) -> float | None:
    """Return a similarity, None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _HIGHEST else None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A finished turn.

    `status` is "partial" when the reply was cut off or is not what was asked for (a proposal,
    because every aggregator failed), "failed" when there is none (then `failure` says why).
    `model` is the model that wrote the reply, or the aggregator that was to write it. `calls`
    are all calls in the order of their slots: the references round by round, then the judge's, then the
    aggregators that failed, last the one that wrote the reply. `analysis` is the judge's comparison that
    the aggregator read, `panel` who answered in the round that the reply is made from. `shadow` is what
    early stop would have done, None where it was not asked or could decide nothing. `attachments` are the
    files that went along with the prompt. `reply_object` is the value of a reply that had to be JSON, None
    for any other reply. `first_token` (of the reply, or of its first draft) and `seconds`
    (to the reply's end) count from the prompt.
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
    attachments: tuple[Attachment, ...] = ()
    reply_object: Any = field(default=None, compare=False)

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
    def consultation(self) -> Call | None:
        """The aggregator's call before the rounds, with --when auto: it consulted the panel, or failed to."""
        alone = [call for call in self.calls if call.slot.round == ALONE]
        return alone[-1] if alone and self._has_rounds else None

    @property
    def writer(self) -> Call | None:
        """The call that wrote the reply or was to: `aggregator`, without one the last draft's, else None."""
        return self.aggregator or (self.drafts[-1] if self.drafts else None)

    @property
    def attempts(self) -> tuple[Call, ...]:
        """The aggregator calls before `consultation` and `aggregator`, which failed or broke off."""
        alone = [call for call in self.calls if call.slot.round == ALONE] if self._has_rounds else []
        return (*alone[:-1], *self._aggregators[:-1])

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
        writers = (call for call in self.calls if call.slot.role == "aggregator")
        return tuple(call for call in writers if call.slot.round > ALONE or not self._has_rounds)

    @property
    def _has_rounds(self) -> bool:
        return any(call.slot.round > ALONE for call in self.calls)

    @property
    def finish_reason(self) -> str | None:
        """Why the reply ended, as the service put it (in mode "rank": of the proposal that was chosen)."""
        source = next((call for call in reversed(self.calls) if call.answer == self.reply), None)
        return source.completion.finish_reason if source and source.completion else None

    @property
    def sources(self) -> tuple[ToolSource, ...]:
        """What the tools found for this turn; the reply cites source n, from 1, as [n]."""
        found: list[ToolSource] = []
        in_order = sorted(self.calls, key=lambda call: (call.slot.round, call.slot.index))
        add_sources(found, tool_runs_of(in_order))
        return tuple(found)

    def sources_json(self) -> list[dict[str, str]]:
        """Return the sources as plain JSON values."""
        return [{"url": source.url, "title": source.title} for source in self.sources]

    @property
    def shown_sources(self) -> list[tuple[int, ToolSource]]:
        """The sources that the reply cites, with their numbers; all of them where it cites none."""
        numbered = list(enumerate(self.sources, start=1))
        cited = {int(number) for group in _CITED.findall(self.reply) for number in group.split(",")}
        return [each for each in numbered if each[0] in cited] or numbered

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


def tool_runs_of(calls: Iterable[Call]) -> Iterator[ToolRun]:
    """Yield the tool runs of calls that are read: of a reference only if it has answered."""
    for call in calls:
        if call.answer or call.slot.role not in {"reference", "review"}:
            yield from call.tool_runs


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
