"""Means with standard errors, for scores that come in groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypedDict


class Figure(TypedDict):
    """A mean of `n` scores and its standard error; None where there is nothing to make it from."""

    score: float | None
    standard_error: float | None
    n: int


def figure(groups: Iterable[Sequence[float]]) -> Figure:
    """Return the plain mean of all scores; its standard error allows for likeness within a group.

    A group is what belongs together: the turns of a question, the skills of an answer. With one
    score in each the error is the usual one, standard deviation over the square root of n.
    """
    filled = [group for group in groups if group]
    count = sum(len(group) for group in filled)
    if not count:
        return Figure(score=None, standard_error=None, n=0)
    mean = math.fsum(score for group in filled for score in group) / count
    if len(filled) == 1:
        return Figure(score=mean, standard_error=None, n=count)
    sums = [math.fsum(score - mean for score in group) for group in filled]
    spread = math.fsum(each * each for each in sums) * len(filled) / (len(filled) - 1)
    return Figure(score=mean, standard_error=math.sqrt(spread) / count, n=count)
