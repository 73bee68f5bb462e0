"""One turn of a mixture: the checks, the rounds, the last layer, and what they came to."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

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
from bot.messages import Agent
from bot.method.aggregation import Aggregation
from bot.method.consult import begins_alone, cannot_consult, panel_task, question_of, refused
from bot.method.context import limit_notice
from bot.method.early_stop import decide
from bot.method.evidence import evidence_of
from bot.method.fan_out import CancelToken, fan_out
from bot.method.json_reply import json_value
from bot.method.model_call import NEW_PARAGRAPH, ModelCall
from bot.method.modes import LastLayer, last_layer
from bot.method.name_check import checked_names
from bot.method.panel import answered, cut_notice, family_notice, panel_of, too_few
from bot.method.plan import WITHOUT_ROUNDS
from bot.method.shadow_stop import ShadowStop
from bot.method.turn_context import CheckNames, Task, TurnContext
from bot.method.vision import vision_of
from bot.text.names import short_name
from bot.text.numbers import plural
from bot.turn_result import ALONE, Call, Slot, TurnResult, TurnStatus


class Turn:
    """The state of one turn; `events()` runs it, and ends with `TurnFinished`."""

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
        self._calls: list[Call] = list(references)
        self._given = max((call.slot.round for call in self._calls), default=0)
        """The round of the references that the turn was begun with."""
        self._references: list[Call] = list(self._calls)
        """The answered calls that the next layer reads."""
        turn_context.add_sources(self._calls)
        self._notices: list[str] = []
        self._analysis: Analysis | None = None
        self._shadow = ShadowStop()
        self._first_token: float | None = None
        self._question: str | None = None
        """What an aggregator that answered alone asks the panel ("": the prompt); None before it has."""
        self._beginning = ""
        """What it wrote of the reply before."""

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
        for part in (self._check, self._answer_alone, self._run_rounds, self._aggregate):
            async with aclosing(part()) as events:
                async for event in events:
                    yield event
                    if isinstance(event, TurnFinished):
                        return

    async def _check(self) -> AsyncGenerator[Event, None]:
        """Say what is wrong with the models' names, and which of them do not see the images."""
        notices, failure = await checked_names(self._turn_context, self._check_names, self._cancel_token)
        if failure is None and self._turn_context.images:
            notice, failure = vision_of(self._turn_context, answering=not self._references)
            notices = (*notices, notice)
        for text in filter(None, notices):
            yield Notice(text)
        if failure:
            yield self._finished(self._turn_context.plan.aggregator, failure=failure)

    async def _run_rounds(self) -> AsyncGenerator[Event, None]:
        for number, agents in enumerate(self._layers, start=1):
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

    @property
    def _layers(self) -> tuple[tuple[Agent, ...], ...]:
        """The reference models of each round before the last layer."""
        plan = self._turn_context.plan
        return () if plan.mode in WITHOUT_ROUNDS or self._given else plan.layers

    async def _run_round(self, number: int, agents: Sequence[Agent]) -> AsyncGenerator[Event, None]:
        plan, started = self._turn_context.plan, self._seconds()
        slots = tuple(Slot(number, index, agent) for index, agent in enumerate(agents))
        yield RoundStarted(number, plan.rounds, slots)
        answers = [call.answer for call in self._references]
        evidence = evidence_of(self._turn_context, self._references)
        question = panel_task(self._question or "", self._turn_context.prompt)
        vote = plan.instructions.get("vote", "").strip()
        task = Task("\n\n".join(filter(None, [question, vote])))
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
        self._turn_context.add_sources(calls)
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

    async def _answer_alone(self) -> AsyncGenerator[Event, None]:
        """Ask the aggregator alone, where it may decide whether to consult the panel."""
        if self._given:
            return
        alone, notice = begins_alone(self._turn_context)
        if self._turn_context.is_new(notice):
            yield Notice(notice)
        if not alone:
            return
        layer = Aggregation(self._turn_context, self._cancel_token, ALONE, ())
        async with aclosing(self._write(layer)) as events:
            async for event in events:
                yield event
        call = layer.source
        if refused(call.failure):
            self._question = ""
            notice = cannot_consult(call.slot.agent.model)
            self._turn_context.shown_notices.add(notice)
            yield Notice(notice)
        elif self._cancel_token.stopped or (question := question_of(call)) is None:
            for event in self._ending(call, call):
                yield event
        else:
            self._question = question
            # One that has failed just now is not waited for again before its fallback writes the reply.
            plan = self._turn_context.plan.with_aggregator(call.slot.agent)
            self._turn_context = replace(self._turn_context, plan=plan)
            if call.answer and self._turn_context.plan.reply_format is None:
                self._beginning = call.answer.rstrip() + NEW_PARAGRAPH
                yield ReplyDelta(NEW_PARAGRAPH)

    async def _aggregate(self) -> AsyncGenerator[Event, None]:
        # Cutting a round is about references; the reply can only be stopped.
        self._cancel_token.round_cut = False
        if self._turn_context.is_new(notice := family_notice(self._used_calls())):
            yield Notice(notice)
        before, number = len(self._calls), max(len(self._layers), self._given) + 1
        layer = last_layer(self._turn_context, self._cancel_token, number, self._references)
        async with aclosing(self._write(layer)) as events:
            async for event in events:
                yield event
        source = layer.source
        if source is None:
            failure = Failure(FailureKind.CANCELLED, "stopped before the reply began")
            yield self._finished(self._turn_context.plan.aggregator, failure=failure)
            return
        # The aggregator's own call, where it did not write the reply but chose it; a mode may need none.
        own = self._calls[before:]
        call = next((call for call in reversed(own) if call.slot.role == "aggregator"), source)
        for event in self._ending(source, call):
            yield event

    async def _write(self, layer: LastLayer) -> AsyncGenerator[Event, None]:
        async with aclosing(layer.events()) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    self._calls.append(event.call)
                yield event

    def _ending(self, source: Call, aggregator: Call) -> Iterator[Event]:
        """Yield the end of a turn whose reply is the answer of `source`."""
        if source.completion and not aggregator.failure and source.completion.finish_reason == "length":
            plan, agent, models = self._turn_context.plan, source.slot.agent, self._turn_context.models
            asked = plan.max_tokens if agent.max_tokens is None else agent.max_tokens
            tokens = source.completion.usage.completion_tokens
            yield Notice(limit_notice(agent.model, tokens, asked, models.context_length(agent)))
        reply = self._beginning + source.answer if source.answer else ""
        yield self._finished(aggregator.slot.agent, aggregator, reply)

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
                reply_object=json_value(self._turn_context.plan, status, reply),
            )
        )

    def _seconds(self) -> float:
        """Return the seconds since the turn began."""
        return get_running_loop().time() - self._started
