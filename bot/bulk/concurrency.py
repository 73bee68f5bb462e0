"""How many requests are under way at once: as many as wished, fewer where a service says "too many".

    enter ─► lane of the endpoint (its own limit) ─► room for all ─► the request ─► leave
                 ▲ halved by a 429, grows by one for each full round of answers that went well

Whoever came with the lowest place goes first, so that what was begun is finished before more is
begun. One event loop; nothing here knows about requests.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from time import monotonic

SHRINK = 0.5
CALM_SECONDS = 1.0
"""A burst of refusals is one piece of news."""


@dataclass(slots=True)
class _Lane:
    limit: float
    running: int = 0
    shrunk: float = 0.0
    waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)

    def has_room(self) -> bool:
        return self.running < max(1, int(self.limit))


class AdaptiveConcurrency:
    """Room for `most` requests, over all lanes; each lane adapts its own limit below that."""

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self.running = 0
        self._lanes: dict[str, _Lane] = {}
        self._order = itertools.count()

    def limit(self, lane: str) -> int:
        """Return how many requests this lane lets through at the moment."""
        return max(1, int(self._lane(lane).limit))

    async def enter(self, name: str, place: int) -> None:
        """Wait for room in this lane; those with a lower `place` go first. `leave` must follow."""
        lane = self._lane(name)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(lane.waiting, (place, next(self._order), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free(lane)
            raise

    def leave(self, name: str, *, well: bool) -> None:
        """Make room; an answer that came well lets the lane grow."""
        lane = self._lane(name)
        if well:
            lane.limit = min(float(self.most), lane.limit + 1 / max(1.0, lane.limit))
        self._free(lane)

    def refused(self, name: str) -> None:
        """Note that the service said "too many": the lane shrinks, once for a burst."""
        lane, now = self._lane(name), monotonic()
        if now - lane.shrunk >= CALM_SECONDS:
            lane.limit = max(1.0, min(lane.limit, float(lane.running or 1)) * SHRINK)
            lane.shrunk = now

    def _lane(self, name: str) -> _Lane:
        return self._lanes.setdefault(name, _Lane(float(self.most)))

    def _free(self, lane: _Lane) -> None:
        lane.running -= 1
        self.running -= 1
        self._admit()

    def _admit(self) -> None:
        """Let in whoever there is room for, the lowest place first."""
        while self.running < self.most:
            first: _Lane | None = None
            for lane in self._lanes.values():
                while lane.waiting and lane.waiting[0][2].done():
                    heapq.heappop(lane.waiting)
                if (
                    lane.waiting
                    and lane.has_room()
                    and (first is None or lane.waiting[0][:2] < first.waiting[0][:2])
                ):
                    first = lane
            if first is None:
                return
            heapq.heappop(first.waiting)[2].set_result(None)
            first.running += 1
            self.running += 1
