"""One worker process as the pool sees it: started, sent commands, read from, ended.

Starting a process and using a pipe block, so a handle has a thread for each direction:

    pool (event loop) ── send ──► queue ──► writer thread ──► pipe ──► worker
    pool (event loop) ◄── call_in_loop ──── reader thread ◄── pipe ◄── worker
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Protocol

from bot.messages import Request
from bot.workers import worker
from bot.workers.forkserver import start_forkserver, starting_processes
from bot.workers.protocol import READY, CallVerb, Command, Reply, Update

JOIN_SECONDS = 1.0


@dataclass(slots=True)
class PendingCall:
    """A call under way. `attempts` counts the workers that were given it, `begun` says whether text came."""

    number: int
    verb: CallVerb
    request: Request
    updates: asyncio.Queue[Update]
    attempts: int = 1
    begun: bool = False


class PoolCallbacks(Protocol):
    """The pool, as far as its handles know it."""

    def call_in_loop(self, method: Any, *arguments: Any) -> None:
        """Have the event loop call a method; called from the handles' threads."""

    def on_updates(self, handle: WorkerHandle, number: int, updates: Sequence[Update]) -> None:
        """Pass updates on to their call (in the event loop)."""

    def on_exit(self, handle: WorkerHandle, reason: str) -> None:
        """Replace a worker that has ended (in the event loop)."""


class WorkerHandle:
    """A process, its pipe, and a thread for each direction. `start_attempts` are left until it is up."""

    def __init__(self, pool: PoolCallbacks, context: Any, start_attempts: int = 2) -> None:
        self.calls: dict[int, PendingCall] = {}
        self.start_attempts = start_attempts
        self.up = False
        self.last_heard = monotonic()
        self.pid: int | None = None
        self._pool, self._context = pool, context
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._process: BaseProcess | None = None
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, command: Command) -> None:
        """Send a command as soon as the worker is up and reads it; never waits."""
        self._commands.put(command)

    def shut_down(self) -> None:
        """Let the worker end: nothing more is sent."""
        self._commands.put(None)

    def kill(self) -> None:
        """End the worker by force; the reader thread then reports its exit."""
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
        """Start the worker, then send it commands (the writer thread)."""
        try:
            ours, theirs = self._context.Pipe()
            process: BaseProcess = self._context.Process(target=worker.main, args=(theirs,), daemon=True)
            start_forkserver()
            with starting_processes():
                process.start()
        except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
            self._report_exit(f"a worker process could not be started: {error}")
            return
        theirs.close()
        self._process, self.pid = process, process.pid
        threading.Thread(target=self._read, args=(ours, process), daemon=True).start()
        with suppress(OSError):  # the worker has ended, which the reader thread reports
            while (command := self._commands.get()) is not None:
                ours.send(command)
            ours.send(("quit", 0, None))

    def _read(self, pipe: Connection, process: BaseProcess) -> None:
        """Pass the worker's updates on until it is gone (the reader thread)."""
        reason = ""
        try:
            while True:
                reply: Reply = pipe.recv()
                number, updates = reply
                self.last_heard = monotonic()
                if number == READY:
                    self.up = True
                else:
                    self._pool.call_in_loop(self._pool.on_updates, self, number, updates)
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - a pipe that yields nonsense is a dead worker
            process.kill()
            reason = f"a worker sent something unreadable: {error}"
        process.join(JOIN_SECONDS)
        if not reason:
            code = process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
            reason = f"its worker process ended {how}"
        self._report_exit(reason)
        # A file descriptor that is closed while the other thread uses it may be another file's by then.
        self.shut_down()
        self._writer.join()
        pipe.close()

    def _report_exit(self, reason: str) -> None:
        self._pool.call_in_loop(self._pool.on_exit, self, reason)
