"""The figures of a comparison: arms, differences from the best lone member, effects of the aggregator.

    Study ─► pair_items ─► compare ─► Comparison ─┬─► comparison_json
                                                  ├─► comparison_text: the sentence, tables
                                                  └─► comparison_page: HTML with plots

`compare(study)` is all that a caller needs; `bot.cli.compare.report_study(study, ...)` also prints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean, median
from typing import Any

from bot.errors import UsageError
from bot.eval import statistics
from bot.eval.aggregator_effects import effects, panels
from bot.eval.arms import Arm, Outcome, Study
from bot.eval.comparison_figures import POINTS, ArmFigures, Comparison, Difference, Score
from bot.eval.comparison_sentence import sentence
from bot.eval.paired_items import FEWEST_CLUSTERS, PairedItems, pair_items
from bot.eval.statistics import chosen_by_others, mean_interval
from bot.text.sanitise import one_line

MOST_GROUPS = 20
"""More groups have no figures of their own: they are passages, say, not kinds of questions."""
FEWEST_IN_GROUP = 5
"""Groups with fewer items, on average, have no figures of their own either."""

_BINARY_SHARE = (0.0, 0.0, 1.0, 1.0)
_BINARY_DIFFERENCE = (-1.0, 1.0)
_P95 = 0.95


def compare(study: Study) -> Comparison:
    """Return the figures of a study.

    Raises MoaError where no item is scored by all arms, UsageError without an arm or with a name twice.
    """
    if not study.arms:
        raise UsageError("There is nothing to compare.")
    if len({arm.name for arm in study.arms}) < len(study.arms):
        raise UsageError("Two arms have the same name.")
    paired = pair_items(study)
    arms = {name: _arm_figures(arm, paired) for name, arm in paired.arms.items()}
    mixtures = [name for name, arm in paired.arms.items() if arm.kind == "mixture"]
    first = next(iter(mixtures or arms))
    others = [name for name in arms if name != first]
    members = [name for name in others if arms[name].kind == "alone"] or others
    # Of equally good ones the cheapest, which is also the one to use.
    best = min(members, key=lambda name: _rank(arms[name]), default=None)
    compared = [first, *(name for name in (mixtures or others) if name not in {first, best})]
    differences = _differences(paired, compared, best, members) if best else []
    made = {name: effects(paired.arms[name], paired) for name in mixtures}
    return Comparison(
        sentence=_unscored(study, mixtures)
        + sentence(first, arms, differences[0] if differences else None, paired.arms),
        first=first,
        arms=arms,
        best_member=best,
        differences=tuple(differences),
        effects=made,
        panels=tuple(panels(paired)),
        groups=_groups(paired),
        n=len(paired.items),
        scorer=study.scorer,
        judge=study.judge,
        date=study.date,
        source=study.source,
        notes=(*paired.notes, *_notes(differences, members)),
    )


def _unscored(study: Study, scored: Sequence[str]) -> str:
    """Return what the sentence begins with where there are mixtures, but none has a score."""
    mixtures = [one_line(arm.name) for arm in study.arms if arm.kind == "mixture"]
    return "" if scored or not mixtures else f"{', '.join(mixtures)}: no score; "


def _rank(arm: ArmFigures) -> tuple[float, float, int]:
    return -arm.score, arm.dollars or 0, arm.tokens or 0


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON: scores and differences in per cent, β as a share from 0 to 1."""
    effect = comparison.effects.get(comparison.first)
    return {
        "sentence": comparison.sentence,
        "arms": {name: asdict(arm) for name, arm in comparison.arms.items()},
        "best_member": comparison.best_member,
        "difference": asdict(comparison.difference) if comparison.difference else None,
        "beta": effect.beta if effect else None,
        "spoiled": effect.spoiled if effect else None,
        "saved": effect.saved if effect else None,
        "differences": [asdict(each) for each in comparison.differences],
        "effects": {name: asdict(each) for name, each in comparison.effects.items()},
        "panels": [
            {**asdict(panel), "reference_models": ",".join(panel.models)} for panel in comparison.panels
        ],
        "groups": {
            group: {name: asdict(score) for name, score in scores.items()}
            for group, scores in comparison.groups.items()
        },
        **{key: getattr(comparison, key) for key in ("n", "scorer", "judge", "date", "source")},
        "notes": list(comparison.notes),
    }


