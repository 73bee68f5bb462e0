"""One worker process as the pool sees it: it starts, is sent orders, tells what came back, and ends.

Pipes block, so there is a thread for each direction. Only an order that the pipe is certain to
take goes without its thread: a round's requests leave sooner by that.

    send ──────────────────────────► pipe
      └─ else ─► writer thread ────► pipe
    pool ◄─ event loop ◄─ reader thread ◄─ pipe
"""

from __future__ import annotations

import asyncio
import queue
import select
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from time import monotonic
from typing import Any, Literal, Protocol

from bot.client.model_list import ModelList
from bot.messages import CallUpdate, Request
from bot.workers.forkserver import starting, warm

Verb = Literal["ask", "models"]
Update = CallUpdate | ModelList
Command = tuple[str, int, Request | None]

JOIN_SECONDS = 1.0
AT_ONCE = 32_768
"""Bytes: so much fits into every pipe that Linux calls ready, whose buffer is a quarter full at most."""


@dataclass(slots=True)
class PendingCall:
    """A call under way: where its updates go, and what to know when its worker dies."""

    number: int
    verb: Verb
    request: Request
    updates: asyncio.Queue[Update]
    asked: int = 1
    begun: bool = False


class PoolCallbacks(Protocol):
    """The pool, as far as its hands know it."""

    def call_in_loop(self, what: Any, *arguments: Any) -> None:
        """Have the event loop call a method; called from the hands' threads."""

    def on_updates(self, hand: WorkerHandle, number: int, updates: Sequence[Update]) -> None:
        """Pass updates on to their call (in the event loop)."""

    def on_exit(self, hand: WorkerHandle, why: str) -> None:
        """Replace a worker that has ended (in the event loop)."""


class WorkerHandle:
    """One worker process as the pool sees it: a process, a pipe, and a thread for each direction."""

    def __init__(self, pool: PoolCallbacks, context: Any, tries: int = 2) -> None:
        self.calls: dict[int, PendingCall] = {}
        self.tries = tries
        self.up = False
        self.last_heard = monotonic()
        self.pid: int | None = None
        self._pool, self._context = pool, context
        self._commands: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        # Counted by the event loop and by the writer thread: equal when the thread has nothing to send.
        self._queued = self._written = 0
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, command: Command) -> None:
        """Send an order, now or as soon as the worker is up and takes it; never waits."""
        data = ForkingPickler.dumps(command)
        if not self._sent(data):
            self._queued += 1
            self._commands.put(data)

    def _sent(self, data: memoryview) -> bool:
        """Send an order without the writer thread, if that cannot block; returns whether it was sent."""
        pipe = self._pipe
        if pipe is None or self._queued != self._written or len(data) > AT_ONCE or not is_ready(pipe):
            return False
        with suppress(OSError):  # it has died, as the reader thread will tell
            pipe.send_bytes(data)
        return True

    def shut_down(self) -> None:
        """Let the worker end: nothing more is sent, and the pipe is closed."""
        self._pipe = None
        self._commands.put(None)

    def _close_pipe(self, pipe: Connection) -> None:
        self._pipe = None
        pipe.close()

    def kill(self) -> None:
        """End the worker by force; the reader thread then tells the pool."""
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until the process is gone, by force if need be."""
        self._writer.join(JOIN_SECONDS)
        process = self._process
        if process is None:
            return
        for end in (None, process.terminate, process.kill):
            if end is not None:
                end()
            process.join(JOIN_SECONDS)
            if process.exitcode is not None:
                return

    def _write(self) -> None:
        """Start the worker, then pass orders on (a thread: both can block)."""
        from bot.workers import worker

        try:
            ours, theirs = self._context.Pipe()
            process: BaseProcess = self._context.Process(target=worker.main, args=(theirs,), daemon=True)
            warm()
            with starting():
                process.start()
        except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
            self._pool.call_in_loop(
                self._pool.on_exit, self, f"a worker process could not be started: {error}"
            )
            return
        theirs.close()
        self._process, self.pid, self._pipe = process, process.pid, ours
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        with suppress(OSError):
            while (data := self._commands.get()) is not None:
                ours.send_bytes(data)
                self._written += 1
        # Closing our end while the reader blocks in it would be a race: the worker closes first.
        with suppress(OSError):
            ours.send(("quit", 0, None))

    def _read(self, pipe: Connection) -> None:
        """Pass the worker's updates on until it is gone."""
        from bot.workers import worker

        try:
            while True:
                number, updates = pipe.recv()
                self.last_heard = monotonic()
                if number == worker.READY:
                    self.up = True
                else:
                    self._pool.call_in_loop(self._pool.on_updates, self, number, updates)
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - a pipe that yields nonsense is a dead worker
            self._pool.call_in_loop(self._pool.on_exit, self, f"a worker sent something unreadable: {error}")
            return
        finally:
            # By the event loop, which may be about to send.
            self._pool.call_in_loop(self._close_pipe, pipe)
        process = self._process
        if process is not None:
            process.join(JOIN_SECONDS)
            code = process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
            self._pool.call_in_loop(self._pool.on_exit, self, f"its worker process ended {how}")


def is_ready(pipe: Connection) -> bool:
    """Tell whether the pipe is certain to take `AT_ONCE` bytes; other systems than Linux promise less."""
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLOUT)
    return poll.poll(0) == [(pipe.fileno(), select.POLLOUT)]
