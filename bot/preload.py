"""What every worker needs, imported once before the workers are forked.

The fork server imports this module (`multiprocessing.set_forkserver_preload`), so that its
children start with the SDK loaded and one TLS context made: four workers are up in a third of
the time that four imports take. With the spawn method each worker imports it for itself.
"""

from __future__ import annotations

import sys

# httpx imports its own command line if it can, with rich and click behind it: 40 ms for nothing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None makes its import fail, which httpx expects

import together  # noqa: E402

from bot import provider, worker  # noqa: E402

__all__ = ["provider", "together", "worker"]

worker.tls()
