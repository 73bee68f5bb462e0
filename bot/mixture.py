"""The Mixture of Agents itself: rounds of reference models, then the aggregator.

    round 1              every reference model gets the conversation and the prompt
    round 2 … rounds     the same, plus all answers of the round before
    aggregator           the same, plus all answers of the last round; its words are the reply

(arXiv 2406.04692, section 2.2; rounds = layers - 1.) The mixture is pure: it is given a way to
ask and what there is to know of the models, and tells what happens as events. It knows nothing of
processes, services, terminals or files; chat, batch and evaluation all run this one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING

from bot.calls import Brief, CallEvent, Models, SeatCall
from bot.errors import Failure, FailureKind
from bot.events import (
    AggregatorStarted,
    Call,
    CallDelta,
    CallFinished,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    Seat,
    TurnFinished,
    TurnResult,
    TurnStatus,
)
from bot.messages import Agent, Ask, Message, Usage

if TYPE_CHECKING:
    from bot.settings.plan import Plan


class Control:
    """The two wishes a user can have while a turn runs; both may be made from a signal handler.

    `hurry`: stop waiting for references, go on with what is there. `stop`: end the turn now.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.hurried = False
        self.stopped = False

    def hurry(self) -> None:
        """Wait no longer for the references of this round and of those to come."""
        self.hurried = True
        self._changed.set()

    def stop(self) -> None:
        """End the turn; what the aggregator has written by now is kept."""
        self.stopped = True
        self._changed.set()

    async def wait(self) -> None:
        """Return at the next wish."""
        await self._changed.wait()
        self._changed.clear()


class Mixture:
    """A mixture ready to answer: its plan, a way to ask, and what is known of its models."""

    def __init__(self, plan: Plan, ask: Ask, models: Models) -> None:
        self.plan = plan
        self._ask = ask
        self._models = models
        self._said: set[str] = set()

    async def run(
        self, history: Sequence[Message], prompt: str, control: Control | None = None
    ) -> AsyncGenerator[Event, None]:
        """Answer `prompt` after `history`; the last event is always `TurnFinished`.

        Closing the iterator cancels every call of the turn.
        """
        brief = Brief(self.plan, self._ask, self._models, history, prompt, self._said)
        turn = _Turn(brief, control or Control())
        async with aclosing(turn.events()) as events:
            async for event in events:
                yield event


