"""One slot's call: from what the slot is to be told, to the answer or the failure it ends in.

Builds the request (messages fitted to the model's context, parameters of the agent or the
mixture), follows the updates of the way to ask, keeps what has come so far in case the call is
cut off, and asks once more with a smaller budget when the context was too long after all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from bot.errors import Failure, FailureKind
from bot.events import Call, CallDelta, CallFinished, CallRetrying, CallStarted, Notice, Slot
from bot.messages import Agent, Ask, Completion, Delta, Endpoint, Message, Request, Retrying, Usage
from bot.method import prompts
from bot.method.context import Fitted, fit

if TYPE_CHECKING:
    from bot.method.plan import Plan

CallEvent = CallStarted | CallDelta | CallRetrying | CallFinished | Notice

SECOND_BUDGET = 0.75
"""Share of the context length to aim for once the estimate has proved too low."""
USEFUL_CHARACTERS = 200
"""A reference cut off before this much text is not worth showing to another model."""
DELTA_INTERVAL = 0.05
"""Seconds: proposals are watched, not read, as they stream; 20 updates a second are enough."""
NO_TEMPERATURE = 1e-4


class Models(Protocol):
    """What the mixture must know of the models beyond their names."""

    def endpoint(self, name: str) -> Endpoint:
        """Return the service of that name; KeyMissingError when its key is missing."""

    def context(self, agent: Agent) -> int | None:
        """Return the context length in tokens, None when unknown."""

    def learn_context(self, agent: Agent, tokens: int) -> None:
        """Remember the context length that a service has named."""

    def fields(self, agent: Agent) -> Mapping[str, object]:
        """Return further fields of the request's body, such as how thinking is switched."""

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        """Return US dollars, None when price or tokens are unknown."""


@dataclass(slots=True)
class TurnContext:
    """What all calls of a turn share. `said` holds the notices given already."""

    plan: Plan
    ask: Ask
    models: Models
    history: Sequence[Message]
    prompt: str
    said: set[str] = field(default_factory=set)


