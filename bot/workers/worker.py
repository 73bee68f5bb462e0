"""A worker process: an event loop that holds any number of calls at once.

                   pool ══ socket ══╗
    ("ask", number, Request)        ╠═► event loop ─► one task a call ─► provider
    ("models", number, Request)     ║                     │
    ("cancel", number, None)        ║                     │
    (number, updates) ◄═════════════╩═════════════════════╛
    number of the call at work ─► shared memory, which the pool reads if this process has to be killed

What goes back are values, never exceptions; the updates that one read of a stream brings go as
one reply. The worker ignores SIGINT (the parent decides what it means), and ends when its socket is
closed: however the parent died, its end of the socket is closed then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from functools import partial
from time import monotonic
from types import coroutine
from typing import TYPE_CHECKING, Any

from bot.errors import Failure
from bot.messages import CallUpdate, Delta, Request
from bot.workers.protocol import NO_CALL, READY, Command, CurrentCall, MessageChannel, Update

if TYPE_CHECKING:
    from bot.client.provider import Provider


def main(connected: socket.socket, current_call: CurrentCall | None = None) -> None:
    """Run the parent's commands until it closes the socket. Runs in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_no_core()
    try:
        asyncio.run(Worker(connected, current_call).serve())
    finally:
        # Nothing of value is left: skip the interpreter's slow shutdown, which waits for threads.
        os._exit(0)


def _leave_no_core() -> None:
    """Have no core file written if this process crashes: keys and prompts are in its memory."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # Windows writes none
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Worker:
    """The worker's end of the socket, and the calls it holds."""

    def __init__(self, connected: socket.socket, current_call: CurrentCall | None = None) -> None:
        self._socket, self._current_call = connected, current_call
        self._channel = MessageChannel(self._run_command, lambda _: self._closed.set())
        self._closed = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.provider: Provider

    async def serve(self) -> None:
        """Run until the parent is gone."""
        from bot.client.provider import Provider  # noqa: PLC0415 - the main process, which imports this module too, never imports the SDK

        self.provider = Provider()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._channel, sock=self._socket)
        self._send(READY)
        await self._closed.wait()

    def _send(self, number: int, *updates: Update) -> None:
        self._channel.send((number, updates))

    def _run_command(self, command: Command) -> None:
        verb, number, request = command
        if request is not None:
            work = self._list if verb == "models" else self._call
            task = work(number, request)
            if self._current_call is not None:
                task = _announced(task, number, self._current_call)
            self._tasks[number] = asyncio.ensure_future(task)
        elif verb == "ping":
            self._send(READY)
        elif number in self._tasks:
            self._tasks[number].cancel()

    async def _list(self, number: int, request: Request) -> None:
        try:
            self._send(number, await self.provider.models(request))
        except Exception as error:  # noqa: BLE001 - the boundary, as below
            self._send(number, _internal_failure(request, error))
        finally:
            del self._tasks[number]

    async def _call(self, number: int, request: Request) -> None:
        batcher = _UpdateBatcher(partial(self._send, number), request.delta_interval)
        try:
            async with aclosing(self.provider.complete(request)) as updates:
                async for update in updates:
                    batcher.add(update)
        except Exception as error:  # noqa: BLE001 - the boundary: an exception must not cross processes
            batcher.add(_internal_failure(request, error))
        finally:
            del self._tasks[number]


def _internal_failure(request: Request, error: Exception) -> Failure:
    from bot.client import error_mapping  # noqa: PLC0415 - the main process, which imports this module too, goes without

    return error_mapping.internal_failure(request, error)


async def _announced(work: Coroutine[Any, Any, None], number: int, current_call: CurrentCall) -> None:
    """Run a call so that `current_call` holds its number while it computes, and `NO_CALL` while it waits."""
    await _steps(work, number, current_call)


@coroutine
def _steps(
    work: Coroutine[Any, Any, None], number: int, current_call: CurrentCall
) -> Generator[Any, Any, None]:
    step: Callable[[Any], Any] = work.send
    argument: Any = None
    while True:
        current_call.value = number
        try:
            waits_for = step(argument)
        except StopIteration:
            return
        finally:
            current_call.value = NO_CALL
        try:
            step, argument = work.send, (yield waits_for)
        except BaseException as error:  # noqa: BLE001 - a cancellation too is passed on
            step, argument = work.throw, error


class _UpdateBatcher:
    """Sends the deltas that come together as one reply.

    With a `delta_interval` above 0, deltas are joined and sent at most once per so many seconds. Any
    other update is sent at once, with the deltas before it.
    """

    def __init__(self, send: Callable[..., None], delta_interval: float) -> None:
        self._send, self._delta_interval = send, delta_interval
        self._deltas: list[Delta] = []
        self._next_time = 0.0
        self._flushing: asyncio.Handle | None = None

    def add(self, update: CallUpdate) -> None:
        """Add an update."""
        if not isinstance(update, Delta):
            self._flush(update)
            return
        self._deltas.append(update)
        now = monotonic()
        if self._flushing is None and now >= self._next_time:
            self._next_time = now + self._delta_interval
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self, *others: CallUpdate) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        deltas, self._deltas = self._deltas, []
        if deltas and self._delta_interval:
            reasoning = "".join(delta.reasoning for delta in deltas)
            deltas = [Delta("".join(delta.text for delta in deltas), reasoning)]
        self._send(*deltas, *others)
