"""What every worker needs, imported once before the workers are forked.

The fork server imports this module (`multiprocessing.set_forkserver_preload`), so that its
children start with the SDK loaded and one TLS context made: four workers are up in a third of
the time that four imports take. With the spawn method each worker imports it for itself.
"""

from __future__ import annotations

import together

from bot import provider, worker

__all__ = ["provider", "together", "worker"]

worker.tls()
