"""Makes several calls at once and tells their events as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import monotonic

from bot.errors import FailureKind
from bot.events import CallFinished
from bot.method.model_call import CallEvent, ModelCall
from bot.method.round_timeout import RoundTimeout
from bot.text.numbers import duration


class CancelToken:
    """The two wishes a user can have while a turn runs; both may be made from a signal handler.

    `hurry`: stop waiting for references, go on with what is there. `stop`: end the turn now.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.round_cut = False
        self.stopped = False

    def cut_round(self) -> None:
        """Wait no longer for the references of this round and of those to come."""
        self.round_cut = True
        self._changed.set()

    def stop(self) -> None:
        """End the turn; what the aggregator has written by now is kept."""
        self.stopped = True
        self._changed.set()

    async def wait(self) -> None:
        """Return at the next wish."""
        await self._changed.wait()
        self._changed.clear()


async def fan_out(
    calls: Sequence[ModelCall], cancel_token: CancelToken, round_timeout: RoundTimeout | None = None
) -> AsyncGenerator[CallEvent, None]:
    """Make all calls at once and yield their events as they come.

    Ends when every call is finished. At a wish of the user, or when patience is over, calls still
    open are cut off and finished with what they have.
    """
    queue: asyncio.Queue[CallEvent | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(call, queue)) for call in calls]
    tasks.append(asyncio.create_task(_listen(cancel_token, queue)))
    waiting = {call.slot: call for call in calls}
    started = monotonic()
    answered: list[float] = []
    slots = len(calls)
    try:
        while waiting:
            limit = round_timeout.limit(slots, answered) if round_timeout else None
            try:
                left = None if limit is None else max(started + limit - monotonic(), 0)
                async with asyncio.timeout(left):
                    event = await queue.get()
            except TimeoutError:
                for call in waiting.values():
                    yield CallFinished(call.cut(f"cut off after {duration(limit or 0)}", FailureKind.LATE))
                return
            if isinstance(event, Exception):
                raise event
            if event is None:
                why = "stopped" if cancel_token.stopped else "not waited for"
                for call in waiting.values():
                    yield CallFinished(call.cut(why))
                return
            if isinstance(event, CallFinished):
                del waiting[event.call.slot]
                if event.call.answer:
                    answered.append(monotonic() - started)
                else:
                    # The median, and a quorum, are of those that may still answer.
                    slots -= 1
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(call: ModelCall, queue: asyncio.Queue[CallEvent | Exception | None]) -> None:
    """Put the call's events into the queue, and whatever stops them."""
    try:
        async with aclosing(call.events()) as events:
            async for event in events:
                queue.put_nowait(event)
    except Exception as error:  # noqa: BLE001 - raised again by whoever reads the queue
        queue.put_nowait(error)


async def _listen(cancel_token: CancelToken, queue: asyncio.Queue[CallEvent | Exception | None]) -> None:
    """Put None into the queue once the user wants no more waiting."""
    while not (cancel_token.stopped or cancel_token.round_cut):
        await cancel_token.wait()
    queue.put_nowait(None)
