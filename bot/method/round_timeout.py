"""How long a round waits for its last references, so that one slow model does not hold up the turn.

A call's own time is what has passed since its request was sent. Where models wait for one another,
because they run on one computer, it does not count what a call has waited.
Pure arithmetic: `bot.method.fan_out` reads the clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_WAIT = 10.0
"""Seconds that a call has at least, where neither deadline nor quorum is set."""
MIN_WAIT_LOADING = 60.0
"""The same for a model that its service may have to load: cut off, it would never be loaded."""
MEDIAN_FACTOR = 2.0
"""Such a call has this many times as long as the median answer took."""


@dataclass(frozen=True, slots=True)
class RoundTimeout:
    """When the calls of a round that are still open are cut off.

    `deadline`: seconds of a call's own time. `quorum`: once this many references have answered (a
    share of them when below 1), the others get `grace` seconds more. With neither, a call never has
    more than twice as long as the median answer took, and 10 s at least.
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

    def own_limit(self, slots: int, own: Sequence[float], *, loaded: bool = True) -> float | None:
        """Return how many seconds of its own time a call has, None while unlimited.

        `slots` counts the calls that have answered or may still; `own` holds the own seconds of those that
        have answered.
        """
        if self.deadline is not None:
            return self.deadline
        needed = self.quorum_size(slots)
        if self.quorum is not None or slots <= 1 or len(own) < needed:
            return None
        return max(MIN_WAIT if loaded else MIN_WAIT_LOADING, MEDIAN_FACTOR * sorted(own)[needed - 1])

    def round_limit(self, slots: int, answered: Sequence[float]) -> float | None:
        """Return the seconds after its beginning at which the round stops waiting, None while unlimited.

        `answered` holds the seconds after the round's beginning at which answers came, in order.
        """
        needed = self.quorum_size(slots)
        return (
            answered[needed - 1] + self.grace if self.quorum is not None and len(answered) >= needed else None
        )
