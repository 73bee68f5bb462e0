"""Known truth: simulated arms whose accuracies are known, and figures that can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import pytest

from bot.eval import statistics
from bot.eval.arms import Arm, Outcome, Study
from bot.eval.comparison import compare
from bot.eval.comparison_figures import Difference

RUNS = 100


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the resamples: enough for 100 runs, in which their errors even out."""
    monkeypatch.setattr(statistics, "RESAMPLES", 1_000)


def simulated(
    shares: tuple[float, float],
    count: int,
    *,
    size: int = 1,
    epochs: int = 1,
    graded: bool = False,
    seed: int = 0,
) -> Iterator[Difference]:
    """The differences of two arms with these accuracies over `count` items, correlated, in groups of `size`.

    An answer is right where a normal variable is below the accuracy's quantile: one third of its variance
    is the item's, common to both arms, one third the arm's own in the group, one third the answer's. Graded
    answers have scores around 0.6 and 0.66 instead.
    """
    generator = np.random.default_rng(seed)
    for _ in range(RUNS):
        item = np.repeat(generator.standard_normal(count // size), size)
        arms = []
        for name, share in zip(("mixture", "alone"), shares, strict=True):
            group = np.repeat(generator.standard_normal(count // size), size)
            own = generator.standard_normal((epochs, count))
            values = (item + group + own) / 3**0.5
            scores = np.clip(share + values / 8, 0, 1) if graded else values < NormalDist().inv_cdf(share)
            outcomes = tuple(
                Outcome(str(place), float(score), group=str(place // size) if size > 1 else "", epoch=epoch)
                for epoch, row in enumerate(scores, 1)
                for place, score in enumerate(row)
            )
            arms.append(Arm(name, "mixture" if name == "mixture" else "alone", outcomes))
        difference = compare(Study(tuple(arms), "exact")).difference
        assert difference is not None
        yield difference


def covered(differences: Iterator[Difference], truth: float) -> int:
    return sum(each.low is not None and each.low <= truth <= (each.high or 0) for each in differences)


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
def test_the_interval_covers_the_true_difference() -> None:
    """60 % and 66 % over 500 items, correlated: in at least 93 of 100 runs."""
    assert covered(simulated((0.66, 0.60), 500), 6.0) >= 93


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(
    ("count", "size", "epochs", "graded"),
    [(30, 1, 1, False), (12, 1, 1, False), (150, 5, 1, False), (40, 1, 3, False), (30, 1, 1, True)],
)
def test_intervals_cover_with_few_items_groups_and_epochs(
    count: int,
    size: int,
    epochs: int,
    graded: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """At least 90 of 100 runs: three standard errors below 95 would be 88.5."""
    differences = simulated((0.66, 0.60), count, size=size, epochs=epochs, graded=graded)
    assert covered(differences, 6.0) >= 90


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(("size", "epochs"), [(1, 1), (5, 1), (1, 3)])
def test_p_is_uniform_without_a_difference(size: int, epochs: int) -> None:
    """For every level up to .5, about that share of 100 runs is below it: within three standard errors."""
    found = [each.p for each in simulated((0.6, 0.6), 150, size=size, epochs=epochs, seed=1)]
    for level in (0.05, 0.1, 0.2, 0.35, 0.5):
        below = sum(p <= level for p in found)
        spread = (RUNS * level * (1 - level)) ** 0.5
        assert RUNS * level - 3 * spread <= below <= RUNS * level + 3 * spread, (level, below)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(12, 28, 0.0166), (28, 12, 0.0166), (0, 0, 1.0), (5, 5, 1.0), (6, 0, 0.03125), (5, 0, 0.0625)],
)
def test_mcnemar(only_first: int, only_second: int, p: float) -> None:
    """The exact test of the binomial distribution."""
    assert statistics.mcnemar(only_first, only_second) == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize(
    ("values", "clusters", "p"),
    [
        ([1.0] * 6, "abcdef", 2 / 2**6),
        ([1.0] * 6, "aabbcc", 2 / 2**3),
        ([1.0, -1.0], "ab", 1.0),
        ([0.0, 0.0], "ab", 1.0),
        ([0.5, 0.25, 0.25, 0.0], "abcd", 2 / 2**3),
    ],
)
def test_signs_are_flipped_by_cluster(values: list[float], clusters: str, p: float) -> None:
    """With few clusters every pattern of signs is counted, so that p is exact."""
    assert statistics.sign_flip(values, list(clusters)) == pytest.approx(p)


def test_intervals_have_a_width_where_all_are_right() -> None:
    """No error in 20 questions is no proof that there is none in the next."""
    low, high = statistics.mean_interval([1.0] * 20, [str(n) for n in range(20)], extremes=(0, 0, 1, 1)) or (
        0,
        0,
    )
    assert high == 1
    assert 0.7 < low < 0.95


def test_one_cluster_has_no_interval() -> None:
    assert statistics.mean_interval([1.0, 0.0], ["a", "a"]) is None
    assert statistics.standard_error([1.0, 0.0], ["a", "a"]) == float("inf")
    assert statistics.items_needed(float("inf"), 2, 0.05) is None


def test_holm() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_as_many_items_as_needed_find_the_difference() -> None:
    """About 80 of 100 simulated comparisons with that many items have p below .05."""
    error = 0.7 / 100**0.5  # of 100 items whose differences have the standard deviation 0.7
    needed = statistics.items_needed(error, 100, 0.1)
    assert needed == 385
    generator = np.random.default_rng(5)
    means = generator.normal(0.1, 0.7, (1_000, needed)).mean(axis=1)
    assert 0.76 < (means > 1.96 * 0.7 / needed**0.5).mean() < 0.84


def test_the_best_is_chosen_by_others() -> None:
    """Among members of equal quality the best by the same items looks better than it is."""
    generator = np.random.default_rng(1)
    first = generator.random(100).round()
    others = [generator.random(100).round() for _ in range(6)]
    by_same = first.mean() - max(each.mean() for each in others)
    by_others = statistics.chosen_by_others(
        list(first), [list(each) for each in others], [str(n) for n in range(100)]
    )
    assert by_others is not None
    assert by_others > by_same + 0.02
