"""What every worker needs, imported once before the workers are forked.

The fork server imports this module (`multiprocessing.set_forkserver_preload`), so that its
children start with the SDK loaded and one TLS context made: four workers are up in a third of
the time that four imports take. With the spawn method each worker imports it for itself.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from types import ModuleType

# httpx imports its own command line if it can, with rich and click behind it: 40 ms for nothing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None makes its import fail, which httpx expects

UPLOADS = "filelock"
"""What the SDK needs to send and fetch files, which no worker does: 8 ms, and 2 MB with SQLite behind it."""
LATE = ("anyio._backends._asyncio", "httpcore", "httpcore._backends.anyio", "h11")
"""What the SDK's HTTP client imports at its first request only: better once here than in each worker."""

# Little that is imported becomes garbage; looking through all of it again and again takes a tenth of the
# time. (Without any collector the same objects lie further apart: half a megabyte more a worker.)
_usual = gc.get_threshold()
gc.set_threshold(_usual[0], _usual[1], 1000)
_without = UPLOADS not in sys.modules
if _without:
    sys.modules[UPLOADS] = ModuleType(UPLOADS)
    sys.modules[UPLOADS].FileLock = None  # type: ignore[attr-defined]  # the name that the SDK imports
for name in ("together", "bot.client.provider", "bot.workers.worker", *LATE):
    import_module(name)
if _without:
    # Whoever else needs it, a download of a model say, is to have the real one.
    del sys.modules[UPLOADS]
import_module("bot.workers.worker").tls()


def share() -> None:
    """Have the collector leave alone what is here now.

    It is shared with the workers until somebody writes to it; the collector would, by looking
    through it. That alone is a third of a worker's memory.
    """
    gc.collect()
    gc.freeze()


share()
gc.set_threshold(*_usual)
