"""How processes of ours are started; cheap to import, for the program's first milliseconds.

The fork server is the quickest way where there is one: it imports the SDK once, while the main
process does its own imports, and workers are forked from it.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

StartMethod = Literal["forkserver", "spawn"]

_STARTING = threading.Lock()


def start_method() -> StartMethod:
    """Return the quickest start method of this platform that does not copy our threads and locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    import tempfile

    try:
        # The fork server's socket needs a folder, which a full disk does not have.
        tempfile.gettempdir()
    except OSError:
        return "spawn"
    return "forkserver"


def warm(*, hurry: bool = False) -> None:
    """Let the fork server begin its imports now; returns at once, does nothing where there is none.

    With `hurry` somebody waits for an answer already, and there is no time for a rehearsal (which
    was tried on Linux only). What the first of several calls says holds.
    """
    if start_method() != "forkserver":
        return
    from multiprocessing import forkserver

    with starting():
        rehearsed = sys.platform == "linux" and not hurry
        multiprocessing.set_forkserver_preload(
            ["bot.workers.rehearsal" if rehearsed else "bot.workers.preload"]
        )
        forkserver.ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """Start processes in this block.

    Ctrl-C is blocked for them: one that comes while they still import is not theirs. And they do
    not import the parent's main module, as multiprocessing has it: our workers need nothing of it,
    and a script that uses moa-bot as a library need not protect its lines with
    `if __name__ == "__main__"`.
    """
    with _STARTING:
        main = sys.modules.get("__main__")
        sys.modules["__main__"] = ModuleType("__main__")
        mask = getattr(signal, "pthread_sigmask", None)
        before = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else None
        try:
            yield
        finally:
            if mask:
                mask(signal.SIG_SETMASK, before)
            if main is not None:
                sys.modules["__main__"] = main