class _Turn:
    """The state of one turn."""

    def __init__(self, brief: Brief, control: Control) -> None:
        self._brief = brief
        self._control = control
        self._started = monotonic()
        self._rounds: list[tuple[Call, ...]] = []
        self._notices: list[str] = []
        self._answers: list[str] = []
        self._first_token: float | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run rounds and aggregator; keep the notices for the result."""
        async with aclosing(self._all()) as events:
            async for event in events:
                if isinstance(event, Notice):
                    self._notices.append(event.text)
                yield event

    async def _all(self) -> AsyncGenerator[Event, None]:
        plan = self._brief.plan
        rounds = len(plan.layers)
        for number, agents in enumerate(plan.layers, start=1):
            async with aclosing(self._round(number, rounds, agents)) as events:
                async for event in events:
                    yield event
            if self._control.stopped:
                yield self._finished(None, Failure(FailureKind.CANCELLED, "stopped before the reply began"))
                return
            calls = self._rounds[-1]
            answers = [call.answer for call in calls if call.answer]
            if number > 1 and len(answers) < max(1, plan.min_references):
                yield Notice(
                    f"Round {number} gave {_count(len(answers), 'answer')}, too few to use: "
                    f"the reply is made from round {number - 1}."
                )
                break
            if len(answers) < plan.min_references:
                yield self._finished(None, self._too_few(calls, len(answers)))
                return
            self._answers = answers
            if self._control.hurried and number < rounds:
                yield Notice(
                    f"Stopped waiting in round {number} of {rounds}: the reply is made from what was there."
                )
                break
        async with aclosing(self._aggregate(rounds + 1)) as events:
            async for event in events:
                yield event

    async def _round(self, number: int, rounds: int, agents: Sequence[Agent]) -> AsyncGenerator[Event, None]:
        started = monotonic()
        seats = tuple(Seat(number, index, agent) for index, agent in enumerate(agents))
        yield RoundStarted(number, rounds, seats)
        calls = [SeatCall(seat, self._brief, self._answers) for seat in seats]
        finished: dict[int, Call] = {}
        async with aclosing(_drive(calls, self._control)) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    finished[event.call.seat.index] = event.call
                yield event
        ordered = tuple(finished[index] for index in range(len(seats)))
        self._rounds.append(ordered)
        answered = sum(bool(call.answer) for call in ordered)
        used = answered >= (
            max(1, self._brief.plan.min_references) if number > 1 else self._brief.plan.min_references
        )
        yield RoundFinished(number, rounds, ordered, monotonic() - started, used)

    async def _aggregate(self, number: int) -> AsyncGenerator[Event, None]:
        seat = Seat(number, 0, self._brief.plan.aggregator, "aggregator")
        yield AggregatorStarted(seat, len(self._answers))
        last: Call | None = None
        # A wish to hurry is about references; the reply is only ever stopped.
        self._control.hurried = False
        async with aclosing(_drive([SeatCall(seat, self._brief, self._answers)], self._control)) as events:
            async for event in events:
                if isinstance(event, CallDelta):
                    if event.text and self._first_token is None:
                        self._first_token = monotonic() - self._started
                    yield ReplyDelta(event.text, event.reasoning)
                    continue
                if isinstance(event, CallFinished):
                    last = event.call
                yield event
        assert last is not None  # noqa: S101 - _drive finishes every call it is given
        if last.completion and not last.failure and last.completion.finish_reason == "length":
            tokens = last.completion.usage.completion_tokens
            yield Notice(
                f"The reply ended at its limit of tokens{f' ({tokens})' if tokens else ''}: see --max_tokens."
            )
        yield self._finished(last, last.failure)

    def _too_few(self, calls: Sequence[Call], answers: int) -> Failure:
        failures = [call.failure for call in calls if call.failure]
        kinds = {failure.kind for failure in failures}
        needed = self._brief.plan.min_references
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

    def _finished(self, aggregator: Call | None, failure: Failure | None) -> TurnFinished:
        calls = [call for layer in self._rounds for call in layer] + ([aggregator] if aggregator else [])
        completion = aggregator.completion if aggregator and not failure else None
        status: TurnStatus = "failed" if completion is None else "partial" if completion.partial else "done"
        costs = [call.cost for call in calls]
        return TurnFinished(
            TurnResult(
                status=status,
                reply=completion.text if completion else "",
                reasoning=completion.reasoning if completion else "",
                model=self._brief.plan.aggregator.model,
                rounds=tuple(self._rounds),
                aggregator=aggregator,
                failure=failure,
                usage=total_usage(calls),
                cost=None if None in costs else sum(cost for cost in costs if cost is not None),
                first_token=self._first_token,
                seconds=monotonic() - self._started,
                notices=tuple(self._notices),
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


async def _drive(calls: Sequence[SeatCall], control: Control) -> AsyncGenerator[CallEvent, None]:
    """Make all calls at once and yield their events as they come.

    Ends when every call is finished. At a wish of the user, calls still open are cut off and
    finished with what they have.
    """
    queue: asyncio.Queue[CallEvent | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(call, queue)) for call in calls]
    tasks.append(asyncio.create_task(_listen(control, queue)))
    waiting = {call.seat: call for call in calls}
    try:
        while waiting:
            event = await queue.get()
            if isinstance(event, Exception):
                raise event
            if event is None:
                why = "stopped" if control.stopped else "not waited for"
                for call in waiting.values():
                    yield CallFinished(call.cut(why))
                return
            if isinstance(event, CallFinished):
                del waiting[event.call.seat]
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(call: SeatCall, queue: asyncio.Queue[CallEvent | Exception | None]) -> None:
    """Put the call's events into the queue, and whatever stops them."""
    try:
        async with aclosing(call.events()) as events:
            async for event in events:
                queue.put_nowait(event)
    except Exception as error:  # noqa: BLE001 - raised again by whoever reads the queue
        queue.put_nowait(error)


async def _listen(control: Control, queue: asyncio.Queue[CallEvent | Exception | None]) -> None:
    """Put None into the queue once the user wants no more waiting."""
    while not (control.stopped or control.hurried):
        await control.wait()
    queue.put_nowait(None)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
