"""How many requests are under way at once: as many as allowed, fewer where a service says "too many".

    acquire ─► the endpoint's limit ─► the limit of all ─► the request ─► release
                 ▲ halved by a 429, grows by one for each full round of successes (AIMD)

Waiting requests are admitted by priority, the lowest number first, so that what was begun is
finished before more is begun. One event loop; nothing here knows about requests.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from time import monotonic

DECREASE = 0.5
BURST_SECONDS = 1.0
"""Refusals within this time count as one."""


@dataclass(slots=True)
class _Endpoint:
    limit: float
    running: int = 0
    decreased: float = 0.0
    waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)


class AdaptiveConcurrency:
    """Admits up to `most` requests over all endpoints; each endpoint adapts its own limit below that."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._running = 0
        self._endpoints: dict[str, _Endpoint] = {}
        self._order = itertools.count()

    def limit(self, endpoint: str) -> int:
        """Return how many requests to this endpoint are admitted at once at the moment."""
        return max(1, int(self._endpoint(endpoint).limit))

    async def acquire(self, endpoint: str, priority: int) -> None:
        """Wait to be admitted; a lower `priority` goes first. `release` must follow."""
        state = self._endpoint(endpoint)
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(state.waiting, (priority, next(self._order), admitted))
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.release(endpoint, success=False)
            raise

    def release(self, endpoint: str, *, success: bool) -> None:
        """End a request; a success lets the endpoint's limit grow."""
        state = self._endpoint(endpoint)
        if success:
            state.limit = min(float(self._most), state.limit + 1 / max(1.0, state.limit))
        state.running -= 1
        self._running -= 1
        self._admit()

    def decrease(self, endpoint: str) -> None:
        """Lower the limit because the service said "too many", once for a burst of refusals."""
        state, now = self._endpoint(endpoint), monotonic()
        if now - state.decreased >= BURST_SECONDS:
            state.limit = max(1.0, min(state.limit, float(state.running or 1)) * DECREASE)
            state.decreased = now

    def _endpoint(self, name: str) -> _Endpoint:
        return self._endpoints.setdefault(name, _Endpoint(float(self._most)))

    def _admit(self) -> None:
        while self._running < self._most:
            ready = []
            for name, state in self._endpoints.items():
                while state.waiting and state.waiting[0][2].done():  # given up
                    heapq.heappop(state.waiting)
                if state.waiting and state.running < self.limit(name):
                    ready.append(state)
            if not ready:
                return
            state = min(ready, key=lambda each: each.waiting[0][:2])
            heapq.heappop(state.waiting)[2].set_result(None)
            state.running += 1
            self._running += 1
