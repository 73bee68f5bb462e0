"""What every worker needs, imported once before the workers are forked.

The fork server imports this module (`multiprocessing.set_forkserver_preload`), so that its
children start with the SDK loaded and one TLS context made: four workers are up in a third of
the time that four imports take. With the spawn method each worker imports it for itself.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module

# httpx imports its own command line if it can, with rich and click behind it: 40 ms for nothing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None makes its import fail, which httpx expects

LATE = ("anyio._backends._asyncio", "httpcore", "httpcore._backends.anyio", "h11")
"""What the SDK's HTTP client imports at its first request only: better once here than in each worker."""

for name in ("together", "bot.provider", "bot.worker", *LATE):
    import_module(name)
import_module("bot.worker").tls()


def share() -> None:
    """Have the collector leave alone what is here now.

    It is shared with the workers until somebody writes to it; the collector would, by looking
    through it. That alone is a third of a worker's memory.
    """
    gc.collect()
    gc.freeze()


share()
