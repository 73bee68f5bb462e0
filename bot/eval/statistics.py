"""Confidence intervals, tests and numbers of questions, for scores of the same items. Pure.

A value is an item's: the mean of its epochs, so that repeats never count as items. Items of one cluster
are resampled, and their signs flipped, together. All random numbers come from one seed, so that the same
outcomes always have the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from bot.errors import needs_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
POWER = 0.8
RESAMPLES = 10_000
SEED = 0

_BLOCK = 2_000_000
"""Numbers that are drawn at a time: 16 MB."""
_FEW_KINDS = 50
"""Up to so many kinds of clusters their numbers are drawn, which is faster than to draw the clusters."""


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[str],
    limits: tuple[float, float] = (0.0, 1.0),
    extremes: Sequence[float] = (),
) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the mean by a bootstrap over clusters, within `limits`.

    The percentiles are those that widen the interval as Student's t does (the "expanded percentile
    interval", Hesterberg 2015, doi:10.1080/00031305.2015.1089789): plain ones are too narrow for few
    clusters. `extremes` are items that are added for values that are only right or wrong, so that
    an interval has a width where all values are the same: (0, 0, 1, 1) for a share (Agresti and Coull
    1998), (-1, 1) for a difference of two (Bonett and Price 2012, doi:10.3102/1076998611411915); where
    no items are clustered, that is enough, and t is not needed. None with fewer than two clusters.
    """
    if len({*clusters}) < 2:  # noqa: PLR2004 - one has no spread
        return None
    with needs_extra("eval"):
        from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    sums, sizes = _by_cluster([*values, *extremes], _with_extremes(clusters, extremes))
    count = len(sizes)
    quantile = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    if not extremes or count < len(values) + len(extremes):
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    tail = NormalDist().cdf(-quantile * sqrt(count / (count - 1)))
    means = _resampled_means(sums, sizes)
    low, high = np.clip(np.quantile(means, (tail, 1 - tail)), *limits)
    # The mean of the values themselves is always inside.
    mean = float(np.mean(values))
    return min(float(low), mean), max(float(high), mean)


def standard_error(values: Sequence[float], clusters: Sequence[str], extremes: Sequence[float] = ()) -> float:
    """Return the standard error of the mean, clustered: of the ratio of clusters' sums to their sizes."""
    import numpy as np  # noqa: PLC0415 - an extra

    sums, sizes = _by_cluster([*values, *extremes], _with_extremes(clusters, extremes))
    count = len(sizes)
    if count < 2:  # noqa: PLR2004 - one has no spread
        return float("inf")
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    return float(np.sqrt((residuals**2).sum() * count / (count - 1)) / sizes.sum())


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test for items that one alone of two got right."""
    if not only_first + only_second:
        return 1.0
    with needs_extra("eval"):
        from scipy import stats  # noqa: PLC0415 - an extra
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def sign_flip(differences: Sequence[float], clusters: Sequence[str]) -> float:
    """Return the two-sided p of the paired permutation test: the signs of whole clusters are flipped.

    Exact where there are no more patterns of signs than resamples.
    """
    with needs_extra("eval"):
        from scipy import stats  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - an extra

    sums, _ = _by_cluster(differences, clusters)
    sums = sums[sums != 0]
    if len(sums) < 2:  # noqa: PLR2004 - both signs of one sum are as far from 0
        return 1.0
    return float(
        stats.permutation_test(
            (sums,),
            np.sum,
            permutation_type="samples",
            n_resamples=RESAMPLES - 1,
            batch=max(1, _BLOCK // len(sums)),
            rng=np.random.default_rng(SEED),
        ).pvalue
    )


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's method (1979), in the same order."""
    adjusted = [1.0] * len(probabilities)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        largest = max(largest, min(1.0, (len(probabilities) - rank) * probabilities[place]))
        adjusted[place] = largest
    return adjusted


def items_needed(error: float, count: int, difference: float) -> int | None:
    """Return how many items show such a difference at p < .05 in 80 of 100 comparisons.

    `error` is the standard error of the difference of `count` items. It falls with the square root of
    their number: n = count × ((z(.975) + z(.8)) × error / difference)². None where the error is infinite.
    """
    if error == float("inf"):
        return None
    normal = NormalDist()
    factor = normal.inv_cdf(1 - SIGNIFICANT / 2) + normal.inv_cdf(POWER)
    return ceil(count * (factor * error / difference) ** 2)


def chosen_by_others(
    first: Sequence[float], others: Sequence[Sequence[float]], clusters: Sequence[str]
) -> float | None:
    """Return the mean of `first` minus the best of `others`, chosen by other items than it is measured on.

    What is chosen as the best by the same items looks better than it is. So the choice is made by a
    bootstrap sample, and the difference is of the items that are not in it (Efron's out-of-bag estimate),
    averaged over samples. None where no sample leaves any out.
    """
    import numpy as np  # noqa: PLC0415 - an extra

    sums, sizes = _by_cluster(np.array([first, *others]).T, clusters)
    generator = np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLES // 10):
        drawn = np.bincount(generator.integers(len(sizes), size=len(sizes)), minlength=len(sizes))
        left = drawn == 0
        if left.any():
            best = 1 + int(np.argmax(drawn @ sums[:, 1:]))
            found.append((sums[left, 0] - sums[left, best]).sum() / sizes[left].sum())
    return float(np.mean(found)) if found else None


def _with_extremes(clusters: Sequence[str], extremes: Sequence[float]) -> list[str]:
    """Return the clusters with one of its own for each added item."""
    return [*clusters, *(f"\0{number}" for number in range(len(extremes)))]


def _by_cluster(values: Sequence[float] | Floats, clusters: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the sum of the values of each cluster (a row for values with columns), and its size."""
    import numpy as np  # noqa: PLC0415 - an extra

    _, places = np.unique(np.asarray(clusters, dtype=object), return_inverse=True)
    rows = np.asarray(values, dtype=float)
    sums = np.zeros((int(places.max()) + 1, *rows.shape[1:]))
    np.add.at(sums, places, rows)
    return sums, np.bincount(places).astype(float)


def _resampled_means(sums: Floats, sizes: Floats) -> Floats:
    """Return the mean of each bootstrap sample of as many clusters as there are.

    Where most clusters are equal, as with items that are right or wrong, only how many of each kind are in
    a sample is drawn.
    """
    import numpy as np  # noqa: PLC0415 - an extra

    generator = np.random.default_rng(SEED)
    count = len(sizes)
    clusters = np.column_stack([sums, sizes])
    kinds, numbers = np.unique(clusters, axis=0, return_counts=True)
    few = len(kinds) <= _FEW_KINDS
    rows = max(1, _BLOCK // (len(kinds) if few else count))
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, rows):
        part = means[start : start + rows]
        if few:
            totals = generator.multinomial(count, numbers / count, size=len(part)) @ kinds
        else:
            totals = clusters[generator.integers(count, size=(len(part), count), dtype=np.int32)].sum(axis=1)
        part[:] = totals[:, 0] / totals[:, 1]
    return means
