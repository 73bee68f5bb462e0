"""One worker process as the pool sees it: started, sent commands, read from, ended.

The event loop reads and writes the worker's socket. Only starting a process and waiting for its end
block, so each handle has one thread for these.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Protocol

from bot.messages import Request
from bot.workers import worker
from bot.workers.forkserver import start_forkserver, starting_processes
from bot.workers.protocol import (
    NO_CALL,
    READY,
    CallVerb,
    Command,
    CurrentCall,
    MessageChannel,
    Reply,
    Update,
)

JOIN_SECONDS = 1.0


@dataclass(slots=True)
class PendingCall:
    """A call under way.

    `attempts` counts the workers that were given it, `deaths` those that ended while they computed for
    it; `begun` says whether text came.
    """

    number: int
    verb: CallVerb
    request: Request
    updates: asyncio.Queue[Update]
    attempts: int = 1
    deaths: int = 0
    begun: bool = False


class PoolCallbacks(Protocol):
    """The pool, as far as its handles know it."""

    def call_in_loop(self, method: Any, *arguments: Any) -> bool:
        """Have the event loop call a method; called from the handles' threads. False if it is closed."""

    def on_updates(self, handle: WorkerHandle, number: int, updates: Sequence[Update]) -> None:
        """Pass updates on to their call."""

    def on_exit(self, handle: WorkerHandle, reason: str) -> None:
        """Replace a worker that has ended."""


class WorkerHandle:
    """A process, its socket and a thread. `start_attempts` are left until it is up."""

    def __init__(self, pool: PoolCallbacks, context: Any, start_attempts: int = 2) -> None:
        self.calls: dict[int, PendingCall] = {}
        self.start_attempts = start_attempts
        self.up = False
        self.last_heard = monotonic()
        self.pid: int | None = None
        self._pool, self._context = pool, context
        self._process: BaseProcess | None = None
        self._channel = MessageChannel(self._on_reply, self._on_close)
        self._connecting: asyncio.Task[Any] | None = None
        self._connected = False
        self._exit_reason = self._kill_reason = ""
        self._current_call: CurrentCall | None = None
        self._thread = threading.Thread(target=self._run_process, daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        """Send a command, now or as soon as the worker is up; never waits."""
        self._channel.send(command)

    def shut_down(self) -> None:
        """Let the worker end: its connection is closed."""
        self._channel.close()

    @property
    def current_call(self) -> int:
        """The number of the call that the worker computes for, or did when it ended; `NO_CALL` if none."""
        return self._current_call.value if self._current_call is not None else NO_CALL

    def kill(self, reason: str = "") -> None:
        """End the worker by force; its exit is reported to the pool, with the reason if one is given."""
        self._kill_reason = self._kill_reason or reason
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until the process is gone, by force if need be (in a thread: this blocks)."""
        self._thread.join(JOIN_SECONDS)
        process = self._process
        if process is None:
            return
        for end in (process.terminate, process.kill):
            if self._thread.is_alive():
                end()
                self._thread.join(JOIN_SECONDS)

    def _run_process(self) -> None:
        """Start the worker and wait for its end (in the handle's thread)."""
        ours, theirs = socket.socketpair()
        try:
            self._current_call = self._shared_number()
            process: BaseProcess = self._context.Process(
                target=worker.main, args=(theirs, self._current_call), daemon=True
            )
            start_forkserver()
            with starting_processes():
                process.start()
        except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
            ours.close()
            reason = f"a worker process could not be started: {error}"
            self._pool.call_in_loop(self._on_process_exit, reason)
            return
        finally:
            theirs.close()
        self._process, self.pid = process, process.pid
        if not self._pool.call_in_loop(self._connect, ours):
            ours.close()
        process.join()
        code = process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        self._pool.call_in_loop(self._on_process_exit, f"its worker process ended {how}")

    def _shared_number(self) -> CurrentCall | None:
        """Return a number in shared memory, None where there is none (it needs a file)."""
        try:
            number: CurrentCall = self._context.RawValue("q", NO_CALL)
        except (OSError, ImportError):
            return None
        return number

    def _connect(self, ours: socket.socket) -> None:
        self._connected = True
        connection = asyncio.get_running_loop().create_connection(lambda: self._channel, sock=ours)
        self._connecting = asyncio.ensure_future(connection)

    def _on_reply(self, reply: Reply) -> None:
        number, updates = reply
        self.last_heard = monotonic()
        if number == READY:
            self.up = True
        else:
            self._pool.on_updates(self, number, updates)

    def _on_close(self, error: Exception | None) -> None:
        self._connected = False
        if error is not None:
            self.kill()
        self._report_exit()

    def _on_process_exit(self, reason: str) -> None:
        self._exit_reason = self._kill_reason or reason
        self._report_exit()

    def _report_exit(self) -> None:
        """Report the exit once all that the worker had sent has been read."""
        if self._exit_reason and not self._connected:
            self._pool.on_exit(self, self._exit_reason)
