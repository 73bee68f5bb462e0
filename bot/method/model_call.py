"""One slot's call: from the messages it is to send to the answer or the failure it ends with.

Builds the request (messages fitted to the model's context, parameters of the agent or the
mixture), passes on its updates, keeps the text that has come in case the call is cut off, and
asks once more with a smaller budget when the service says that the context was too long.
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.errors import Failure, FailureKind, MoaError
from bot.events import CallDelta, CallFinished, CallQueued, CallRetrying, CallStarted, Notice
from bot.messages import (
    Adapted,
    Completion,
    Delta,
    Dequeued,
    Endpoint,
    Queued,
    Request,
    Retrying,
)
from bot.method import prompts
from bot.method.context import MESSAGE_TOKENS, Fitted, estimate_tokens, fit, fit_notices
from bot.method.turn_context import Task, TurnContext
from bot.text.words import is_blank
from bot.turn_result import Call, Slot

_LOG = logging.getLogger(__name__)

CallEvent = CallStarted | CallQueued | CallDelta | CallRetrying | CallFinished | Notice

SECOND_BUDGET = 0.75
"""Share of the context length that is aimed at once the estimate has proved too low."""
CHARACTERS_PER_TOKEN = 4
USEFUL_CHARACTERS = 200
"""A reference cut off before this much text is not worth showing to another model; nor is a text of any
model that repeats itself from before there on."""
DELTA_INTERVAL = 0.05
"""Seconds: proposals are watched, not read, as they stream; 20 updates a second are enough."""
MIN_TEMPERATURE = 1e-4
"""A temperature below this is sent as 0."""


class ModelCall:
    """A call in progress. Iterate `events()`; the last one is its `CallFinished`.

    `answers` are those that the model reads, `comparison` a judge's of them. `partial_reply` is the
    beginning of a reply that broke off: the model is asked for the rest of it.
    """

    def __init__(
        self,
        slot: Slot,
        turn_context: TurnContext,
        answers: Sequence[str],
        partial_reply: str = "",
        *,
        comparison: str = "",
        task: Task | None = None,
    ) -> None:
        self.slot = slot
        self._turn_context = turn_context
        self._answers = answers
        self._partial_reply = partial_reply
        self._comparison = comparison
        self._task = task or Task("")
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._started = get_running_loop().time()
        self._first_token: float | None = None

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        """Make the call and yield what happens to it. Raises MoaError; any other exception is its failure."""
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    yield event
        except MoaError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: what goes wrong in a call costs this call only
            _LOG.debug("a call failed", exc_info=True)
            # Only the exception's name: its message may quote what was read.
            message = f"a mistake in moa-bot: {type(error).__name__}"
            yield CallFinished(self._finished(Failure(FailureKind.INTERNAL, message, self.slot.agent.model)))

    async def _events(self) -> AsyncGenerator[CallEvent, None]:
        context_length = self._turn_context.models.context_length(self.slot.agent)
        fitted = self._fit(context_length)
        outcome: Completion | Failure | None = None
        for attempt in (1, 2):
            for notice in self._fit_notices(fitted):
                yield notice
            yield CallStarted(self.slot)
            async with aclosing(self._updates(self._request(fitted))) as updates:
                async for update in updates:
                    if isinstance(update, Completion | Failure):
                        outcome = update
                    else:
                        yield update
            if attempt > 1 or not isinstance(outcome, Failure):
                break
            if outcome.kind is not FailureKind.CONTEXT_LENGTH:
                break
            smaller = self._fit(self._smaller_context(outcome, context_length))
            if smaller == fitted:
                break
            fitted = smaller
            yield CallRetrying(self.slot, outcome, attempt, 0.0)
        yield CallFinished(self._finished(outcome))

    def cut_off(self, why: str, kind: FailureKind = FailureKind.CANCELLED) -> Call:
        """Return the call as it stands: an answer with the text so far, or a failure if that is too short."""
        text = "".join(self._text)
        enough = USEFUL_CHARACTERS if self._contributes else 1
        if is_blank(text) or len(text.strip()) < enough:
            return self._failed(Failure(kind, why, self.slot.agent.model))
        completion = Completion(
            text,
            "".join(self._reasoning),
            first_token=self._first_token,
            seconds=self._seconds(),
            partial=why,
            truncation_kind=kind,
        )
        return Call(self.slot, completion)

    async def _updates(self, request: Request) -> AsyncGenerator[CallEvent | Completion | Failure, None]:
        async with aclosing(self._turn_context.ask(request)) as updates:
            async for update in updates:
                match update:
                    case Delta(text, reasoning):
                        if self._first_token is None:
                            self._first_token = self._seconds()
                        self._text.append(text)
                        self._reasoning.append(reasoning)
                        yield CallDelta(self.slot, text, reasoning)
                    case Retrying(failure, attempt, wait):
                        self._text.clear()
                        self._reasoning.clear()
                        self._first_token = None
                        yield CallRetrying(self.slot, failure, attempt, wait)
                    case Queued():
                        yield CallQueued(self.slot)
                    case Dequeued(loaded):
                        self._started = get_running_loop().time()
                        yield CallStarted(self.slot, loaded)
                    case Adapted(text):
                        yield Notice(text)
                    case Completion() | Failure():
                        yield update
                    case _:
                        pass

    def _finished(self, outcome: Completion | Failure | None) -> Call:
        """Return the call that ended with `outcome`; an empty completion is a failure."""
        agent = self.slot.agent
        if outcome is None:
            outcome = Failure(FailureKind.INTERNAL, "the call ended without a result", agent.model)
        if isinstance(outcome, Failure):
            streamed = any(self._text)
            if streamed and (
                not self._contributes or outcome.kind not in (FailureKind.CONTENT_FILTER, FailureKind.REFUSED)
            ):
                return self.cut_off(outcome.describe(), outcome.kind)
            return self._failed(outcome)
        cost = self._turn_context.models.cost(agent, outcome.usage)
        if outcome.truncation_kind is FailureKind.ENDLESS and len(outcome.text.strip()) < USEFUL_CHARACTERS:
            message = outcome.partial.removeprefix(f"{FailureKind.ENDLESS}: ")
            return Call(self.slot, outcome, Failure(FailureKind.ENDLESS, message, agent.model), cost)
        asked_for_calls = self._writes and "tools" in self._turn_context.plan.reply_fields
        if not is_blank(outcome.text) or (outcome.tool_calls and asked_for_calls):
            return Call(self.slot, outcome, cost=cost)
        if outcome.finish_reason == "length":
            failure = Failure(
                FailureKind.OUT_OF_TOKENS,
                f"all {outcome.usage.completion_tokens or 'its'} tokens went into thinking",
                agent.model,
                hint="raise --max_tokens or switch its thinking off",
            )
        else:
            failure = Failure(FailureKind.EMPTY, "it finished without a word", agent.model)
        return Call(self.slot, outcome, failure, cost)

    def _failed(self, failure: Failure) -> Call:
        """Return the failed call; its cost is unknown once a part of an answer has come."""
        came = any(self._text) or any(self._reasoning)
        return Call(self.slot, failure=failure, cost=None if came else 0.0)

    @property
    def _writes(self) -> bool:
        """Whether the call writes the reply, or a draft of it."""
        return self.slot.role in {"aggregator", "draft"}

    @property
    def _contributes(self) -> bool:
        """Whether the call is one of several that contribute to the reply."""
        return self.slot.role in {"reference", "review"}

    def _seconds(self) -> float:
        """Return the seconds since the call began, without what it waited for other calls."""
        return get_running_loop().time() - self._started

    def _max_tokens(self) -> int:
        plan, agent = self._turn_context.plan, self.slot.agent
        if agent.max_tokens is not None:
            return agent.max_tokens
        return plan.reference_max_tokens if self._contributes else plan.max_tokens

    def _fit(self, context_length: int | None) -> Fitted:
        turn_context = self._turn_context
        # Only the model that is offered the tools can read messages about them as they are.
        read = tuple if self._writes else prompts.tools_as_text
        return fit(
            systems=(turn_context.plan.system, self.slot.agent.system),
            instruction=turn_context.plan.instruction,
            answers=self._answers,
            history=read(turn_context.history),
            prompt=turn_context.prompt,
            after=read(turn_context.after),
            max_tokens=self._max_tokens(),
            context_length=context_length,
            placement=turn_context.plan.placement,
            comparison=self._comparison,
            task=self._task.sentence,
            more_tokens=sum(estimate_tokens(text) + MESSAGE_TOKENS for text in self._task.correction or ()),
        )

    def _smaller_context(self, failure: Failure, context_length: int | None) -> int:
        """Return the context length, in tokens, to fit the second request into."""
        if failure.limit is not None:
            self._turn_context.models.learn_context_length(self.slot.agent, failure.limit)
        known = failure.limit or context_length
        if known is None:
            # The limit is unknown: aim below what has just been refused.
            refused = self._fit(None).messages
            characters = sum(len(message.content) for message in refused)
            known = characters // CHARACTERS_PER_TOKEN + self._max_tokens()
        return int(known * SECOND_BUDGET)

    def _request(self, fitted: Fitted) -> Request:
        plan, agent, models = self._turn_context.plan, self.slot.agent, self._turn_context.models
        temperature = plan.temperature if agent.temperature is None else agent.temperature
        writes = self._writes
        endpoint, messages = models.endpoint(agent.endpoint), fitted.messages
        # With answers in it, the system message is another one each time, and nothing after it can be cached.
        varies = plan.placement == "system" and self._answers
        if endpoint.wants_cache_mark(agent.model) and not varies:
            messages = prompts.mark_history(messages)
        if self._partial_reply:
            messages = prompts.continue_reply(messages, self._partial_reply)
        if self._task.correction:
            messages = prompts.correct_reply(messages, *self._task.correction)
        return Request(
            endpoint=endpoint,
            model=agent.model,
            messages=messages,
            temperature=0.0 if temperature < MIN_TEMPERATURE else temperature,
            max_tokens=fitted.max_tokens,
            seed=None if plan.seed is None else plan.seed + self.slot.index,
            extra={
                **models.request_fields(agent),
                **(plan.reply_fields if writes else {}),
                **self._task.fields,
            },
            timeout=plan.timeout,
            delta_interval=0.0 if writes else DELTA_INTERVAL,
            retry_partial=not writes,
            cache_key=self._cache_key(endpoint),
        )

    def _cache_key(self, endpoint: Endpoint) -> str:
        """Return the key of the conversation, "" for a service that takes none: a prompt can be long."""
        if not (endpoint.cache_key_field or endpoint.cache_key_header):
            return ""
        context = self._turn_context
        return prompts.cache_key(context.plan.system, context.history, context.prompt, self.slot.agent.model)

    def _fit_notices(self, fitted: Fitted) -> list[Notice]:
        """Return what had to be cut for this model, as a notice that is given once."""
        name, prompt = self.slot.agent.model, self._turn_context.prompt
        key = f"{name}: {bool(fitted.dropped)}{bool(fitted.shortened)}{fitted.tightened}"
        # A prompt that is too long is said each time.
        key += f"{hash(prompt)}" if fitted.excess else ""
        if key in self._turn_context.shown_notices:
            return []
        self._turn_context.shown_notices.add(key)
        return [Notice(line) for line in fit_notices(name, fitted)]
