"""A persistent pool of worker processes through which every call goes.

      main process                                   worker processes (num_proc of them)
    ask(request) ─► _Hand ─ writer thread ══ pipe ══► event loop ─► calls ─► services
    updates ◄─ queue a call ◄─ reader thread ══ pipe ═══╛     (and a sign of life when asked)

The workers stay up for the whole conversation and keep their connections. Each holds as many
calls at once as it is given, so `num_proc` is about processes, not about how many models think at
the same time. Pipes block, so each worker has two threads here, and the event loop never waits
for a worker: not while it starts, not when it is stuck. A worker that dies is replaced, and the
calls it held are asked again once.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import queue
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Literal, cast

from bot.errors import Failure, FailureKind
from bot.launch import StartMethod, start_method, starting, warm
from bot.listing import Listing
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Request, Retrying

Verb = Literal["ask", "models"]
Update = CallUpdate | Listing

GOODBYE_SECONDS = 1.0
BEAT_SECONDS = 1.0
FROZEN_SECONDS = 6.0
"""A worker with calls that has said nothing for so long, not even that it lives, is replaced."""
LIST_SECONDS = 20.0

_LAST = (Completion, Listing, Failure)


@dataclass(slots=True)
class _Call:
    """A call under way: where its updates go, and what to know when its worker dies."""

    number: int
    verb: Verb
    request: Request
    updates: asyncio.Queue[Update]
    asked: int = 1
    begun: bool = False


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
        self._hands: list[_Hand] = []
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
            self._hands = [_Hand(self, self._context) for _ in range(self._num_proc)]
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
        call = _Call(next(self._numbers), verb, request, asyncio.Queue())
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

    def _assign(self, call: _Call) -> None:
        """Give the call to the worker with the fewest calls."""
        hand = min(self._hands, key=lambda hand: len(hand.calls))
        hand.calls[call.number] = call
        hand.send((call.verb, call.number, call.request))

    def _cancel(self, call: _Call) -> None:
        for hand in self._hands:
            if hand.calls.pop(call.number, None):
                hand.send(("cancel", call.number, None))

    def received(self, hand: _Hand, number: int, update: Update) -> None:
        """Pass an update from a worker on to its call (in the event loop)."""
        call = hand.calls.get(number)
        if call is None:
            return
        if isinstance(update, _LAST):
            del hand.calls[number]
        call.begun = call.begun or isinstance(update, Delta)
        call.updates.put_nowait(update)

    def lost(self, hand: _Hand, why: str) -> None:
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
            self._hands.append(_Hand(self, self._context, tries))
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


class _Hand:
    """One worker process as the pool sees it: a process, a pipe, and a thread for each direction."""

    def __init__(self, pool: Pool, context: Any, tries: int = 2) -> None:
        self.calls: dict[int, _Call] = {}
        self.tries = tries
        self.up = False
        self.heard = monotonic()
        self.pid: int | None = None
        self._pool, self._context = pool, context
        self._orders: queue.SimpleQueue[tuple[str, int, Request | None] | None] = queue.SimpleQueue()
        self._process: BaseProcess | None = None
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, order: tuple[str, int, Request | None]) -> None:
        """Queue an order; the writer thread sends it once the worker is up."""
        self._orders.put(order)

    def dismiss(self) -> None:
        """Let the worker end: nothing more is sent, and the pipe is closed."""
        self._orders.put(None)

    def kill(self) -> None:
        """End the worker by force; the reader thread then tells the pool."""
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until the process is gone, by force if need be."""
        self._writer.join(GOODBYE_SECONDS)
        process = self._process
        if process is None:
            return
        for end in (None, process.terminate, process.kill):
            if end is not None:
                end()
            process.join(GOODBYE_SECONDS)
            if process.exitcode is not None:
                return

    def _write(self) -> None:
        """Start the worker, then pass orders on (a thread: both can block)."""
        from bot import worker

        try:
            ours, theirs = self._context.Pipe()
            process: BaseProcess = self._context.Process(target=worker.main, args=(theirs,), daemon=True)
            warm()
            with starting():
                process.start()
        except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
            self._pool.tell(self._pool.lost, self, f"a worker process could not be started: {error}")
            return
        theirs.close()
        self._process, self.pid = process, process.pid
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        with suppress(OSError):
            while (order := self._orders.get()) is not None:
                ours.send(order)
        # Closing our end while the reader blocks in it would be a race: the worker closes first.
        with suppress(OSError):
            ours.send(("quit", 0, None))

    def _read(self, pipe: Connection) -> None:
        """Pass the worker's updates on until it is gone."""
        from bot import worker

        try:
            while True:
                number, update = pipe.recv()
                self.heard = monotonic()
                if number == worker.HELLO:
                    self.up = True
                else:
                    self._pool.tell(self._pool.received, self, number, update)
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - a pipe that yields nonsense is a dead worker
            self._pool.tell(self._pool.lost, self, f"a worker sent something unreadable: {error}")
            return
        finally:
            pipe.close()
        process = self._process
        if process is not None:
            process.join(GOODBYE_SECONDS)
            code = process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
            self._pool.tell(self._pool.lost, self, f"its worker process ended {how}")
