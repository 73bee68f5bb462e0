"""What a mixture makes of its members' answers, and which members complement each other. Pure.

A score of at least 0.5 counts as right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from bot.eval.arms import Arm, Outcome
from bot.eval.paired_items import RIGHT, PairedItems, by_epoch
from bot.eval.statistics import mean_interval
from bot.text.similarity import tfidf_vectors

LARGEST_PANEL = 4
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Position:
    """How often replies resemble the answer at a position most, in shares from 0 to 1.

    `chance` is the share if the position did not matter; `low` and `high` are the 95 % confidence
    interval of `share`. `n` counts the replies.
    """

    share: float
    chance: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Effects:
    """What became of the members' answers in a mixture.

    Of `majority_right` replies, for which more than half of the answers were right, `spoiled` were
    wrong; of `majority_wrong` replies, for which more than half were wrong, `saved` were right. None
    where the answers have no scores. `beta`: see `share_all_wrong`.
    """

    beta: float | None
    spoiled: int | None
    saved: int | None
    majority_right: int
    majority_wrong: int
    follows_first: Position | None
    follows_last: Position | None


@dataclass(frozen=True, slots=True)
class Panel:
    """Lone models and the share of items that at least one of them got right, 1 - β."""

    models: tuple[str, ...]
    ceiling: float


def effects(mixture: Arm, paired: PairedItems) -> Effects:
    """Return what a mixture made of its members' answers."""
    lone = {name: arm for name, arm in paired.arms.items() if arm.kind == "alone"}
    rows = list(_scores_beside(mixture, lone))
    right = [(reply, scores) for reply, scores in rows if _share_right(scores) > 1 / 2]
    wrong = [(reply, scores) for reply, scores in rows if _share_right(scores) < 1 / 2]
    first, last = _positions(mixture, paired)
    return Effects(
        beta=share_all_wrong(mixture, lone),
        spoiled=sum(reply < RIGHT for reply, _ in right) if rows else None,
        saved=sum(reply >= RIGHT for reply, _ in wrong) if rows else None,
        majority_right=len(right),
        majority_wrong=len(wrong),
        follows_first=first,
        follows_last=last,
    )


def share_all_wrong(mixture: Arm, lone: Mapping[str, Arm]) -> float | None:
    """Return β: 1 - the mean of the best score among the members' answers, from 0 to 1.

    For answers that are right or wrong, that is the share of items that all members got wrong together;
    no mixture that selects one of their answers can score more than 1 - β. The answers are those of
    the members' lone arms, or, where not every member has one, those that the aggregator read.
    None where neither have scores.
    """
    members = _lone_members(mixture, lone)
    best = [max(scores) for _, scores in by_epoch(members)] if members else []
    if not best:
        best = [max(scores) for outcome in mixture.outcomes if (scores := _proposal_scores(outcome))]
    return 1 - fmean(best) if best else None


def panels(paired: PairedItems) -> list[Panel]:
    """Return every panel of up to four lone models with its 1 - β, the best first; of equals the smallest."""
    import numpy as np  # noqa: PLC0415 - an extra

    lone = [arm for arm in paired.arms.values() if arm.kind == "alone"]
    rows = np.array([scores for _, scores in by_epoch(lone)])
    found = [
        Panel(
            tuple(lone[place].model or lone[place].name for place in places),
            float(rows[:, places].max(axis=1).mean()),
        )
        for size in range(1, min(LARGEST_PANEL, len(lone)) + 1)
        for places in combinations(range(len(lone)), size)
        if len(rows)
    ]
    return sorted(found, key=lambda panel: (-panel.ceiling, len(panel.models)))


def _lone_members(mixture: Arm, lone: Mapping[str, Arm]) -> list[Arm]:
    """Return the lone arms of all members; [] where one is missing; all lone arms where members are unknown.

    A model that is listed twice answers twice: then one lone arm is not enough.
    """
    if not mixture.members:
        return list(lone.values())
    left = Counter(mixture.members)
    found = []
    for arm in lone.values():
        if left[arm.model]:
            left[arm.model] -= 1
            found.append(arm)
    return [] if any(left.values()) else found


def _scores_beside(mixture: Arm, lone: Mapping[str, Arm]) -> Iterator[tuple[float, list[float]]]:
    """Yield the score of each reply with those of the answers that it was made from.

    Where the outcomes have no scored answers, those are the members' lone arms'.
    """
    rows = [
        (outcome.score, scores)
        for outcome in mixture.outcomes
        if outcome.score is not None and (scores := _proposal_scores(outcome))
    ]
    if rows:
        yield from rows
    elif members := _lone_members(mixture, lone):
        yield from ((scores[0], scores[1:]) for _, scores in by_epoch([mixture, *members]))


def _proposal_scores(outcome: Outcome) -> list[float]:
    return [each.score for each in outcome.proposals if each.score is not None]


def _share_right(scores: Sequence[float]) -> float:
    return sum(score >= RIGHT for score in scores) / len(scores)


def _positions(mixture: Arm, paired: PairedItems) -> tuple[Position | None, Position | None]:
    """Return how often the reply follows the first and the last answer, None where that is unknown.

    A reply follows the answer that its words resemble most (TF-IDF cosine); answers that resemble it
    equally share it. By chance that is one in k for k answers. Replies to answers that are all the same
    say nothing and are left out. Where the order is always the same, a position is a model's, and a reply
    may follow it because that model is better: only an arm with `--order rotated` separates the two.
    """
    cluster_of = dict(zip(paired.items, paired.clusters, strict=True))
    first, last, chances, clusters = [], [], [], []
    for outcome in mixture.outcomes:
        texts = [each.text for each in outcome.proposals]
        if outcome.score is None or not outcome.reply.strip() or len({*texts}) < _FEWEST:
            continue
        nearest = _nearest(outcome.reply, texts)
        first.append((0 in nearest) / len(nearest))
        last.append((len(texts) - 1 in nearest) / len(nearest))
        chances.append(1 / len(texts))
        clusters.append(cluster_of[outcome.item])
    if not chances:
        return None, None

    def position(followed: Sequence[float]) -> Position:
        low, high = mean_interval(followed, clusters, extremes=(0, 1)) or (None, None)
        return Position(fmean(followed), fmean(chances), low, high, len(followed))

    return position(first), position(last)


def _nearest(reply: str, texts: Sequence[str]) -> list[int]:
    """Return the places of the texts that a reply resembles most: several where they are equally like it."""
    own, *others = tfidf_vectors([reply, *texts])
    likeness = [round(sum(weight * each.get(word, 0) for word, weight in own.items()), 9) for each in others]
    return [place for place, value in enumerate(likeness) if value == max(likeness)]
