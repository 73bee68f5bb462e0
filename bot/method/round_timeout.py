"""How long a round waits for its last references. First the person, then the last straggler.

Pure: it is told when the round began and when answers came, and says when to stop waiting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_WAIT = 10.0
"""Seconds that every round waits at least, unless told otherwise."""
MEDIANS = 2.0
"""A round waits so many times as long as its median answer took, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class RoundTimeout:
    """When a round's stragglers are cut off.

    `deadline`: seconds after the round's beginning. `quorum`: once so many references have
    answered (a share of them when below 1), the others get `grace` seconds more. With neither, a
    round never waits more than twice as long as its median answer took, and 10 s at least.
    """

    deadline: float | None = None
    quorum: float | None = None
    grace: float = 2.0

    def needed(self, slots: int) -> int:
        """Return how many answers are a quorum of so many slots."""
        if self.quorum is None:
            return max(1, math.ceil(slots / 2))
        share = self.quorum * slots if self.quorum < 1 else self.quorum
        return max(1, min(slots, math.ceil(share)))

    def limit(self, slots: int, answered: Sequence[float]) -> float | None:
        """Return the seconds after its beginning at which the round stops waiting; None: not yet known.

        `answered` holds the seconds at which answers came, in order.
        """
        limits = [] if self.deadline is None else [self.deadline]
        needed = self.needed(slots)
        if len(answered) >= needed:
            latest = answered[needed - 1]
            if self.quorum is not None:
                limits.append(latest + self.grace)
            elif self.deadline is None and slots > 1:
                limits.append(max(LEAST_WAIT, MEDIANS * latest))
        return min(limits, default=None)
