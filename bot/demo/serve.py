"""Runs the offline service in this process.

By a user (`moa-bot demo serve`) until Ctrl-C or SIGTERM; or as a child (`process`), which ignores
Ctrl-C and ends with its parent.
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

_EXIT_DELAY: Final = 0.7
_PARENT_POLL_SECONDS: Final = 0.5


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

    As a `child` it ignores Ctrl-C, and ends within about a second after stdin has closed or the parent
    has ended. Raises ConfigError for a wrong behaviour file, MoaError when it cannot listen.
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
    # On Windows an event loop has no signal handlers; a terminated process just ends.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with service:
        if child:
            for wait in (_wait_for_end_of_stdin, _wait_for_parent_to_die):
                threading.Thread(target=_end_after, args=(wait, loop, stop), daemon=True).start()
        if on_ready is not None:
            on_ready(service.base_url)
        # Imported only now, while the client prepares its first request.
        import_module("bot.demo.aggregator")
        await stop.wait()


def _end_after(wait: Callable[[], None], loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop the service once `wait` returns, and end the process if that takes too long. Runs in a thread."""
    wait()
    # If the loop is closed, the service has stopped already.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)
    time.sleep(_EXIT_DELAY)
    os._exit(0)


def _wait_for_end_of_stdin() -> None:
    """Wait until the parent's end of the pipe closes; works on every platform.

    Reads the descriptor, because a thread that reads `sys.stdin` would block the interpreter's exit.
    """
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass


def _wait_for_parent_to_die() -> None:
    """Wait until the parent has ended; for ever on Windows.

    The pipe alone is not enough: worker processes forked from the parent hold it open too.
    """
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
