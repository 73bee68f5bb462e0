"""Answers an item (one prompt, or several turns) with a mixture; what evaluations and batches share.

No store, no session: what is kept are the journal's calls, and the `ItemAnswer` made from them, which
comes out the same each time it is made from the same calls.

How much arithmetic an answer took (teraflops) is the paper's stand-in for latency where services
differ: two operations per active parameter and token. The models of a layer run side by side, so a
layer counts as its largest member.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from bot.errors import Failure, FailureKind
from bot.events import TurnFinished
from bot.messages import Ask, Message
from bot.method.mixture import Mixture
from bot.method.round_timeout import RoundTimeout
from bot.method.turn_context import Models
from bot.tool_use import PermittedTools
from bot.turn_result import Call, TurnResult

if TYPE_CHECKING:
    from bot.method.plan import Plan

_ACTIVE = re.compile(r"(?<![a-z])a(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_WHOLE = re.compile(r"(?<![a-z\d.])(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_EXPERTS = {"8x22b": 39.0, "8x7b": 12.9, "dbrx": 36.0}
"""Billions of active parameters of mixtures of experts whose names do not say them."""


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What a mixture made of an item: the replies to its turns, or why there are not all of them.

    `seconds` is what the models took (per round the slowest), `first_word` what they took until the first
    word of the first reply (None where unknown), `missing` counts references that failed and were left out.
    `cost` in US dollars and `tflops` are None when unknown. `shadows` are what early stop would have done,
    one for each turn in which it was asked (`bot.turn_result.Shadow`, as JSON, and its `turn` from 1).
    """

    id: str
    turns: tuple[str, ...]
    failure: str = ""
    cost: float | None = 0.0
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    missing: int = 0
    tflops: float | None = 0.0
    notices: tuple[str, ...] = ()
    shadows: tuple[dict[str, Any], ...] = ()
    first_word: float | None = None

    @property
    def failed(self) -> bool:
        """Whether a turn has no reply."""
        return bool(self.failure)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Make it from a line of a file."""
        lists = {name: tuple(row.get(name, ())) for name in ("turns", "notices", "shadows")}
        return cls(**{**row, **lists})

    def stopped_turns(self) -> tuple[str, ...] | None:
        """Return the replies as early stop would have made them; None where it would have made the same.

        Each is the reply to its turn after the true replies before it. None also where one of them was not
        written, and so is not known.
        """
        stopped = [each for each in self.shadows if each["stop_after"] is not None]
        if self.failed or not stopped or any(each["error"] or not each["reply"] for each in stopped):
            return None
        replies = {each["turn"]: str(each["reply"]) for each in stopped}
        return tuple(replies.get(number, reply) for number, reply in enumerate(self.turns, start=1))


def strict_plan(plan: Plan) -> Plan:
    """Return the plan without fallbacks and round timeouts, which serve a person who waits.

    An answer is that of this mixture, or none.
    """
    return replace(plan, fallbacks=(), round_timeout=RoundTimeout(deadline=math.inf))


async def answer_item(
    item_id: str,
    prompts: Sequence[str],
    plan: Plan,
    ask: Ask,
    models: Models,
    *,
    before: Sequence[Message] = (),
    tools: PermittedTools | None = None,
    on_turn: Callable[[TurnResult], None] = lambda _: None,
) -> tuple[ItemAnswer, TurnResult | None]:
    """Answer the prompts as turns of one conversation, which may have begun `before`.

    `tools` are those that the models may call. `on_turn` is given each turn's result; the last one is
    returned, too.
    """
    mixture = Mixture(plan, ask, models, tools=tools)
    history = list(before)
    answer = ItemAnswer(item_id, ())
    result: TurnResult | None = None
    for prompt in prompts:
        async with aclosing(mixture.run(history, prompt)) as events:
            async for event in events:
                if isinstance(event, TurnFinished):
                    result = event.result
        if result is None:
            return replace(answer, failure="the turn ended without a result"), None
        on_turn(result)
        answer = _add_turn(answer, result)
        if answer.failure:
            break
        history += [Message("user", prompt), Message("assistant", result.reply)]
    return answer, result


def sample_numbers(prompts: Iterable[Sequence[str]]) -> list[str]:
    """Return for each item which sample of its prompts it is: "" for the first, then "2", "3" and so on.

    The same prompts twice in a file are asked twice.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    numbers = []
    for each in map(tuple, prompts):
        seen[each] += 1
        numbers.append(str(seen[each]) if seen[each] > 1 else "")
    return numbers


