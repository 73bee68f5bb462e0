"""The figures of a comparison as values: see `bot.eval.comparison`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.eval.aggregator_effects import Effects, Panel
from bot.eval.arms import ArmKind
from bot.eval.statistics import SIGNIFICANT

POINTS = 5.0
"""The difference in points that the number of further questions is given for."""


@dataclass(frozen=True, slots=True)
class Score:
    """A mean score of `n` items in per cent with its 95 % confidence interval (None for a single item)."""

    n: int
    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """An arm's score in per cent, and what it took.

    `calls`, `tokens` and `dollars` are sums over all answers to the `n` items, None where one is unknown;
    `seconds` (median), `seconds_p95` and `first_word` (median) are an answer's.
    """

    n: int
    score: float
    low: float | None
    high: float | None
    calls: int
    tokens: int | None
    dollars: float | None
    seconds: float | None
    seconds_p95: float | None
    first_word: float | None
    answers: int
    kind: ArmKind
    model: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more an arm scored than `against`, in points of a hundred, by the same items.

    `p` is McNemar's exact test's or the sign-flip permutation's (`test`); `p_holm` is adjusted for the
    number of differences. `only_first` items only this arm got right, `only_second` only the other.
    `chosen_by_others` is the difference where the best member is chosen by other items than it is
    measured on (None with one member). `more_questions` would be needed to see a difference of
    `POINTS` points; None where that cannot be estimated.
    """

    arm: str
    against: str
    points: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    test: str
    only_first: int
    only_second: int
    chosen_by_others: float | None
    more_questions: int | None

    @property
    def shown(self) -> bool:
        """Whether the difference is significant: by its p and by its interval."""
        return (
            self.p < SIGNIFICANT
            and self.low is not None
            and self.high is not None
            and (self.low > 0 or self.high < 0)
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of a study.

    `first` is the arm that the sentence is about: the first mixture, if there is one.
    `best_member` is the lone model with the highest score (of the other arms, where there is no lone one);
    it and `difference` are None for a single arm. `groups` are scores by group and arm.
    """

    sentence: str
    first: str
    arms: Mapping[str, ArmFigures]
    best_member: str | None
    differences: tuple[Difference, ...]
    effects: Mapping[str, Effects]
    panels: tuple[Panel, ...]
    groups: Mapping[str, Mapping[str, Score]]
    n: int
    scorer: str
    judge: str
    date: str
    source: str
    notes: tuple[str, ...]

    @property
    def difference(self) -> Difference | None:
        """The difference that the sentence is about."""
        return self.differences[0] if self.differences else None
