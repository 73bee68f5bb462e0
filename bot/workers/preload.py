"""What all workers share: the fork server imports this module before it forks the first of them.

The SDK, what its HTTP client imports with its first request only, and a TLS context. A spawned
worker loads them by itself.
"""

from __future__ import annotations

from contextlib import suppress

import anyio
import h11  # noqa: F401 - imported late by httpcore
import httpcore  # noqa: F401 - imported late by httpx

import bot.client.provider
import bot.workers.worker  # noqa: F401 - what a worker runs, and the SDK
from bot.client.proxies import NetworkSettingError
from bot.client.tls import tls_context

anyio.run(anyio.sleep, 0)  # loads anyio's event loop
with suppress(NetworkSettingError):  # a call that needs it fails, and says why
    tls_context()
