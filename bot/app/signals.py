"""Handlers of signals for the time of a block."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

ALL = ("SIGINT", "SIGTERM", "SIGHUP")


def handle_signals(handler: Callable[[], None], names: Sequence[str] = ALL) -> AbstractContextManager[None]:
    """Have these signals (SIGINT is Ctrl-C's) call `handler` in the running event loop."""
    loop = asyncio.get_running_loop()
    return _handlers(lambda: loop.call_soon_threadsafe(handler), names)


def ignore_interrupts() -> AbstractContextManager[None]:
    """Let Ctrl-C have no effect on this process while another program has the terminal."""
    # SIG_IGN would be inherited by that program, a handler is not.
    return _handlers(lambda: None, ("SIGINT",))


@contextmanager
def _handlers(handler: Callable[[], object], names: Sequence[str]) -> Iterator[None]:
    before = {}
    for name in names:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None:
            continue
        with suppress(ValueError):  # not in the main thread: the program that owns it decides
            before[number] = signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)
