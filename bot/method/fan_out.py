"""Makes several calls concurrently and merges their events into one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bot.errors import FailureKind
from bot.events import CallFinished
from bot.method.model_call import CallEvent, ModelCall
from bot.method.round_timeout import RoundTimeout
from bot.text.numbers import duration


class CancelToken:
    """What the user wants ended while a turn runs. Both methods may be called from a signal handler."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.round_cut = False
        self.stopped = False

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


async def fan_out(
    calls: Sequence[ModelCall], cancel_token: CancelToken, round_timeout: RoundTimeout | None = None
) -> AsyncGenerator[CallEvent, None]:
    """Make all calls at once and yield their events as they come, until every call is finished.

    When the user cancels, or the round's time is over, the calls that are still open are cut off
    and finished with what they have. Raises what a call raises.
    """
    queue: asyncio.Queue[CallEvent | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_forward(call, queue)) for call in calls]
    tasks.append(asyncio.create_task(_forward_cancellation(cancel_token, queue)))
    open_calls = {call.slot: call for call in calls}
    now = asyncio.get_running_loop().time
    started = now()
    answered: list[float] = []
    slots = len(calls)
    try:
        while open_calls:
            limit = round_timeout.limit(slots, answered) if round_timeout else None
            try:
                async with asyncio.timeout_at(None if limit is None else started + limit):
                    event = await queue.get()
            except TimeoutError:
                by = round_timeout.cause(limit) if round_timeout else ""
                why = f"cut off{by and f' by the {by}'} after {duration(limit or 0)}"
                for call in open_calls.values():
                    yield CallFinished(call.cut_off(why, FailureKind.TOO_SLOW))
                return
            if isinstance(event, Exception):
                raise event
            if event is None:
                why = "stopped" if cancel_token.stopped else "not waited for"
                for call in open_calls.values():
                    yield CallFinished(call.cut_off(why))
                return
            if isinstance(event, CallFinished):
                del open_calls[event.call.slot]
                if event.call.answer:
                    answered.append(now() - started)
                else:
                    # The median, and a quorum, are of the calls that may still answer.
                    slots -= 1
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(call: ModelCall, queue: asyncio.Queue[CallEvent | Exception | None]) -> None:
    """Put the call's events into the queue, and the exception that ends them."""
    try:
        async with aclosing(call.events()) as events:
            async for event in events:
                queue.put_nowait(event)
    except Exception as error:  # noqa: BLE001 - fan_out raises it
        queue.put_nowait(error)


async def _forward_cancellation(
    cancel_token: CancelToken, queue: asyncio.Queue[CallEvent | Exception | None]
) -> None:
    """Put None into the queue once the user cancels."""
    await cancel_token.wait()
    queue.put_nowait(None)
