"""How worker processes are started: by a fork server where the platform has one, else by spawn.

The fork server imports the SDK once (`bot.workers.preload`), while the main process does its own
imports; workers are forked from it. It never copies our threads and locks, as a plain fork would.
This module is imported early, so it imports little.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

StartMethod = Literal["forkserver", "spawn"]

_LOCK = threading.Lock()


def start_method() -> StartMethod:
    """Return the quickest start method of this platform that does not copy our threads and locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    import tempfile  # noqa: PLC0415 - spawn goes without

    try:
        # The fork server's socket needs a folder, which a full disk does not have.
        tempfile.gettempdir()
    except OSError:
        return "spawn"
    return "forkserver"


def start_forkserver() -> None:
    """Start the fork server, which begins its imports; returns at once.

    Does nothing where there is no fork server, or where it runs already.
    """
    if start_method() != "forkserver":
        return
    from multiprocessing import forkserver  # noqa: PLC0415 - Windows has none

    with starting_processes():
        multiprocessing.set_forkserver_preload(["bot.workers.preload"])
        forkserver.ensure_running()


@contextmanager
def starting_processes() -> Iterator[None]:
    """Start processes in this block, one thread at a time.

    SIGINT is blocked in them: Ctrl-C must not end a process that still imports. They do not import from
    the working folder, where a folder `bot` or a file `json.py` may lie. And multiprocessing does not
    import the parent's main module into them: workers need nothing of it, and a script that uses moa-bot
    as a library needs no `if __name__ == "__main__"` around its lines.
    """
    with _LOCK:
        main = sys.modules.get("__main__")
        sys.modules["__main__"] = ModuleType("__main__")
        safe_path = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"  # like python -P, which multiprocessing cannot pass on
        mask = getattr(signal, "pthread_sigmask", None)
        before = None
        try:
            if mask:
                from multiprocessing import resource_tracker  # noqa: PLC0415 - Windows has none

                # Otherwise starting it, which comes first, would unblock SIGINT again.
                resource_tracker.ensure_running()
                before = mask(signal.SIG_BLOCK, {signal.SIGINT})
            yield
        finally:
            if mask and before is not None:
                mask(signal.SIG_SETMASK, before)
            if safe_path is None:
                os.environ.pop("PYTHONSAFEPATH", None)
            else:
                os.environ["PYTHONSAFEPATH"] = safe_path
            if main is not None:
                sys.modules["__main__"] = main