def _add_turn(answer: ItemAnswer, result: TurnResult) -> ItemAnswer:
    """Return the answer with one turn more."""
    writers = [call for call in result.calls if call.slot.role in {"draft", "judge", "aggregator"}]
    layers = [*result.rounds, *result.reviews, *((call,) for call in writers)]
    usage, work = result.usage, _tflops(layers)
    failure = "" if result.status == "done" else _why_no_reply(result)
    return replace(
        answer,
        turns=answer.turns if failure else (*answer.turns, result.reply),
        failure=failure,
        cost=None if answer.cost is None or result.cost is None else answer.cost + result.cost,
        seconds=round(answer.seconds + sum(_slowest(layer) for layer in layers), 3),
        prompt_tokens=answer.prompt_tokens + (usage.prompt_tokens or 0),
        completion_tokens=answer.completion_tokens + (usage.completion_tokens or 0),
        calls=answer.calls + len(result.calls),
        missing=answer.missing + sum(not call.answer for layer in result.rounds for call in layer),
        tflops=None if answer.tflops is None or work is None else answer.tflops + work,
        notices=(*answer.notices, *result.notices),
        shadows=(*answer.shadows, *_shadow(len(answer.turns) + 1, result)),
        first_word=answer.first_word if answer.turns else _first_word(layers, result),
    )


def _first_word(layers: Sequence[Sequence[Call]], result: TurnResult) -> float | None:
    """Return the seconds that the models took until the first word of the reply, None where unknown.

    Where the reply is one of the answers (modes "rank" and "vote"), that is all of them. A draft is shown
    while it is written.
    """
    first = result.drafts[0] if result.drafts else result.aggregator
    if (
        first is None
        or first.completion is None
        or (first.completion.text != result.reply and not result.drafts)
    ):
        return round(sum(map(_slowest, layers)), 3)
    began = 0.0 if result.drafts else sum(_slowest(layer) for layer in layers if first not in layer)
    token = first.completion.first_token
    return None if token is None else round(began + token, 3)


def _shadow(turn: int, result: TurnResult) -> list[dict[str, Any]]:
    return [{"turn": turn, **result.shadow.as_json()}] if result.shadow else []


def _why_no_reply(result: TurnResult) -> str:
    """Return why a turn has no whole reply by its aggregator."""
    failures = [result.failure, *(call.failure for call in reversed(result.attempts))]
    if failed := next(filter(None, failures), None):
        return str(failed)
    # After an attempt that broke off, the writer may be a reference whose answer stands in for the reply.
    writer = result.attempts[-1] if result.attempts else result.writer
    completion = writer.completion if writer else None
    kind = (completion and completion.truncation_kind) or FailureKind.CUT
    said = (completion and completion.partial) or "the reply is incomplete"
    return str(Failure(kind, said, writer.slot.agent.model if writer else result.model))


def active_parameters(model: str) -> float | None:
    """Return a model's active parameters in billions, as its name says them; None where it does not."""
    name = model.lower()
    for part, billions in _EXPERTS.items():
        if part in name:
            return billions
    found = _ACTIVE.search(name) or _WHOLE.search(name)
    return float(found[1]) if found else None


def _tflops(layers: Sequence[Sequence[Call]]) -> float | None:
    """Return the teraflops of a turn, layer after layer; None when a size or a token count is unknown."""
    total = 0.0
    for layer in layers:
        largest = 0.0
        for call in layer:
            if call.completion is None:
                continue
            billions, usage = active_parameters(call.slot.agent.model), call.completion.usage
            if billions is None or usage.prompt_tokens is None or usage.completion_tokens is None:
                return None
            largest = max(largest, 2 * billions * (usage.prompt_tokens + usage.completion_tokens) / 1000)
        total += largest
    return total


def _slowest(layer: Sequence[Call]) -> float:
    return max((call.completion.seconds for call in layer if call.completion), default=0.0)
