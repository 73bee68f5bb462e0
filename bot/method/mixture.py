"""The Mixture of Agents itself: rounds of reference models, then the aggregator.

    round 1              every reference model gets the conversation and the prompt
    round 2 … rounds     the same, plus all answers of the round before
    aggregator           the same, plus all answers of the last round; its text is the reply

(arXiv 2406.04692, section 2.2; rounds = layers - 1.) The mixture is pure: it is given a way to
ask and what is known of the models, and yields events. It knows nothing of processes, services,
terminals or files; chat, batch and evaluations all run this one loop. Times are read from the
event loop's clock, so a test can set it.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.analysis import Analysis
from bot.errors import Failure, FailureKind
from bot.events import (
    CallFinished,
    Compared,
    DraftDelta,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    TurnFinished,
)
from bot.messages import Agent, Ask, Image, Message, Usage
from bot.method.context import limit_notice
from bot.method.early_stop import decide
from bot.method.evidence import evidence_of
from bot.method.fan_out import CancelToken, fan_out
from bot.method.model_call import ModelCall
from bot.method.modes import last_layer
from bot.method.panel import answered, cut_notice, family_notice, panel_of, too_few
from bot.method.plan import WITHOUT_ROUNDS
from bot.method.shadow_stop import ShadowStop
from bot.method.turn_context import CheckNames, Models, Task, TurnContext
from bot.method.vision import vision_of
from bot.text.names import short_name
from bot.text.numbers import plural
from bot.tool_use import PermittedTools
from bot.turn_result import Call, Slot, TurnResult, TurnStatus, add_sources, tool_runs_of

if TYPE_CHECKING:
    from bot.method.plan import Plan

__all__ = ["CancelToken", "Mixture"]


class Mixture:
    """A mixture ready to answer: its plan, a way to ask, and what is known of its models.

    `check_names` is asked before the first round of each turn. `tools` are those that models may call.
    """

    def __init__(
        self,
        plan: Plan,
        ask: Ask,
        models: Models,
        check_names: CheckNames | None = None,
        tools: PermittedTools | None = None,
    ) -> None:
        self.plan = plan
        self._ask = ask
        self.models = models
        self._check_names = check_names
        self._tools = tools
        self._shown_notices: set[str] = set()

    def run(
        self,
        history: Sequence[Message],
        prompt: str,
        cancel_token: CancelToken | None = None,
        *,
        after: Sequence[Message] = (),
        prefill: str = "",
        references: Sequence[Call] = (),
        images: Sequence[Image] = (),
    ) -> AsyncGenerator[Event, None]:
        """Answer `prompt` after `history`; the last event is always `TurnFinished`.

        `images` go along with the prompt. `after` are tool calls and results since the prompt. The reply
        continues `prefill`. It is made from `references`, where there are any, without asking reference
        models. Closing the iterator cancels every call of the turn.
        """
        turn_context = TurnContext(
            self.plan,
            self._ask,
            self.models,
            history,
            prompt,
            self._shown_notices,
            after,
            prefill,
            self._tools,
            images=tuple(images),
        )
        return _Turn(turn_context, cancel_token or CancelToken(), self._check_names, references).events()


class _Turn:
    """The state of one turn."""

    def __init__(
        self,
        turn_context: TurnContext,
        cancel_token: CancelToken,
        check_names: CheckNames | None,
        references: Sequence[Call],
    ) -> None:
        self._turn_context = turn_context
        self._cancel_token = cancel_token
        self._check_names = check_names
        self._started = 0.0
        self._calls: list[Call] = [_paid(call) for call in references]
        self._references: list[Call] = list(self._calls)
        add_sources(turn_context.sources, tool_runs_of(self._calls))
        """The answered calls that the next layer reads."""
        self._notices: list[str] = []
        self._analysis: Analysis | None = None
        self._shadow = ShadowStop()
        self._first_token: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run the turn and keep for its result what the events say."""
        self._started = get_running_loop().time()
        async with aclosing(self._shadow), aclosing(self._run()) as events:
            async for event in events:
                if isinstance(event, Notice):
                    self._notices.append(event.text)
                elif isinstance(event, Compared):
                    self._analysis = event.analysis
                elif isinstance(event, ReplyDelta | DraftDelta) and event.text and self._first_token is None:
                    self._first_token = self._seconds()
                elif isinstance(event, TurnFinished):
                    result = await self._shadow.complete(event.result, self._cancel_token)
                    event = TurnFinished(result)  # noqa: PLW2901 - the same event, completed
                yield event

    async def _run(self) -> AsyncGenerator[Event, None]:
        plan = self._turn_context.plan
        layers = () if plan.mode in WITHOUT_ROUNDS or self._references else plan.layers
        given = max((call.slot.round for call in self._references), default=0)
        notices, failure = await self._checked_names()
        if failure is None and self._turn_context.images:
            notice, failure = vision_of(self._turn_context, answering=not self._references)
            notices = (*notices, notice)
        for text in filter(None, notices):
            yield Notice(text)
        if failure:
            yield self._finished(self._turn_context.plan.aggregator, failure=failure)
            return
        for number, agents in enumerate(layers, start=1):
            async with aclosing(self._run_round(number, agents)) as events:
                async for event in events:
                    yield event
            if failure := self._failure(number):
                yield self._finished(self._turn_context.plan.aggregator, failure=failure)
                return
            cut = cut_notice(number, self._turn_context.plan.rounds, self._calls_of(number))
            stop, notice = self._is_last(number)
            for text in filter(None, (cut, notice)):
                yield Notice(text)
            if stop:
                break
        async with aclosing(self._aggregate(max(len(layers), given) + 1)) as events:
            async for event in events:
                yield event

    async def _checked_names(self) -> tuple[tuple[str, ...], Failure | None]:
        """Return what is to be said about the names of models; nothing when the user does not wait for it."""
        if self._check_names is None:
            return (), None
        checking = asyncio.ensure_future(
            self._check_names(self._turn_context.plan, vision=bool(self._turn_context.images))
        )
        stopping = asyncio.ensure_future(self._cancel_token.wait())
        try:
            await asyncio.wait({checking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return checking.result() if checking.done() else ((), None)
        finally:
            checking.cancel()
            stopping.cancel()

    async def _run_round(self, number: int, agents: Sequence[Agent]) -> AsyncGenerator[Event, None]:
        plan, started = self._turn_context.plan, self._seconds()
        slots = tuple(Slot(number, index, agent) for index, agent in enumerate(agents))
        yield RoundStarted(number, plan.rounds, slots)
        answers = [call.answer for call in self._references]
        evidence = evidence_of(self._turn_context, self._references)
        task = Task(plan.instructions["vote"].strip()) if "vote" in plan.instructions else None
        model_calls = [
            ModelCall(slot, self._turn_context, answers, evidence=evidence, task=task) for slot in slots
        ]
        finished: dict[Slot, Call] = {}
        async with aclosing(fan_out(model_calls, self._cancel_token, plan.round_timeout)) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    finished[event.call.slot] = event.call
                yield event
        calls = tuple(finished[slot] for slot in slots)
        self._calls += calls
        add_sources(self._turn_context.sources, tool_runs_of(calls))
        used = answered(calls) >= self._needed(number) and not self._cancel_token.stopped
        yield RoundFinished(number, plan.rounds, calls, self._seconds() - started, used)

    def _needed(self, number: int) -> int:
        """Return how many answers make round `number` usable; without references, round 1 needs none."""
        least = self._turn_context.plan.min_references
        return least if number == 1 else max(1, least)

    def _calls_of(self, number: int) -> list[Call]:
        return [call for call in self._calls if call.slot.round == number]

    def _used_calls(self) -> list[Call]:
        """Return the calls of the round that the reply is made from; without any, of the last one."""
        calls = self._references or [
            call for call in self._calls if call.slot.role in {"reference", "review"}
        ]
        return self._calls_of(calls[-1].slot.round) if calls else []

    def _failure(self, number: int) -> Failure | None:
        """Return why the turn ends after round `number` without a reply, None when it continues."""
        calls, needed = self._calls_of(number), self._needed(number)
        unusable = number == 1 and answered(calls) < needed
        if self._cancel_token.stopped or (unusable and self._cancel_token.round_cut):
            return Failure(FailureKind.CANCELLED, "stopped before the reply began")
        return too_few(calls, needed) if unusable else None

    def _is_last(self, number: int) -> tuple[bool, str]:
        """Return whether the reply is made after round `number`, and a notice about that or ""."""
        plan = self._turn_context.plan
        references = [call for call in self._calls_of(number) if call.answer]
        if len(references) < self._needed(number):
            count = plural(len(references), "answer") if references else "no answers"
            why = f"Round {number} gave {count}, too few to use"
            return True, f"{why}: the reply is made from round {number - 1}."
        self._references = references
        if self._cancel_token.round_cut and number < plan.rounds:
            why = f"Stopped waiting in round {number} of {plan.rounds}"
            return True, f"{why}: the reply is made from the answers that were there."
        light = short_name(plan.light_aggregator.model) if plan.light_aggregator else None
        if self._shadow.is_decided:
            return False, ""
        decision = decide(plan.early_stop, number, plan.rounds, [call.answer for call in references], light)
        if decision is None:
            return False, ""
        context = replace(self._turn_context, plan=plan.with_light_aggregator() if decision.light else plan)
        if plan.early_stop.is_shadow:
            self._shadow.keep(decision, number, context, references)
            return False, decision.notice if decision.stop else ""
        self._turn_context = context
        return decision.stop, decision.notice if decision.stop or plan.early_stop.adaptive else ""

    async def _aggregate(self, number: int) -> AsyncGenerator[Event, None]:
        # Cutting a round is about references; the reply can only be stopped.
        self._cancel_token.round_cut = False
        if (notice := family_notice(self._used_calls())) and notice not in self._turn_context.shown_notices:
            self._turn_context.shown_notices.add(notice)
            yield Notice(notice)
        layer = last_layer(self._turn_context, self._cancel_token, number, self._references)
        async with aclosing(layer.events()) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    self._calls.append(event.call)
                yield event
        source = layer.source
        if source is None:
            failure = Failure(FailureKind.CANCELLED, "stopped before the reply began")
            yield self._finished(self._turn_context.plan.aggregator, failure=failure)
            return
        # The aggregator's own call, where it did not write the reply but chose it; a mode may need none.
        call = next((call for call in reversed(self._calls) if call.slot.role == "aggregator"), source)
        if source.completion and not call.failure and source.completion.finish_reason == "length":
            plan, agent, models = self._turn_context.plan, source.slot.agent, self._turn_context.models
            asked = plan.max_tokens if agent.max_tokens is None else agent.max_tokens
            tokens = source.completion.usage.completion_tokens
            yield Notice(limit_notice(agent.model, tokens, asked, models.context_length(agent)))
        yield self._finished(call.slot.agent, call, source.answer)

    def _finished(
        self, agent: Agent, aggregator: Call | None = None, reply: str = "", failure: Failure | None = None
    ) -> TurnFinished:
        failure = aggregator.failure if aggregator else failure
        completion = aggregator.completion if aggregator and not failure else None
        status: TurnStatus = "failed" if completion is None else "partial" if completion.partial else "done"
        return TurnFinished(
            TurnResult(
                status=status,
                reply=reply,
                reasoning=completion.reasoning if completion else "",
                model=agent.model,
                calls=tuple(self._calls),
                failure=failure,
                first_token=self._first_token,
                seconds=self._seconds(),
                notices=tuple(self._notices),
                analysis=self._analysis,
                panel=panel_of(self._used_calls()),
            )
        )

    def _seconds(self) -> float:
        """Return the seconds since the turn began."""
        return get_running_loop().time() - self._started


def _paid(call: Call) -> Call:
    """Return a call of an earlier turn for this one, in which it cost nothing."""
    completion = replace(call.completion, usage=Usage(0, 0, 0)) if call.completion else None
    return replace(call, completion=completion, cost=0.0)
