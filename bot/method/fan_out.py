"""Makes several calls concurrently and merges their events into one stream."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.errors import FailureKind
from bot.events import CallFinished, CallQueued, CallStarted
from bot.method.model_call import CallEvent, ModelCall
from bot.method.round_timeout import RoundTimeout
from bot.text.numbers import duration
from bot.turn_result import Call, Slot

_Queue = asyncio.Queue[tuple[ModelCall | None, CallEvent | Exception | None]]
"""Of the calls' events and exceptions; None and None once the user cancels."""


class CancelToken:
    """What the user wants ended while a turn runs. Both methods may be called from a signal handler."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.round_cut = False
        self.stopped = False

    @property
    def cause(self) -> str:
        """Why a call that was not over is cut off."""
        return "stopped" if self.stopped else "not waited for"

    def cut_round(self) -> None:
        """Wait no longer for the references of this round, and skip the rounds after it."""
        self.round_cut = True
        self._changed.set()

    def stop(self) -> None:
        """End the turn; what the aggregator has written by now is kept."""
        self.stopped = True
        self._changed.set()

    async def wait(self) -> None:
        """Return once the round is cut or the turn stopped."""
        while not (self.stopped or self.round_cut):
            await self._changed.wait()
            self._changed.clear()


class _RoundClock:
    """When the open calls of a round are to be cut off. All times are those of the event loop, in seconds."""

    def __init__(self, slots: Sequence[Slot], round_timeout: RoundTimeout, now: float) -> None:
        self._round_timeout, self._started = round_timeout, now
        self._began: dict[Slot, float | None] = dict.fromkeys(slots, now)
        """When a call's own time began; None while it waits for others."""
        self._used = dict.fromkeys(slots, 0.0)
        """The own seconds of a call before it had to wait."""
        self._loading: set[Slot] = set()
        self._may_answer = len(slots)
        self._own: list[float] = []
        self._answered: list[float] = []

    def update(self, event: CallEvent, now: float) -> None:
        """Note what an event says of a call's time."""
        match event:
            case CallQueued(slot) if (began := self._began.get(slot)) is not None:
                self._used[slot], self._began[slot] = now - began, None
            case CallStarted(slot, loaded):
                if not loaded:
                    self._loading.add(slot)
                if self._began.get(slot, now) is None:
                    self._began[slot] = now - self._used[slot]
            case CallFinished(call):
                self._finish(call, now)

    def _finish(self, call: Call, now: float) -> None:
        began = self._began.pop(call.slot)
        if not call.answer:
            # The median, and a quorum, are of the calls that may still answer.
            self._may_answer -= 1
            return
        self._answered.append(now - self._started)
        if began is not None and not call.cut:
            self._own.append(now - began)

    def cuts(self) -> dict[Slot, tuple[float, str]]:
        """Return for each call that has a limit when it is cut off, and why."""
        timeout, cuts = self._round_timeout, dict[Slot, tuple[float, str]]()
        of_round = timeout.round_limit(self._may_answer, self._answered)
        for slot, began in self._began.items():
            limits = []
            own = timeout.own_limit(self._may_answer, self._own, loaded=slot not in self._loading)
            if began is not None and own is not None and own < math.inf:
                by = "" if timeout.deadline is None else " by the deadline"
                limits.append((began + own, f"cut off{by} after {duration(own)}"))
            if of_round is not None:
                limits.append((self._started + of_round, f"cut off by the quorum after {duration(of_round)}"))
            if limits:
                cuts[slot] = min(limits, key=lambda limit: limit[0])
        return cuts


async def fan_out(
    calls: Sequence[ModelCall], cancel_token: CancelToken, round_timeout: RoundTimeout | None = None
) -> AsyncGenerator[CallEvent, None]:
    """Make all calls at once and yield their events as they come, until every call is finished.

    When the user cancels, the calls that are still open are cut off and finished with what they have, and
    so is each call whose time is over. Raises what a call raises.
    """
    queue: _Queue = asyncio.Queue()
    tasks = {call.slot: asyncio.create_task(_forward(call, queue)) for call in calls}
    cancelling = asyncio.create_task(_forward_cancellation(cancel_token, queue))
    open_calls = {call.slot: call for call in calls}
    now = asyncio.get_running_loop().time
    clock = _RoundClock(list(open_calls), round_timeout or RoundTimeout(math.inf), now())
    try:
        while open_calls:
            cuts = clock.cuts()
            item = await _next(queue, min((at for at, _ in cuts.values()), default=math.inf))
            if item is None:
                over = [(slot, why) for slot, (at, why) in cuts.items() if at <= now()]
                for slot, why in over:
                    tasks[slot].cancel()
                    cut = CallFinished(open_calls.pop(slot).cut_off(why, FailureKind.TOO_SLOW))
                    clock.update(cut, now())
                    yield cut
                continue
            call, event = item
            if isinstance(event, Exception):
                raise event
            if call is None or event is None:
                for call in open_calls.values():
                    yield CallFinished(call.cut_off(cancel_token.cause))
                return
            if call.slot in open_calls:  # else it was cut off meanwhile
                clock.update(event, now())
                if isinstance(event, CallFinished):
                    del open_calls[call.slot]
                yield event
    finally:
        for task in (*tasks.values(), cancelling):
            task.cancel()
        await asyncio.gather(*tasks.values(), cancelling, return_exceptions=True)


async def _next(queue: _Queue, until: float) -> tuple[ModelCall | None, CallEvent | Exception | None] | None:
    """Return the queue's next item, None when none has come until that time of the loop's clock."""
    try:
        async with asyncio.timeout_at(None if until == math.inf else until):
            return await queue.get()
    except TimeoutError:
        return None


async def _forward(call: ModelCall, queue: _Queue) -> None:
    """Put the call's events into the queue, and the exception that ends them."""
    try:
        async with aclosing(call.events()) as events:
            async for event in events:
                queue.put_nowait((call, event))
    except Exception as error:  # noqa: BLE001 - fan_out raises it
        queue.put_nowait((call, error))


async def _forward_cancellation(cancel_token: CancelToken, queue: _Queue) -> None:
    """Put None into the queue once the user cancels."""
    await cancel_token.wait()
    queue.put_nowait((None, None))
