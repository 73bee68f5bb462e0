"""The event loop behind the library: an app in a thread of its own, and jobs that run in it.

    Mixture, Conversation (any thread, any event loop) ─► Job ═► Runtime ─► App

`Runtime` opens the app with the first job and closes it with `close`, or at the interpreter's end; a
`Job` is one coroutine in its loop, waited for from plain code or from another loop.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import multiprocessing
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from bot.app.app import App
from bot.app.session import Session
from bot.errors import MoaError, UsageError
from bot.settings.settings import Settings
from bot.workers.forkserver import start_forkserver

POLL_SECONDS = 0.5
"""On Windows a wait without a timeout cannot be interrupted."""

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]


class Job(Generic[T]):
    """A coroutine running in a runtime's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Work[T], tasks: set[asyncio.Task[Any]]) -> None:
        self._loop = loop
        self._tasks = tasks
        self._task: asyncio.Task[T] | None = None
        self._future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(self._begin, work)
        except RuntimeError:
            raise _closed() from None

    def wait(self) -> T:
        """Return the result, or raise the coroutine's exception. Ctrl-C cancels the job."""
        try:
            while not concurrent.futures.wait([self._future], POLL_SECONDS).done:
                pass
        except KeyboardInterrupt:
            self.cancel()
            self.wait_done()
            raise
        return self._future.result()

    async def wait_async(self) -> T:
        """Like `wait`, for coroutines; cancelling the waiting coroutine cancels the job."""
        waiting = asyncio.wrap_future(self._future)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait({waiting})
            _retrieve_exception(waiting)
            raise

    def cancel(self) -> None:
        """Cancel the coroutine; does nothing when it has ended."""
        with suppress(RuntimeError):  # the loop is closed, so the coroutine has ended
            self._loop.call_soon_threadsafe(self._cancel)

    def call_when_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the coroutine has ended, or now if it has."""
        self._future.add_done_callback(lambda _: callback())

    def wait_done(self) -> None:
        """Wait until the coroutine has ended, with a result or not."""
        concurrent.futures.wait([self._future])

    async def wait_done_async(self) -> None:
        """Do as `wait_over`, in a coroutine."""
        waiting = asyncio.wrap_future(self._future)
        await asyncio.wait({waiting})
        _retrieve_exception(waiting)

    def _begin(self, work: Work[T]) -> None:
        self._task = self._loop.create_task(work())
        self._tasks.add(self._task)
        self._task.add_done_callback(self._ended)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._future.set_exception(MoaError("The turn was cancelled."))
        elif error := task.exception():
            self._future.set_exception(error)
        else:
            self._future.set_result(task.result())


class Runtime:
    """One app in one thread. `open` starts it, the first `start` of a job does so too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._stop: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = False

    def open(self) -> asyncio.AbstractEventLoop:
        """Open the app if it is not open yet; returns the loop.

        Raises UsageError after `close`, and the errors of opening an app, such as KeyMissingError.
        """
        with self._lock:
            if self._ended:
                raise _closed()
            if self._loop is None:
                _refuse_daemons()
                start_forkserver()
                # After multiprocessing's own, which that has imported, and so called before it.
                atexit.register(self.close)
                ready: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
                self._thread = threading.Thread(target=self._run, args=(ready,), name="moa-bot", daemon=True)
                self._thread.start()
                self._loop = ready.result()
            return self._loop

    def start(self, work: Work[T]) -> Job[T]:
        """Run the coroutine that `work` returns, which is called in the loop."""
        return Job(self.open(), work, self._tasks)

    @property
    def app(self) -> App:
        """The app, for coroutines in the loop."""
        assert self._app is not None  # noqa: S101 - the loop runs only while it is open
        return self._app

    def session(self) -> Session:
        """Return a new session with the app's mixture (in the loop)."""
        return self.app.session()

    def close(self) -> None:
        """End everything; returns when that is done. A second call does nothing."""
        with self._lock:
            self._ended = True
            self.request_close()
            if self._thread is not None:
                self._thread.join()

    def request_close(self) -> None:
        """Begin to end everything; returns at once, and may be called from any thread."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # closed already
                self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self, ready: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        """Run the event loop until `close` (the runtime's thread)."""
        try:
            asyncio.run(self._serve_jobs(ready))
        except RuntimeError:
            # At the interpreter's end no thread can be started to wait for the workers; they end anyway.
            if threading.main_thread().is_alive():
                raise
        finally:
            atexit.unregister(self.close)

    async def _serve_jobs(self, ready: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        """Keep the app open until `close`; jobs run meanwhile."""
        self._stop = asyncio.Event()
        try:
            async with App(self._settings, logging.getLogger("moa_bot").warning) as app:
                # A missing key is an error before anything is asked.
                app.mixture()
                self._app = app
                ready.set_result(asyncio.get_running_loop())
                await self._stop.wait()
                while tasks := list(self._tasks):
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)


def _refuse_daemons() -> None:
    if multiprocessing.current_process().daemon:
        raise UsageError(
            "A mixture needs worker processes, and a daemonic process may have none.",
            hint="Ask in the main process or in a thread, not in a worker of multiprocessing.Pool.",
        )


def _closed() -> UsageError:
    return UsageError("This mixture is closed.")


def _retrieve_exception(future: asyncio.Future[Any]) -> None:
    """Mark an exception that nobody waits for as retrieved, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