class ModelCall:
    """A call in progress. Iterate `events()`; the last one is its `CallFinished`.

    `so_far` is the beginning of a reply that broke off: the model is asked to go on from there.
    """

    def __init__(
        self, slot: Slot, turn_context: TurnContext, answers: Sequence[str], so_far: str = ""
    ) -> None:
        self.slot = slot
        self._turn = turn_context
        self._answers = answers
        self._so_far = so_far
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._started = monotonic()
        self._first: float | None = None

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        """Make the call and tell how it goes."""
        context = self._turn.models.context(self.slot.agent)
        fitted = self._fit(context)
        last: Completion | Failure | None = None
        for attempt in (1, 2):
            for notice in self._cut_notices(fitted):
                yield notice
            yield CallStarted(self.slot)
            async with aclosing(self._updates(self._request(fitted))) as updates:
                async for update in updates:
                    if isinstance(update, Completion | Failure):
                        last = update
                    else:
                        yield update
            if not (isinstance(last, Failure) and last.kind is FailureKind.CONTEXT_LENGTH and attempt == 1):
                break
            smaller = self._fit(self._smaller(last, context))
            if smaller == fitted:
                break
            fitted = smaller
            yield CallRetrying(self.slot, last, attempt, 0.0)
        yield CallFinished(self._call(last))

    def cut(self, why: str, kind: FailureKind = FailureKind.CANCELLED) -> Call:
        """Return the call as it stands when nobody waits for it any longer."""
        text = "".join(self._text)
        enough = 1 if self.slot.role == "aggregator" else USEFUL_CHARACTERS
        if len(text.strip()) < enough:
            failure = Failure(kind, why, self.slot.agent.model)
            return Call(self.slot, failure=failure, cost=None if text or self._reasoning else 0.0)
        completion = Completion(
            text,
            "".join(self._reasoning),
            first_token=self._first,
            seconds=monotonic() - self._started,
            partial=why,
            truncation_kind=kind,
        )
        return Call(self.slot, completion)

    async def _updates(
        self, request: Request
    ) -> AsyncGenerator[CallDelta | CallRetrying | Completion | Failure, None]:
        async with aclosing(self._turn.ask(request)) as updates:
            async for update in updates:
                match update:
                    case Delta(text, reasoning):
                        if self._first is None:
                            self._first = monotonic() - self._started
                        self._text.append(text)
                        self._reasoning.append(reasoning)
                        yield CallDelta(self.slot, text, reasoning)
                    case Retrying(failure, attempt, wait):
                        self._text.clear()
                        self._reasoning.clear()
                        yield CallRetrying(self.slot, failure, attempt, wait)
                    case Completion() | Failure():
                        yield update
                    case _:
                        pass

    def _call(self, last: Completion | Failure | None) -> Call:
        agent = self.slot.agent
        if last is None:
            last = Failure(FailureKind.INTERNAL, "the call ended without a result", agent.model)
        if isinstance(last, Failure):
            streamed = any(self._text)
            if streamed and (self.slot.role == "aggregator" or last.kind is not FailureKind.CONTENT_FILTER):
                return self.cut(last.describe(), last.kind)
            return Call(self.slot, failure=last, cost=0.0)
        cost = self._turn.models.cost(agent, last.usage)
        if last.text.strip():
            return Call(self.slot, last, cost=cost)
        if last.finish_reason == "length":
            limit = f"all {last.usage.completion_tokens or 'its'} tokens went into thinking"
            failure = Failure(
                FailureKind.THOUGHT_OUT,
                limit,
                agent.model,
                hint="raise --max_tokens or switch its thinking off",
            )
        else:
            failure = Failure(FailureKind.EMPTY, "it finished without a word", agent.model)
        return Call(self.slot, last, failure, cost)

    def _limit(self) -> int:
        plan, agent = self._turn.plan, self.slot.agent
        if agent.max_tokens is not None:
            return agent.max_tokens
        return plan.max_tokens if self.slot.role == "aggregator" else plan.reference_max_tokens

    def _fit(self, context: int | None) -> Fitted:
        turn_context = self._turn
        return fit(
            systems=(turn_context.plan.system, self.slot.agent.system),
            instruction=turn_context.plan.instruction,
            answers=self._answers,
            history=turn_context.history,
            prompt=turn_context.prompt,
            max_tokens=self._limit(),
            context=context,
        )

    def _smaller(self, failure: Failure, context: int | None) -> int:
        if failure.limit is not None:
            self._turn.models.learn_context(self.slot.agent, failure.limit)
        known = failure.limit or context
        if known is None:
            # Nobody names the limit: aim below what has just been refused.
            whole = self._fit(None)
            known = sum(len(message.content) for message in whole.messages) // 4 + self._limit()
        return int(known * SECOND_BUDGET)

    def _request(self, fitted: Fitted) -> Request:
        plan, agent, models = self._turn.plan, self.slot.agent, self._turn.models
        temperature = plan.temperature if agent.temperature is None else agent.temperature
        aggregator = self.slot.role == "aggregator"
        return Request(
            endpoint=models.endpoint(agent.endpoint),
            model=agent.model,
            messages=prompts.continue_reply(fitted.messages, self._so_far)
            if self._so_far
            else fitted.messages,
            temperature=0.0 if temperature < NO_TEMPERATURE else temperature,
            max_tokens=fitted.max_tokens,
            seed=None if plan.seed is None else plan.seed + self.slot.index,
            extra=models.fields(agent),
            timeout=plan.timeout,
            delta_interval=0.0 if aggregator else DELTA_INTERVAL,
            retry_partial=not aggregator,
        )

    def _cut_notices(self, fitted: Fitted) -> list[Notice]:
        """Say what had to be cut for this model, each thing once."""
        if fitted.whole:
            return []
        name = self.slot.agent.model
        what = []
        if fitted.dropped:
            what.append("the oldest turns are left out")
        if fitted.shortened:
            what.append("the references are shortened")
        if fitted.tightened:
            what.append(f"only {fitted.max_tokens} tokens are left for the answer")
        key = f"{name}: {bool(fitted.dropped)}{bool(fitted.shortened)}{fitted.tightened}"
        if key in self._turn.said:
            return []
        self._turn.said.add(key)
        return [Notice(f"To fit the context of {name}, " + " and ".join(what) + ".")]
