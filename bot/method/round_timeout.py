"""How long a round waits for its last references, so that one slow model does not hold up the turn.

Pure arithmetic: `bot.method.fan_out` reads the clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_WAIT = 10.0
"""Seconds that a round waits at least, where neither deadline nor quorum is set."""
MEDIAN_FACTOR = 2.0
"""Such a round waits this many times as long as its median answer took."""


@dataclass(frozen=True, slots=True)
class RoundTimeout:
    """When the calls of a round that are still open are cut off.

    `deadline`: seconds after the round's beginning. `quorum`: once this many references have
    answered (a share of them when below 1), the others get `grace` seconds more. With neither, a
    round never waits more than twice as long as its median answer took, and 10 s at least.
    """

    deadline: float | None = None
    quorum: float | None = None
    grace: float = 2.0

    def quorum_size(self, slots: int) -> int:
        """Return how many answers of `slots` calls are a quorum; without one, half of them."""
        if self.quorum is None:
            return max(1, math.ceil(slots / 2))
        size = self.quorum * slots if self.quorum < 1 else self.quorum
        return max(1, min(slots, math.ceil(size)))

    def cause(self, limit: float | None) -> str:
        """Return which setting gave a limit: "deadline", "quorum", or "" for neither."""
        if limit is not None and limit == self.deadline:
            return "deadline"
        return "quorum" if self.quorum is not None else ""

    def limit(self, slots: int, answered: Sequence[float]) -> float | None:
        """Return the seconds after its beginning at which the round stops waiting, None while unlimited.

        `slots` counts the calls that have answered or may still; `answered` holds the seconds
        after the round's beginning at which answers came, in order.
        """
        limits = [] if self.deadline is None else [self.deadline]
        needed = self.quorum_size(slots)
        if len(answered) >= needed:
            reached = answered[needed - 1]
            if self.quorum is not None:
                limits.append(reached + self.grace)
            elif self.deadline is None and slots > 1:
                limits.append(max(MIN_WAIT, MEDIAN_FACTOR * reached))
        return min(limits, default=None)
