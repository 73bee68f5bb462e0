"""Runs the offline service in this process until it is told to stop.

Two ways to be run: by a person (`moa-bot demo serve`), ended with Ctrl-C or SIGTERM; or as a child
(`process`), which ignores Ctrl-C and lives exactly as long as its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Final

from bot.demo.behaviour import load_behaviour
from bot.demo.service import DemoService

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LAST_WAY_OUT: Final = 0.7
_LOOK_AFTER_PARENT: Final = 0.5


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    behaviour_file: Path | None = None,
    *,
    inspect: bool = False,
    on_ready: Callable[[str], None] | None = None,
    child: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; call `on_ready(base_url)` once it listens.

    As a `child` it ignores Ctrl-C and ends within about a second when stdin ends or the parent is
    gone. Raises ConfigError for a wrong behaviour file, MoaError when it cannot listen.
    """
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    behaviour = load_behaviour(behaviour_file) if behaviour_file else None
    service = DemoService(behaviour, host=host, port=port, inspect=inspect)
    try:
        asyncio.run(_serve(service, on_ready, child=child))
    except KeyboardInterrupt:
        return


async def _serve(service: DemoService, on_ready: Callable[[str], None] | None, *, child: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # On Windows there are no signal handlers in a loop; a terminated process just ends there.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with service:
        if child:
            for wait in (_wait_for_end_of_stdin, _wait_for_parent_to_die):
                threading.Thread(target=_end_after, args=(wait, loop, stop), daemon=True).start()
        if on_ready is not None:
            on_ready(service.base_url)
        # While whoever waited gets ready to ask; the first answer would have to wait for it.
        import_module("bot.demo.aggregator")
        await stop.wait()


def _end_after(wait: Callable[[], None], loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """End the service, and after a moment the process, once `wait` returns; runs in a thread."""
    wait()
    # A loop that is closed has ended the service already.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)
    time.sleep(_LAST_WAY_OUT)
    os._exit(0)


def _wait_for_end_of_stdin() -> None:
    """Wait until the parent's end of the pipe is gone; works on every platform.

    The descriptor itself is read: a thread inside `sys.stdin` would hold up the interpreter's end.
    """
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass


def _wait_for_parent_to_die() -> None:
    """Wait until this process has been inherited by another; for ever on Windows.

    The end of the pipe is not enough: worker processes that were forked from the parent hold it too.
    """
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_LOOK_AFTER_PARENT)
