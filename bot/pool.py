"""A persistent pool of worker processes through which every call goes.

      main process                                   worker processes (num_proc of them)
    ask(request) ─► hand of a worker ══════ pipe ══► event loop ─► calls ─► services
    updates ◄─ queue a call ◄─ hand ◄══════ pipe ═══╛        (and a sign of life when asked)

The workers stay up for the whole conversation and keep their connections. Each holds as many
calls at once as it is given, so `num_proc` is about processes, not about how many models think at
the same time. The event loop never waits for a worker: not while it starts, not when it is stuck
(`bot.hand` sees to that). A worker that dies is replaced, and the calls it held are asked again
once.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from time import monotonic
from typing import Any, cast

from bot.errors import Failure, FailureKind
from bot.hand import Call, Hand, Update, Verb
from bot.launch import StartMethod, start_method
from bot.listing import Listing
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Request, Retrying

BEAT_SECONDS = 1.0
FROZEN_SECONDS = 6.0
"""A worker with calls that has said nothing for so long, not even that it lives, is replaced."""
LIST_SECONDS = 20.0

_LAST = (Completion, Listing, Failure)


class Pool:
    """Worker processes and the calls they hold. To be used from one event loop.

    `num_proc` processes are started by `start` (or the first `ask`), none by the constructor.
    """

    def __init__(
        self, num_proc: int, *, method: StartMethod | None = None, frozen: float = FROZEN_SECONDS
    ) -> None:
        self._frozen = frozen
        self._beating: asyncio.Task[None] | None = None
        self._num_proc = max(1, num_proc)
        self._context = multiprocessing.get_context(method or start_method())
        self._hands: list[Hand] = []
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._why = ""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [hand.pid for hand in self._hands if hand.pid]

    def start(self) -> None:
        """Start the workers in the background; returns at once."""
        self._loop = asyncio.get_running_loop()
        if not (self._hands or self._closed or self._why):
            self._hands = [Hand(self, self._context) for _ in range(self._num_proc)]
            self._beating = self._loop.create_task(self._beat())

    def ask(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call; yields its updates, the last a `Completion` or a `Failure`.

        Closing the iterator early cancels the call in its worker.
        """
        # No completion ends in a list of models.
        return cast("AsyncGenerator[CallUpdate, None]", self._follow("ask", request))

    async def models(self, endpoint: Endpoint, timeout: float = LIST_SECONDS) -> Listing | Failure:  # noqa: ASYNC109 - the wire's, as in Request
        """Return the models that a service lists; `timeout` is the longest silence in seconds."""
        request = Request(endpoint, "", (), temperature=0.0, max_tokens=0, timeout=timeout)
        async with aclosing(self._follow("models", request)) as updates:
            async for update in updates:
                if isinstance(update, Listing | Failure):
                    return update
        return Failure(FailureKind.INTERNAL, "the list of models did not come")

    async def _follow(self, verb: Verb, request: Request) -> AsyncGenerator[Update, None]:
        self.start()
        if not self._hands:
            why = "the pool is closed" if self._closed else self._why
            yield Failure(FailureKind.WORKER, why, request.model)
            return
        call = Call(next(self._numbers), verb, request, asyncio.Queue())
        self._assign(call)
        over = False
        try:
            while not over:
                update = await call.updates.get()
                over = isinstance(update, _LAST)
                yield update
        finally:
            if not over:
                self._cancel(call)

    async def close(self) -> None:
        """End all workers; returns when they are gone."""
        self._closed = True
        if self._beating is not None:
            self._beating.cancel()
        hands, self._hands = self._hands, []
        for hand in hands:
            hand.dismiss()
        await asyncio.gather(*(asyncio.to_thread(hand.join) for hand in hands))

    async def _beat(self) -> None:
        """Ask busy workers for a sign of life; one that gives none is killed, and so replaced."""
        beat = min(BEAT_SECONDS, self._frozen / 4)
        while True:
            before = monotonic()
            await asyncio.sleep(beat)
            # If this process was stopped itself (Ctrl-Z), silence means nothing.
            stopped = monotonic() - before > beat + BEAT_SECONDS
            for hand in self._hands:
                if stopped or not (hand.calls and hand.up):
                    hand.heard = monotonic()
                elif monotonic() - hand.heard > self._frozen:
                    hand.kill()
                else:
                    hand.send(("ping", 0, None))

    def _assign(self, call: Call) -> None:
        """Give the call to the worker with the fewest calls."""
        hand = min(self._hands, key=lambda hand: len(hand.calls))
        hand.calls[call.number] = call
        hand.send((call.verb, call.number, call.request))

    def _cancel(self, call: Call) -> None:
        for hand in self._hands:
            if hand.calls.pop(call.number, None):
                hand.send(("cancel", call.number, None))

    def received(self, hand: Hand, number: int, updates: Sequence[Update]) -> None:
        """Pass updates from a worker on to their call (in the event loop)."""
        call = hand.calls.get(number)
        if call is None:
            return
        for update in updates:
            if isinstance(update, _LAST):
                del hand.calls[number]
            call.begun = call.begun or isinstance(update, Delta)
            call.updates.put_nowait(update)

    def lost(self, hand: Hand, why: str) -> None:
        """Replace a worker that has ended, and ask its calls again (in the event loop)."""
        if self._closed or hand not in self._hands:
            return
        self._why = why
        calls = list(hand.calls.values())
        hand.calls.clear()
        hand.dismiss()
        self._hands.remove(hand)
        # One that never came up gets a second try and no third: what stops it will stop all.
        tries = hand.tries if hand.up else hand.tries - 1
        if tries > 0:
            self._hands.append(Hand(self, self._context, tries))
        for call in calls:
            failure = Failure(FailureKind.WORKER, why, call.request.model)
            if call.asked > 1 or not self._hands or (call.begun and not call.request.restartable):
                call.updates.put_nowait(failure)
                continue
            call.updates.put_nowait(Retrying(failure, call.asked, 0.0))
            call.asked += 1
            call.begun = False
            self._assign(call)

    def tell(self, what: Any, *arguments: Any) -> None:
        """Have the event loop call a method of ours; called from the hands' threads."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the program is leaving
                self._loop.call_soon_threadsafe(what, *arguments)
