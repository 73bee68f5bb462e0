"""One slot's call: from the messages it is to send to the answer or the failure it ends with.

Passes on the updates of its request (`bot.method.model_request`), keeps the text that has come in case
the call is cut off, and asks once more with a smaller budget when the service says that the context was
too long. A call may be several requests, with the tools that its model calls between them
(`bot.method.tool_loop`).
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.errors import Failure, FailureKind, MoaError
from bot.events import (
    CallDelta,
    CallFinished,
    CallQueued,
    CallRetrying,
    CallStarted,
    Notice,
    ToolFinished,
    ToolStarted,
)
from bot.messages import (
    Adapted,
    Completion,
    Delta,
    Dequeued,
    Queued,
    Request,
    Retrying,
)
from bot.method import prompts
from bot.method.model_request import ModelRequest
from bot.method.tool_loop import ToolLoop, offer_tools
from bot.method.turn_context import Task, TurnContext
from bot.text.words import is_blank
from bot.tool_use import ToolRun
from bot.turn_result import Call, Slot

_LOG = logging.getLogger(__name__)

CallEvent = (
    CallStarted | CallQueued | CallDelta | CallRetrying | CallFinished | ToolStarted | ToolFinished | Notice
)

USEFUL_CHARACTERS = 200
"""A reference cut off before this much text is not worth showing to another model; nor is a text of any
model that repeats itself from before there on."""
NEW_PARAGRAPH = "\n\n"


class ModelCall:
    """A call in progress. Iterate `events()`; the last one is its `CallFinished`.

    `answers` are those that the model reads, `comparison` a judge's of them, `evidence` which tools ran for
    them. `partial_reply` is the beginning of a reply that broke off: the model is asked for the rest of it.
    """

    def __init__(
        self,
        slot: Slot,
        turn_context: TurnContext,
        answers: Sequence[str],
        partial_reply: str = "",
        *,
        comparison: str = "",
        evidence: prompts.Evidence | None = None,
        task: Task | None = None,
    ) -> None:
        self.slot = slot
        self._turn_context = turn_context
        self._request = ModelRequest(
            slot, turn_context, answers, partial_reply, comparison, evidence, task or Task("")
        )
        self._loop: ToolLoop | None = None
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
        if notice := await self._offer_tools():
            yield notice
        while True:
            outcome: Completion | Failure | None = None
            async with aclosing(self._ask()) as updates:
                async for update in updates:
                    if isinstance(update, Completion | Failure):
                        outcome = update
                    else:
                        yield update
            loop = self._loop
            if loop is None or not isinstance(outcome, Completion) or not loop.wants(outcome):
                break
            async with aclosing(loop.run(outcome)) as events:
                async for event in events:
                    yield event
            if loop.consults:
                break
            if delta := self._next_request(outcome):
                yield delta
        if self._loop is not None and isinstance(outcome, Completion):
            outcome = self._loop.complete(outcome, writes=self._request.writes)
        yield CallFinished(self._finished(outcome))

    async def _offer_tools(self) -> Notice | None:
        """Offer the model its tools; returns what is to be said about it."""
        if self._request.partial_reply:
            return None
        self._loop, said = await offer_tools(self.slot, self._turn_context, writes=self._request.writes)
        self._request.loop = self._loop
        return Notice(said) if self._turn_context.is_new(said) else None

    async def _ask(self) -> AsyncGenerator[CallEvent | Completion | Failure, None]:
        """Send one request, and once more if it was too long; the last update is what it came to."""
        context_length = self._turn_context.models.context_length(self.slot.agent)
        request = self._request
        fitted = request.fit(context_length)
        outcome: Completion | Failure | None = None
        for attempt in (1, 2):
            for notice in request.notices(fitted):
                yield notice
            yield CallStarted(self.slot)
            async with aclosing(self._updates(request.build(fitted))) as updates:
                async for update in updates:
                    if isinstance(update, Completion | Failure):
                        outcome = update
                    else:
                        yield update
            if attempt > 1 or not isinstance(outcome, Failure):
                break
            if outcome.kind is not FailureKind.CONTEXT_LENGTH:
                break
            sent = request.tool_messages
            smaller = request.fit(request.smaller_context(outcome, context_length))
            if smaller == fitted and request.tool_messages == sent:
                break
            fitted = smaller
            yield CallRetrying(self.slot, outcome, attempt, 0.0)
        if outcome is not None:
            yield outcome

    def _next_request(self, completion: Completion) -> CallDelta | None:
        """Prepare for the request after tool calls; a reply that has begun goes on in a new paragraph."""
        if not self._request.writes:
            self._text.clear()
            return None
        if is_blank(completion.text):
            return None
        self._text.append(NEW_PARAGRAPH)
        return CallDelta(self.slot, NEW_PARAGRAPH)

    def cut_off(self, why: str, kind: FailureKind = FailureKind.CANCELLED) -> Call:
        """Return the call as it stands: an answer with the text so far, or a failure if that is too short."""
        text = "".join(self._text)
        enough = USEFUL_CHARACTERS if self._request.contributes else 1
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
        return Call(self.slot, completion, tool_runs=self._tool_runs)

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
                not self._request.contributes
                or outcome.kind not in (FailureKind.CONTENT_FILTER, FailureKind.REFUSED)
            ):
                return self.cut_off(outcome.describe(), outcome.kind)
            return self._failed(outcome)
        cost = self._turn_context.models.cost(agent, outcome.usage)
        if outcome.truncation_kind is FailureKind.ENDLESS and len(outcome.text.strip()) < USEFUL_CHARACTERS:
            message = outcome.partial.removeprefix(f"{FailureKind.ENDLESS}: ")
            failure = Failure(FailureKind.ENDLESS, message, agent.model)
            return Call(self.slot, outcome, failure, cost, self._tool_runs)
        asked_for_calls = self._request.writes and "tools" in self._turn_context.plan.reply_fields
        consults = self._loop is not None and self._loop.consults
        if not is_blank(outcome.text) or (outcome.tool_calls and asked_for_calls) or consults:
            return Call(self.slot, outcome, cost=cost, tool_runs=self._tool_runs)
        if outcome.finish_reason == "length":
            failure = Failure(
                FailureKind.OUT_OF_TOKENS,
                f"all {outcome.usage.completion_tokens or 'its'} tokens went into thinking",
                agent.model,
                hint="raise --max_tokens or switch its thinking off",
            )
        else:
            said = "it only called tools" if outcome.tool_calls else "it finished without a word"
            failure = Failure(FailureKind.EMPTY, said, agent.model)
        return Call(self.slot, outcome, failure, cost, self._tool_runs)

    def _failed(self, failure: Failure) -> Call:
        """Return the failed call; its cost is unknown once a part of an answer has come."""
        came = any(self._text) or any(self._reasoning)
        if self._loop is None or not self._loop.has_begun:
            return Call(self.slot, failure=failure, cost=None if came else 0.0)
        # The requests before this one ended with tool calls, and were paid for.
        usage = self._loop.usage
        cost = None if came else self._turn_context.models.cost(self.slot.agent, usage)
        completion = Completion("", usage=usage, seconds=self._seconds())
        return Call(self.slot, completion, failure, cost, self._tool_runs)

    @property
    def _tool_runs(self) -> tuple[ToolRun, ...]:
        return tuple(self._loop.runs) if self._loop else ()

    def _seconds(self) -> float:
        """Return the seconds since the call began, without what it waited for other calls."""
        return get_running_loop().time() - self._started
