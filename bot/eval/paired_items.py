"""The items that all arms of a study have a score for, and what each arm scored on them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bot.errors import MoaError, UsageError
from bot.eval.arms import Arm, Outcome, Study

RIGHT = 0.5
"""The lowest score that counts as right, where scores are graded."""

FEWEST_CLUSTERS = 6
"""Fewer clusters cannot show a difference: of five, all in favour of one arm, p is 2 / 2⁵ = .06."""


@dataclass(frozen=True, slots=True)
class PairedItems:
    """Items scored by every arm, in one order: `clusters` and the values of `scores` are parallel to `items`.

    A score is the mean of an item's epochs, from 0 to 1. `groups` are the items' own, "" for none; `clusters`
    are what is resampled together: the group, or the item where it has none or where groups are kinds of
    items. `repeated` says that an item has several epochs, `binary` that every single outcome is 0 or 1.
    `arms` holds those with scores, each with its outcomes of these items only.
    """

    items: tuple[str, ...]
    groups: tuple[str, ...]
    clusters: tuple[str, ...]
    arms: Mapping[str, Arm]
    scores: Mapping[str, tuple[float, ...]]
    binary: bool
    repeated: bool
    notes: tuple[str, ...]

    @property
    def clustered(self) -> bool:
        """Whether items are resampled in groups."""
        return len({*self.clusters}) < len(self.items)

    def differences(self, first: str, second: str) -> list[float]:
        """Return the first arm's score minus the second's, by item."""
        return [a - b for a, b in zip(self.scores[first], self.scores[second], strict=True)]

    def right(self, name: str) -> list[bool]:
        """Return which items an arm got right (in at least half of its epochs)."""
        return [score >= RIGHT for score in self.scores[name]]


def pair_items(study: Study) -> PairedItems:
    """Return the items that every arm has a score for.

    Raises MoaError where there are none, UsageError for a score outside 0 to 1. An arm without any score
    is left out, and named in the notes; so is what else is left out.
    """
    scored = {arm.name: scores for arm in study.arms if (scores := _scores(arm))}
    known = list(dict.fromkeys(outcome.item for arm in study.arms for outcome in arm.outcomes))
    items = [item for item in known if all(item in each for each in scored.values())]
    if not scored:
        whys = (f"{arm.name}{_why(arm)}" for arm in study.arms if _why(arm))
        raise MoaError("No answer has a score.", hint="; ".join(whys))
    if not items:
        raise MoaError(
            "No question has a score from every arm.",
            hint="Questions are paired by their ids: runs of the same data set have the same ones.",
        )
    groups = _groups(study, items)
    clusters, note = _clusters(items, groups)
    kept = {*items}
    values = [score for each in scored.values() for item in items for score in each[item]]
    return PairedItems(
        items=tuple(items),
        groups=groups,
        clusters=clusters,
        arms={arm.name: _only(arm, kept) for arm in study.arms if arm.name in scored},
        scores={name: tuple(fmean(each[item]) for item in items) for name, each in scored.items()},
        binary=all(score in {0, 1} for score in values),
        repeated=len(values) > len(items) * len(scored),
        notes=(*_left_out(study, scored, len(known), len(items)), *filter(None, [note])),
    )


def by_epoch(arms: Sequence[Arm]) -> Iterator[tuple[str, list[float]]]:
    """Yield the scores of the arms for each item and epoch that all of them have a score for."""
    scores = [
        {
            (outcome.item, outcome.epoch): outcome.score
            for outcome in arm.outcomes
            if outcome.score is not None
        }
        for arm in arms
    ]
    for key in scores[0] if scores else ():
        if all(key in each for each in scores):
            yield key[0], [each[key] for each in scores]


def _scores(arm: Arm) -> dict[str, list[float]]:
    """Return the scores of an arm's epochs by item, without items that have none."""
    found: dict[str, list[float]] = {}
    for outcome in arm.outcomes:
        if outcome.score is not None:
            if not 0 <= outcome.score <= 1:
                raise UsageError(f"{arm.name}, {outcome.item}: the score {outcome.score} is not from 0 to 1.")
            found.setdefault(outcome.item, []).append(outcome.score)
    return found


def _clusters(items: Sequence[str], groups: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return what each item is resampled with, and a note about it ("" for nothing but itself)."""
    alone = tuple(f"item {item}" for item in items)
    clusters = tuple(f"group {group}" if group else own for own, group in zip(alone, groups, strict=True))
    count = len({*clusters})
    if count == len(items):
        return alone, ""
    if count < FEWEST_CLUSTERS:
        return alone, (
            f"the {count} groups count as kinds of questions: too few to be resampled (that needs "
            f"{FEWEST_CLUSTERS}), so that each question is taken as independent of the others"
        )
    return clusters, f"intervals and p allow for the {count:,} groups of questions"


def _left_out(
    study: Study, scored: Mapping[str, Mapping[str, list[float]]], known: int, shared: int
) -> list[str]:
    """Return notes about arms without any score, and about items that not every arm has a score for."""
    notes = []
    for arm in study.arms:
        if arm.name not in scored:
            notes.append(f"{arm.name}: left out, as none of its answers has a score{_why(arm)}")
        elif missing := known - len(scored[arm.name]):
            notes.append(f"{arm.name}: no score for {missing:,} of {known:,} questions{_why(arm)}")
    if shared < known:
        notes.append(f"the figures are of the {shared:,} questions that all arms have a score for")
    return notes


def _groups(study: Study, items: Sequence[str]) -> tuple[str, ...]:
    """Return each item's group, by the first arm that says one."""
    found: dict[str, str] = {}
    for arm in study.arms:
        for outcome in arm.outcomes:
            if outcome.group:
                found.setdefault(outcome.item, outcome.group)
    return tuple(found.get(item, "") for item in items)


def _only(arm: Arm, items: set[str]) -> Arm:
    kept: tuple[Outcome, ...] = tuple(outcome for outcome in arm.outcomes if outcome.item in items)
    return Arm(arm.name, arm.kind, kept, arm.model, arm.members)


def _why(arm: Arm) -> str:
    """Return the most frequent error of an arm in brackets, "" where it has none."""
    errors = [outcome.error for outcome in arm.outcomes if outcome.score is None and outcome.error]
    return f" ({max(errors, key=errors.count)})" if errors else ""
