"""A worker process: an event loop that holds any number of calls at once.

                parent ══ pipe ══╗
    ("ask", id, Request)         ╠═► reader thread ─► event loop ─► one task a call ─► provider
    ("models", id, Request)      ║                                     │
    ("cancel", id) ("ping")      ║                                     │
    (id, CallUpdate | Listing) ◄═╩═════════════════════════════════════╛

What goes back are values: deltas, retries, completions, lists, failures. The worker ignores Ctrl-C (the
parent decides what it means), and ends when its pipe does: however the parent died, its end of
the pipe is closed then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import threading
from contextlib import aclosing, suppress
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import TYPE_CHECKING

from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Delta, Request

if TYPE_CHECKING:
    from bot.provider import Provider

Order = tuple[str, int, Request | None]

HELLO = 0
"""The call number of a worker's first message, and of its signs of life."""


@cache
def tls() -> ssl.SSLContext:
    """Return the process's TLS context, made once (it takes 20-40 ms).

    The certificates are the system's where SSL_CERT_FILE or SSL_CERT_DIR name them, as with httpx.
    """
    import httpx

    return httpx.create_ssl_context()


def main(pipe: Connection) -> None:
    """Serve the parent's orders until the pipe ends. Runs in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_no_core()
    try:
        asyncio.run(Worker(pipe).serve())
    finally:
        # Nothing of value is left: skip the interpreter's slow goodbye (and its waiting threads).
        os._exit(0)


def _leave_no_core() -> None:
    """Have no core file written if this process crashes: keys and prompts are in its memory."""
    try:
        import resource
    except ImportError:  # Windows writes none
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Worker:
    """The worker's side of the pool."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Run until the parent is gone."""
        from bot.provider import Provider

        provider = Provider(tls())
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop, provider), daemon=True).start()
        self._pipe.send((HELLO, None))
        await self._over.wait()

    def _listen(self, loop: asyncio.AbstractEventLoop, provider: Provider) -> None:
        """Take orders from the pipe (in a thread: reading blocks) and hand them to the loop."""
        parent = parent_process()
        watched: list[Connection | int] = [self._pipe]
        if parent is not None:
            watched.append(parent.sentinel)
        try:
            while self._pipe in wait(watched):
                loop.call_soon_threadsafe(self._take, self._pipe.recv(), provider)
        except (EOFError, OSError):
            pass
        loop.call_soon_threadsafe(self._over.set)

    def _take(self, order: Order, provider: Provider) -> None:
        verb, number, request = order
        if request is not None:
            work = self._list if verb == "models" else self._call
            self._tasks[number] = asyncio.ensure_future(work(number, request, provider))
        elif verb == "quit":
            self._over.set()
        elif verb == "ping":
            self._pipe.send((HELLO, None))
        elif task := self._tasks.get(number):
            task.cancel()

    async def _list(self, number: int, request: Request, provider: Provider) -> None:
        try:
            self._pipe.send((number, await provider.models(request)))
        except OSError:
            # The parent is gone, as below.
            pass
        except Exception as error:  # noqa: BLE001 - the boundary, as below
            self._pipe.send((number, Failure(FailureKind.INTERNAL, f"{type(error).__name__}: {error}")))
        finally:
            del self._tasks[number]

    async def _call(self, number: int, request: Request, provider: Provider) -> None:
        send = _Gathered(self._pipe, number, request.every)
        try:
            async with aclosing(provider.complete(request)) as updates:
                async for update in updates:
                    send(update)
        except OSError:
            # The parent is gone; the listening thread ends the process.
            pass
        except Exception as error:  # noqa: BLE001 - the boundary: an exception must not cross processes
            send(Failure(FailureKind.INTERNAL, f"{type(error).__name__}: {error}", request.model))
        finally:
            del self._tasks[number]


class _Gathered:
    """Sends updates, deltas no oftener than every so many seconds; the first at once."""

    def __init__(self, pipe: Connection, number: int, every: float) -> None:
        self._pipe, self._number, self._every = pipe, number, every
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._next = 0.0

    def __call__(self, update: CallUpdate) -> None:
        if isinstance(update, Delta) and self._every:
            self._text.append(update.text)
            self._reasoning.append(update.reasoning)
            if monotonic() >= self._next:
                self._flush()
            return
        self._flush()
        self._pipe.send((self._number, update))

    def _flush(self) -> None:
        if self._text:
            self._pipe.send((self._number, Delta("".join(self._text), "".join(self._reasoning))))
            self._text.clear()
            self._reasoning.clear()
            self._next = monotonic() + self._every
