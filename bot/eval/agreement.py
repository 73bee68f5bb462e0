"""How far judges agree about the same answers, and whether they bring models into the same order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeVar

from bot.errors import needs_extra

K = TypeVar("K")

FEWEST = 2
"""Judgments, or models, that a measure of agreement needs."""


def require_libraries() -> None:
    """Raise UsageError where what the measures are computed with is not installed."""
    with needs_extra("eval"):
        import scipy.stats  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - an extra
        import sklearn.metrics  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - an extra


def compare(
    first: Sequence[float], second: Sequence[float], verdict: Callable[[float], int]
) -> dict[str, Any]:
    """Return how far two judges' scores of the same `n` answers agree.

    `same` is the share of equal verdicts in per cent, `kappa` Cohen's of the verdicts with quadratic
    weights (a grade of 7 for an 8 is less of a disagreement than a 2), `tau` Kendall's tau-b of the scores;
    None where it cannot be computed (too few, or all the same). `difference` is the mean of first - second.
    """
    pairs = [(verdict(a), verdict(b)) for a, b in zip(first, second, strict=True)]
    n = len(pairs)
    return {
        "n": n,
        "same": 100 * sum(a == b for a, b in pairs) / n if n else None,
        "kappa": kappa(pairs),
        "tau": tau(first, second),
        "difference": (math.fsum(first) - math.fsum(second)) / n if n else None,
    }


def agreement(
    scores: Mapping[str, Mapping[K, float]], verdict: Callable[[float], int]
) -> list[dict[str, Any]]:
    """Return for each two judges how far they agree about what both have scored; see `compare`."""
    found = []
    for first, second in combinations(scores, 2):
        both = [key for key in scores[first] if key in scores[second]]
        values = [[scores[name][key] for key in both] for name in (first, second)]
        found.append({"judges": [first, second], **compare(values[0], values[1], verdict)})
    return found


def kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Return Cohen's kappa with quadratic weights of pairs of verdicts."""
    from sklearn.metrics import cohen_kappa_score  # noqa: PLC0415 - an extra

    names = sorted({verdict for pair in pairs for verdict in pair})
    if len(pairs) < FEWEST or len(names) < FEWEST:
        return None
    # With every value between, so that the weights are those of the distances.
    labels = list(range(names[0], names[-1] + 1))
    first, second = zip(*pairs, strict=True)
    return _finite(cohen_kappa_score(first, second, labels=labels, weights="quadratic"))


def tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of two series."""
    from scipy.stats import kendalltau  # noqa: PLC0415 - an extra

    return _finite(kendalltau(first, second).statistic) if len(first) >= FEWEST else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
