"""What early stop would have done in a turn that took all its rounds (`--early_stop shadow`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_HIGHEST = 1.000001
"""A similarity is at most 1, but for rounding."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The decision of early stop, which the turn did not follow, and the reply that it would have led to.

    `stop_after` is the round after which the turn would have ended, None where early stop would have changed
    nothing. `similarity` is that of the answers of this round, or of the last one that was compared; answers
    agree from `agreement` on. `reason` says so in words. `reply` was made from the answers of round
    `stop_after` and written by `model`; it was never shown. `error` says why there is no whole one, "" where
    there is.
    """

    stop_after: int | None
    similarity: float
    agreement: float
    reason: str
    reply: str = ""
    model: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the values as plain JSON values."""
        return asdict(self)


def stored_shadow(value: object) -> Shadow | None:
    """Return what `as_json` made `value` of, None where it is something else."""
    if not isinstance(value, dict):
        return None
    stop_after, similarity = value.get("stop_after"), _number(value.get("similarity"))
    agreement = _number(value.get("agreement"))
    texts = [value.get(name, "") for name in ("reason", "reply", "model", "error")]
    if similarity is None or agreement is None or not all(isinstance(each, str) for each in texts):
        return None
    if stop_after is not None and (type(stop_after) is not int or stop_after < 1):
        return None
    return Shadow(stop_after, similarity, agreement, *map(str, texts))


def _number(value: object) -> float | None:
    """Return a similarity, None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _HIGHEST else None
