"""Answers of published models, and what the official judge said of them: what a judge is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """A model's recorded answers by item, one a turn.

    `scores` are those of the official judge, by item and turn (from 0), as far as they are recorded.
    `published` is its figure over the whole set, on the scale of the scores.
    """

    name: str
    answers: Mapping[str, tuple[str, ...]]
    scores: Mapping[tuple[str, int], float] = field(default_factory=dict)
    published: float | None = None
