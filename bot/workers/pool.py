"""A persistent pool of worker processes through which every call goes.

    main process (one event loop)                      num_proc worker processes
    ask(request) ─► WorkerHandle ═════════ Command ══► event loop ─► a task per call ─► service
                                                                          │
    updates ◄─ queue of the call ◄─ WorkerHandle ◄═══ Reply ══════════════┘

    watcher ─► "ping" to busy workers; a silent one is killed

The workers stay up for the whole conversation and keep their connections. Each holds as many
calls at once as it is given, so `num_proc` sets processes, not how many models can think at the
same time. The event loop never waits for a worker: not while it starts, not when it is stuck. A
worker that dies is replaced, and the calls that it held are asked again, twice at most; a call that
two workers were computing for when they died is given up. What they send each other is in
`bot.workers.protocol`.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any, cast

from bot.client.model_list import ModelList
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Request, Retrying
from bot.workers.forkserver import StartMethod, start_method
from bot.workers.protocol import CallVerb, Update
from bot.workers.worker_handle import PendingCall, WorkerHandle

HEARTBEAT_SECONDS = 1.0
FROZEN_SECONDS = 6.0
"""A worker with calls that sends nothing for so long, not even a reply to "ping", is replaced."""
LIST_SECONDS = 20.0
MAX_ATTEMPTS = 3
"""Workers that a call is given to: two may die of other calls."""
MAX_DEATHS = 2
"""Workers that may die while they compute for a call."""

_LAST = (Completion, ModelList, Failure)


class Pool:
    """Worker processes and the calls they hold. To be used from one event loop.

    `num_proc` processes are started by `start` (or the first `ask`), none by the constructor.
    """

    def __init__(
        self, num_proc: int, *, method: StartMethod | None = None, frozen_seconds: float = FROZEN_SECONDS
    ) -> None:
        self._frozen_seconds = frozen_seconds
        self._watcher: asyncio.Task[None] | None = None
        self._num_proc = max(1, num_proc)
        self._context = multiprocessing.get_context(method or start_method())
        self._workers: list[WorkerHandle] = []
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._exit_reason = ""

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [worker.pid for worker in self._workers if worker.pid]

    def start(self) -> None:
        """Start the workers in the background; returns at once."""
        self._loop = asyncio.get_running_loop()
        if not (self._workers or self._closed or self._exit_reason):
            self._workers = [WorkerHandle(self, self._context) for _ in range(self._num_proc)]
            self._watcher = self._loop.create_task(self._watch_workers())

    def ask(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call; yields its updates, the last a `Completion` or a `Failure`.

        Closing the iterator early cancels the call in its worker.
        """
        # No completion ends in a list of models.
        return cast("AsyncGenerator[CallUpdate, None]", self._follow("ask", request))

    async def models(self, endpoint: Endpoint, timeout: float = LIST_SECONDS) -> ModelList | Failure:  # noqa: ASYNC109 - the wire's, as in Request
        """Return the models that a service lists; `timeout` is the longest silence in seconds."""
        request = Request(endpoint, "", (), temperature=0.0, max_tokens=0, timeout=timeout)
        async with aclosing(self._follow("models", request)) as updates:
            async for update in updates:
                if isinstance(update, ModelList | Failure):
                    return update
        return Failure(FailureKind.INTERNAL, "the list of models did not come")

    async def _follow(self, verb: CallVerb, request: Request) -> AsyncGenerator[Update, None]:
        self.start()
        if not self._workers:
            reason = "the pool is closed" if self._closed else self._exit_reason
            yield Failure(FailureKind.WORKER, reason, request.model)
            return
        call = PendingCall(next(self._numbers), verb, request, asyncio.Queue())
        over = False
        try:
            self._assign(call)
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
        if self._watcher is not None:
            self._watcher.cancel()
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.shut_down()
        await asyncio.gather(*(asyncio.to_thread(worker.join) for worker in workers))

    async def _watch_workers(self) -> None:
        """Send "ping" to busy workers; one that stays silent is killed, and so replaced."""
        beat = min(HEARTBEAT_SECONDS, self._frozen_seconds / 4)
        while True:
            before = monotonic()
            await asyncio.sleep(beat)
            # If this process was stopped itself (Ctrl-Z), silence means nothing.
            stopped = monotonic() - before > beat + HEARTBEAT_SECONDS
            for worker in self._workers:
                if stopped or not (worker.calls and worker.up):
                    worker.last_heard = monotonic()
                elif monotonic() - worker.last_heard > self._frozen_seconds:
                    worker.kill(f"its worker process did not respond for {self._frozen_seconds:g} s")
                else:
                    worker.send(("ping", 0, None))

    def _assign(self, call: PendingCall) -> None:
        """Give the call to the worker with the fewest calls, preferably without one that a worker died of."""
        worker = min(
            self._workers,
            key=lambda worker: (any(each.deaths for each in worker.calls.values()), len(worker.calls)),
        )
        worker.calls[call.number] = call
        worker.send((call.verb, call.number, call.request))

    def _cancel(self, call: PendingCall) -> None:
        for worker in self._workers:
            if worker.calls.pop(call.number, None):
                worker.send(("cancel", call.number, None))

    def on_updates(self, handle: WorkerHandle, number: int, updates: Sequence[Update]) -> None:
        """Pass updates from a worker on to their call (in the event loop)."""
        call = handle.calls.get(number)
        if call is None:
            return
        for update in updates:
            if isinstance(update, _LAST):
                del handle.calls[number]
            call.begun = call.begun or isinstance(update, Delta)
            call.updates.put_nowait(update)

    def on_exit(self, handle: WorkerHandle, reason: str) -> None:
        """Replace a worker that has ended, and ask its calls again (in the event loop)."""
        if self._closed or handle not in self._workers:
            return
        self._exit_reason = reason
        calls = list(handle.calls.values())
        handle.calls.clear()
        handle.shut_down()
        self._workers.remove(handle)
        # One that never came up gets a second try and no third: what stops it will stop all.
        attempts = handle.start_attempts if handle.up else handle.start_attempts - 1
        if attempts > 0:
            self._workers.append(WorkerHandle(self, self._context, attempts))
        for call in calls:
            call.deaths += call.number == handle.current_call
        # The one that the worker died of comes first: it gets the new worker to itself.
        for call in sorted(calls, key=lambda call: -call.deaths):
            failure = Failure(FailureKind.WORKER, reason, call.request.model)
            too_often = call.attempts >= MAX_ATTEMPTS or call.deaths >= MAX_DEATHS
            if too_often or not self._workers or (call.begun and not call.request.retry_partial):
                call.updates.put_nowait(failure)
                continue
            call.updates.put_nowait(Retrying(failure, call.attempts, 0.0))
            call.attempts += 1
            call.begun = False
            self._assign(call)

    def call_in_loop(self, method: Any, *arguments: Any) -> bool:
        """Have the event loop call a method; called from the handles' threads. False if it is closed."""
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(method, *arguments)
        except RuntimeError:  # the loop is closed: the program is ending
            return False
        return True
