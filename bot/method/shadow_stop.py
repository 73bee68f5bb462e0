"""`--early_stop shadow`: what early stop would have done in a turn that takes all its rounds.

round r ─► early stop would end the turn here ─┬─► round r + 1 … rounds ─► the reply
                                               └─► the last layer, on the answers of round r ─► kept

The second reply is written beside the rounds. Its events are not shown: what it says and what it cost are in
the turn's result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from bot.errors import Failure, FailureKind, MoaError
from bot.events import CallFinished
from bot.method.early_stop import Decision
from bot.method.fan_out import CancelToken
from bot.method.modes import last_layer
from bot.method.turn_context import TurnContext
from bot.turn_result import Call, Shadow, Slot, TurnResult


class ShadowStop:
    """What early stop decides in one turn, and the reply that it would have led to."""

    def __init__(self) -> None:
        self._decision: Shadow | None = None
        self._task: asyncio.Task[Call | None] | None = None
        self._context: TurnContext | None = None
        self._calls: list[Call] = []

    @property
    def is_decided(self) -> bool:
        """Whether the turn would be over by now."""
        return self._task is not None

    def keep(self, decision: Decision, number: int, context: TurnContext, references: Sequence[Call]) -> None:
        """Keep the decision after round `number`; if it is to stop, begin the reply from `references`.

        `context` is the turn's as it would be for that reply.
        """
        agreement = context.plan.early_stop.agreement
        stop_after = number if decision.stop else None
        self._decision = Shadow(stop_after, decision.similarity, agreement, decision.reason)
        if decision.stop:
            # What this reply would have to say to the user is not said.
            # It calls no tools: what they find is numbered for the turn's own reply.
            self._context = replace(
                context,
                shown_notices=set(context.shown_notices),
                tools=None,
                sources=list(context.sources),
            )
            self._task = asyncio.ensure_future(self._write(self._context, number, references))

    async def _write(self, context: TurnContext, number: int, references: Sequence[Call]) -> Call | None:
        """Write the reply; returns the call whose answer it is."""
        layer = last_layer(context, CancelToken(), number + 1, references)
        async with aclosing(layer.events()) as events:
            async for event in events:
                if isinstance(event, CallFinished):
                    self._calls.append(event.call)
        return layer.source

    async def complete(self, result: TurnResult, cancel_token: CancelToken) -> TurnResult:
        """Return the turn's result with the decision, its reply, and the calls behind it.

        Waits until the reply is written; if the user stops the turn before that, it is given up.
        """
        shadow, task, context = self._decision, self._task, self._context
        if shadow is None or task is None or context is None:
            return replace(result, shadow=shadow)
        stopping = asyncio.ensure_future(cancel_token.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if not task.done():
            await self.aclose()
        try:
            shadow = _with_reply(shadow, task.result())
        except (asyncio.CancelledError, MoaError) as error:
            message = error.message if isinstance(error, MoaError) else "stopped"
            shadow = replace(shadow, error=message)
            agent = context.plan.aggregator
            # What the call that was given up cost is unknown.
            self._calls.append(
                Call(Slot(0, 0, agent), failure=Failure(FailureKind.CANCELLED, message, agent.model))
            )
        return replace(result, shadow=shadow, calls=self._with_calls(result.calls, shadow.stop_after or 0))

    def _with_calls(self, calls: Sequence[Call], number: int) -> tuple[Call, ...]:
        """Return the turn's calls with this reply's after the references of round `number`."""
        before = [call for call in calls if call.slot.round <= number]
        first = sum(call.slot.round == number for call in before)
        own = [
            replace(call, slot=Slot(number, index, call.slot.agent, "shadow"))
            for index, call in enumerate(self._calls, start=first)
        ]
        return (*before, *own, *calls[len(before) :])

    async def aclose(self) -> None:
        """Give the reply up, if it is not written yet."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task


def _with_reply(shadow: Shadow, source: Call | None) -> Shadow:
    if source is None:
        return replace(shadow, error="no reply was written")
    error = str(source.failure or (source.completion and source.completion.partial) or "")
    return replace(shadow, reply=source.answer, model=source.slot.agent.model, error=error)
