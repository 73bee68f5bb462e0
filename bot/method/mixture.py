"""The Mixture of Agents itself: rounds of reference models, then the aggregator.

    round 1              every reference model gets the conversation and the prompt
    round 2 … rounds     the same, plus all answers of the round before
    aggregator           the same, plus all answers of the last round; its words are the reply

(arXiv 2406.04692, section 2.2; rounds = layers - 1.) The mixture is pure: it is given a way to
ask and what there is to know of the models, and tells what happens as events. It knows nothing of
processes, services, terminals or files; chat, batch and evaluation all run this one loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from bot.errors import Failure, FailureKind
from bot.events import (
    Call,
    CallFinished,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    Slot,
    TurnFinished,
    TurnResult,
    TurnStatus,
)
from bot.messages import Agent, Ask, Message, Usage
from bot.method.aggregation import Aggregation
from bot.method.early_stop import Decision, decide
from bot.method.fan_out import CancelToken, fan_out
from bot.method.model_call import ModelCall, Models, TurnContext
from bot.method.ranking import Ranking
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.method.plan import Plan

__all__ = ["CancelToken", "Mixture", "total_usage"]


class Mixture:
    """A mixture ready to answer: its plan, a way to ask, and what is known of its models."""

    def __init__(self, plan: Plan, ask: Ask, models: Models) -> None:
        self.plan = plan
        self._ask = ask
        self._models = models
        self._said: set[str] = set()

    async def run(
        self, history: Sequence[Message], prompt: str, cancel_token: CancelToken | None = None
    ) -> AsyncGenerator[Event, None]:
        """Answer `prompt` after `history`; the last event is always `TurnFinished`.

        Closing the iterator cancels every call of the turn.
        """
        turn_context = TurnContext(self.plan, self._ask, self._models, history, prompt, self._said)
        turn = _Turn(turn_context, cancel_token or CancelToken())
        async with aclosing(turn.events()) as events:
            async for event in events:
                yield event


class _Turn:
    """The state of one turn."""

    def __init__(self, turn_context: TurnContext, cancel_token: CancelToken) -> None:
        self._turn = turn_context
        self._cancel_token = cancel_token
        self._started = monotonic()
        self._rounds: list[tuple[Call, ...]] = []
        self._notices: list[str] = []
        self._references: list[Call] = []
        self._first_token: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run rounds and aggregator; keep the notices for the result."""
        async with aclosing(self._all()) as events:
            async for event in events:
                if isinstance(event, Notice):
                    self._notices.append(event.text)
                yield event

    async def _all(self) -> AsyncGenerator[Event, None]:
        rounds = len(self._turn.plan.layers)
        for number, agents in enumerate(self._turn.plan.layers, start=1):
            async with aclosing(self._round(number, rounds, agents)) as events:
                async for event in events:
                    yield event
            if failure := self._failure():
                yield self._finished(None, failure)
                return
            enough, why = self._is_enough(number, rounds)
            if why:
                yield Notice(why)
            if enough:
                break
        async with aclosing(self._aggregate(rounds + 1)) as events:
            async for event in events:
                yield event

    def _failure(self) -> Failure | None:
        """Return why the turn ends here, after the round that is over: stopped, or nothing to go on with."""
        if self._cancel_token.stopped:
            return Failure(FailureKind.CANCELLED, "stopped before the reply began")
        calls = self._rounds[-1]
        answers = sum(bool(call.answer) for call in calls)
        if len(self._rounds) == 1 and answers < self._turn.plan.min_references:
            return self._too_few(calls, answers)
        return None

    def _is_enough(self, number: int, rounds: int) -> tuple[bool, str]:
        """Return whether round `number` was the last one, and what is to be said about it."""
        plan = self._turn.plan
        answers = [call for call in self._rounds[-1] if call.answer]
        if number > 1 and len(answers) < max(1, plan.min_references):
            few = plural(len(answers), "answer") if answers else "no answers"
            return (
                True,
                f"Round {number} gave {few}, too few to use: the reply is made from round {number - 1}.",
            )
        self._references = answers
        if self._cancel_token.round_cut and number < rounds:
            return (
                True,
                f"Stopped waiting in round {number} of {rounds}: the reply is made from what was there.",
            )
        decision = self._decide(number, rounds)
        if decision is None:
            return False, ""
        if decision.light:
            self._use_light_aggregator()
        return decision.enough, decision.why if decision.enough or plan.early_stop.adaptive else ""

    def _decide(self, number: int, rounds: int) -> Decision | None:
        plan = self._turn.plan
        light = plan.light_aggregator.model.rpartition("/")[2] if plan.light_aggregator else None
        return decide(plan.early_stop, number, rounds, [call.answer for call in self._references], light)

    def _use_light_aggregator(self) -> None:
        """Let the light aggregator write this turn's reply, with the usual one to fall back on."""
        plan = self._turn.plan
        assert plan.light_aggregator is not None  # noqa: S101 - only then is a decision light
        plan = replace(plan, aggregator=plan.light_aggregator, fallbacks=(plan.aggregator, *plan.fallbacks))
        self._turn = replace(self._turn, plan=plan)

    async def _round(self, number: int, rounds: int, agents: Sequence[Agent]) -> AsyncGenerator[Event, None]:
        started = monotonic()
        slots = tuple(Slot(number, index, agent) for index, agent in enumerate(agents))
        yield RoundStarted(number, rounds, slots)
        answers = [call.answer for call in self._references]
        calls = [ModelCall(slot, self._turn, answers) for slot in slots]
        finished: dict[int, Call] = {}
        async with aclosing(fan_out(calls, self._cancel_token, self._turn.plan.round_timeout)) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    finished[event.call.slot.index] = event.call
                yield event
        ordered = tuple(finished[index] for index in range(len(slots)))
        self._rounds.append(ordered)
        answered = sum(bool(call.answer) for call in ordered)
        used = answered >= (
            max(1, self._turn.plan.min_references) if number > 1 else self._turn.plan.min_references
        )
        yield RoundFinished(number, rounds, ordered, monotonic() - started, used)

    async def _aggregate(self, number: int) -> AsyncGenerator[Event, None]:
        # A wish to hurry is about references; the reply is only ever stopped.
        self._cancel_token.round_cut = False
        ranks = self._turn.plan.ranking is not None and self._references
        last_layer = Ranking if ranks else Aggregation
        aggregation = last_layer(self._turn, self._cancel_token, number, self._references)
        async with aclosing(aggregation.events()) as events:
            async for event in events:
                if isinstance(event, ReplyDelta) and event.text and self._first_token is None:
                    self._first_token = monotonic() - self._started
                yield event
        call = aggregation.call
        assert call is not None  # noqa: S101 - whatever happens, some call is behind the end
        if call.completion and not call.failure and call.completion.finish_reason == "length":
            tokens = call.completion.usage.completion_tokens
            limit = f" ({tokens})" if tokens else ""
            yield Notice(f"The reply ended at its limit of tokens{limit}: see --max_tokens.")
        yield self._finished(call, call.failure, aggregation.attempts)

    def _too_few(self, calls: Sequence[Call], answers: int) -> Failure:
        failures = [call.failure for call in calls if call.failure]
        kinds = {failure.kind for failure in failures}
        needed = self._turn.plan.min_references
        if kinds == {FailureKind.CANCELLED}:
            return Failure(FailureKind.CANCELLED, "stopped before enough models had answered")
        if len(failures) == len(calls) and len(kinds) == 1:
            # One cause for all (no key, no network): that is the news, not how many failed.
            return (
                failures[0]
                if len(failures) == 1
                else Failure(
                    failures[0].kind,
                    f"all {len(failures)} reference models failed: {failures[0].message}",
                    hint=failures[0].hint,
                )
            )
        reasons = "; ".join(str(failure) for failure in failures)
        return Failure(
            FailureKind.TOO_FEW,
            f"{answers} of {len(calls)} reference models answered, {needed} needed: {reasons}",
            hint="--min_references sets how many are needed",
        )

    def _finished(
        self, aggregator: Call | None, failure: Failure | None, attempts: Sequence[Call] = ()
    ) -> TurnFinished:
        calls = [call for layer in self._rounds for call in layer]
        calls += [*attempts, aggregator] if aggregator else attempts
        completion = aggregator.completion if aggregator and not failure else None
        status: TurnStatus = "failed" if completion is None else "partial" if completion.partial else "done"
        costs = [call.cost for call in calls]
        return TurnFinished(
            TurnResult(
                status=status,
                reply=completion.text if completion else "",
                reasoning=completion.reasoning if completion else "",
                model=(aggregator.slot.agent if aggregator else self._turn.plan.aggregator).model,
                rounds=tuple(self._rounds),
                aggregator=aggregator,
                failure=failure,
                usage=total_usage(calls),
                cost=None if None in costs else sum(cost for cost in costs if cost is not None),
                first_token=self._first_token,
                seconds=monotonic() - self._started,
                notices=tuple(self._notices),
                attempts=tuple(attempts),
            )
        )


def total_usage(calls: Sequence[Call]) -> Usage:
    """Return the tokens of all calls together, as far as the services reported them."""
    usages = [call.completion.usage for call in calls if call.completion]

    def total(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    return Usage(
        total([usage.prompt_tokens for usage in usages]),
        total([usage.completion_tokens for usage in usages]),
        total([usage.reasoning_tokens for usage in usages]),
    )
