"""How much the service does at once, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.method.mixture import CancelToken
from bot.serve.api_errors import rate_limited, service_stopping


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest body in bytes, the most turns at once, and two times in seconds.

    `keep_alive` is the longest silence of an answer; `grace` is how long turns may go on when the
    service stops.
    """

    body: int = 8 * 2**20
    turns: int = 64
    keep_alive: float = 5.0
    grace: float = 10.0


class Turns:
    """The turns in progress: a limited number, and no new ones once the service stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[CancelToken] = set()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Return when no turn is in progress."""
        await self._idle.wait()

    @contextmanager
    def start(self) -> Iterator[CancelToken]:
        """Count a turn while the block runs. ApiError: 429 at the limit, 503 once the service stops."""
        if self._closing:
            raise service_stopping()
        if len(self._running) >= self._limit:
            raise rate_limited(f"More than {self._limit} requests at once.", "too_many_requests", 1)
        cancel_token = CancelToken()
        self._running.add(cancel_token)
        self._idle.clear()
        try:
            yield cancel_token
        finally:
            self._running.discard(cancel_token)
            if not self._running:
                self._idle.set()

    def close(self) -> None:
        """Start no more turns."""
        self._closing = True

    def cancel_all(self) -> None:
        """Cancel the turns in progress."""
        for cancel_token in self._running:
            cancel_token.stop()