def _arm_figures(arm: Arm, paired: PairedItems) -> ArmFigures:
    import numpy as np  # noqa: PLC0415 - an extra

    outcomes: Sequence[Outcome] = arm.outcomes
    tokens = [outcome.tokens for outcome in outcomes]
    dollars = [outcome.dollars for outcome in outcomes]
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    seconds = [outcome.seconds for outcome in scored if outcome.seconds is not None]
    first_words = [outcome.first_word for outcome in scored if outcome.first_word is not None]
    score = _score(paired, arm.name, range(len(paired.items)))
    return ArmFigures(
        **asdict(score),
        calls=sum(outcome.calls for outcome in outcomes),
        tokens=None if None in tokens else sum(each or 0 for each in tokens),
        dollars=None if None in dollars else sum(each or 0.0 for each in dollars),
        seconds=median(seconds) if seconds else None,
        seconds_p95=float(np.quantile(seconds, _P95)) if seconds else None,
        first_word=median(first_words) if first_words else None,
        answers=len(outcomes),
        kind=arm.kind,
        model=arm.model,
    )


def _score(paired: PairedItems, name: str, places: Sequence[int]) -> Score:
    """Return an arm's score of the items at these places."""
    values = [paired.scores[name][place] for place in places]
    extremes = _BINARY_SHARE if paired.binary or len({*values}) == 1 else ()
    ends = mean_interval(values, [paired.clusters[place] for place in places], extremes=extremes)
    low, high = (None, None) if ends is None else (100 * ends[0], 100 * ends[1])
    return Score(len(values), 100 * fmean(values), low, high)


def _differences(
    paired: PairedItems, compared: Sequence[str], best: str, members: Sequence[str]
) -> list[Difference]:
    rows = []
    for name in compared:
        values = paired.differences(name, best)
        # Differences that are all the same have no spread to be measured either.
        extremes = _BINARY_DIFFERENCE if paired.binary or len({*values}) == 1 else ()
        ends = mean_interval(values, paired.clusters, (-1, 1), extremes)
        error = statistics.standard_error(values, paired.clusters, extremes)
        needed = statistics.items_needed(error, len(values), POINTS / 100)
        needed = None if needed is None else max(needed, FEWEST_CLUSTERS)
        pairs = list(zip(paired.right(name), paired.right(best), strict=True))
        only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
        plain = paired.binary and not paired.clustered and not paired.repeated
        rows.append(
            Difference(
                arm=name,
                against=best,
                points=100 * fmean(values),
                low=None if ends is None else 100 * ends[0],
                high=None if ends is None else 100 * ends[1],
                p=statistics.mcnemar(only_first, only_second)
                if plain
                else statistics.sign_flip(values, paired.clusters),
                p_holm=1.0,
                test="McNemar, exact" if plain else "paired permutation",
                only_first=only_first,
                only_second=only_second,
                chosen_by_others=_chosen_by_others(paired, name, members),
                more_questions=None if needed is None else max(0, needed - len(values)),
            )
        )
    adjusted = statistics.holm([row.p for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _chosen_by_others(paired: PairedItems, name: str, members: Sequence[str]) -> float | None:
    others = [paired.scores[member] for member in members if member != name]
    if len(others) < 2:  # noqa: PLR2004 - nothing was chosen
        return None
    found = chosen_by_others(paired.scores[name], others, paired.clusters)
    return None if found is None else 100 * found


def _groups(paired: PairedItems) -> dict[str, dict[str, Score]]:
    """Return the scores by group and arm; {} for a single group, and for many or small ones."""
    names = [name for name in dict.fromkeys(paired.groups) if name]
    most = min(MOST_GROUPS, len(paired.items) // FEWEST_IN_GROUP)
    if not 2 <= len(names) <= most:  # noqa: PLR2004 - one group is everything
        return {}
    # Within a group its items are what is resampled.
    within = replace(paired, clusters=tuple(f"item {item}" for item in paired.items))
    return {
        group: {
            name: _score(within, name, [place for place, each in enumerate(paired.groups) if each == group])
            for name in paired.arms
        }
        for group in names
    }


def _notes(differences: Sequence[Difference], members: Sequence[str]) -> list[str]:
    """Return what must be known about the differences' figures."""
    notes = []
    if differences and (other := differences[0].chosen_by_others) is not None:
        notes.append(
            f"the best of {len(members)} was chosen by these same questions, which favours it: chosen by "
            f"others of them (bootstrap, out of bag), the difference is {other:+.1f} points"
        )
    if len(differences) > 1:
        notes.append(
            "p in the sentence is that of one difference; the table has it adjusted for their number (Holm)"
        )
    return notes
