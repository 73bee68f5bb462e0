"""A comparison as tables: for the terminal, and as rows for the HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bot.eval.aggregator_effects import LARGEST_PANEL, Effects, Panel, Position
from bot.eval.comparison_figures import Comparison, Difference, Score
from bot.eval.comparison_sentence import p_text
from bot.text.numbers import compact, duration, money
from bot.text.sanitise import one_line
from bot.text.table import table
from bot.text.wrap import break_points, cut_cells

UNLIMITED = 10_000
"""The width where stdout is no terminal: nothing is cut."""

_COLUMNS_OF_GROUPS = 4
_GROUP_NAME = 10  # cells
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Section:
    """A table: `columns` are headings and cells. The first may be cut, `dispensable` ones left out.

    `note` explains the figures; `command` is options to be copied.
    """

    columns: Mapping[str, Sequence[str]]
    dispensable: tuple[str, ...] = ()
    note: str = ""
    command: str = ""


def comparison_text(comparison: Comparison, width: int | None = None) -> str:
    """Return the sentence, the tables and the notes.

    No line is wider than `width` cells, but for options to be copied; None is for an output that is no
    terminal.
    """
    width = width or UNLIMITED
    parts = [_wrapped(comparison.sentence, width), _wrapped(facts(comparison), width)]
    for section in sections(comparison):
        first, *others = section.columns
        drawn = table(
            section.columns, width, flexible=first, dispensable=section.dispensable, right=others
        ).rstrip()
        note = f"\n{_wrapped(section.note, width)}" if section.note else ""
        # A line to be copied stays in one piece.
        command = f"\n{section.command}" if section.command else ""
        parts.append(f"{drawn}{note}{command}")
    parts.append("\n".join(_wrapped(one_line(note), width) for note in comparison.notes))
    return "\n\n".join(filter(None, parts))


def facts(comparison: Comparison) -> str:
    """Return what must stand beside every figure and in every picture: n, scorer, judge, date."""
    judge = f"judge {comparison.judge}" if comparison.judge else "no judge"
    scorer = f"scorer {comparison.scorer}" if comparison.scorer else ""
    parts = (f"n = {comparison.n:,}", scorer, judge, comparison.date, comparison.source)
    return one_line(" · ".join(filter(None, parts)))


def sections(comparison: Comparison) -> list[Section]:
    """Return the tables: arms, differences, what the mixtures made of the answers, panels, groups."""
    found = [_arms(comparison)]
    if comparison.differences:
        found.append(_differences(comparison.differences))
    if any(each.beta is not None or each.follows_first for each in comparison.effects.values()):
        found.append(_effects(comparison.effects))
    if len(comparison.panels) > 1:
        found.append(_panels(comparison.panels))
    return found + _groups(comparison.groups)


def with_interval(score: Score) -> str:
    """Write a score in per cent with its interval: "66.0 (61.8 to 70.1)"."""
    return _interval(f"{score.score:.1f}", score.low, score.high)


def _arms(comparison: Comparison) -> Section:
    names, arms = list(comparison.arms), list(comparison.arms.values())
    columns = {
        "arm": [one_line(name) for name in names],
        "score, % (95 %)": [with_interval(Score(arm.n, arm.score, arm.low, arm.high)) for arm in arms],
        "calls": [compact(arm.calls) for arm in arms],
        "tokens": [_UNKNOWN if arm.tokens is None else compact(arm.tokens) for arm in arms],
        "cost": [_UNKNOWN if arm.dollars is None else money(arm.dollars) for arm in arms],
        "median": [_seconds(arm.seconds) for arm in arms],
        "p95": [_seconds(arm.seconds_p95) for arm in arms],
        "first": [_seconds(arm.first_word) for arm in arms],
    }
    note = "calls, tokens and cost: of all questions together; median, p95 and first (word): of an answer"
    return Section(columns, ("first", "p95", "calls"), note)


def _differences(differences: Sequence[Difference]) -> Section:
    columns = {
        "difference": [one_line(each.arm) for each in differences],
        "points (95 %)": [_interval(f"{each.points:+.1f}", each.low, each.high) for each in differences],
        "p": [p_text(each.p).removeprefix("p = ").removeprefix("p ") for each in differences],
        "Holm": [p_text(each.p_holm).removeprefix("p = ").removeprefix("p ") for each in differences],
        "only it": [f"{each.only_first:,}" for each in differences],
        "only other": [f"{each.only_second:,}" for each in differences],
    }
    if len(differences) == 1:
        del columns["Holm"]
    test = (
        "McNemar's exact test" if differences[0].test.startswith("McNemar") else "paired permutation of signs"
    )
    note = (
        f"from {one_line(differences[0].against)}; p: {test}; only it, only other: the questions that one "
        "alone of the two got right"
    )
    return Section(columns, note=note)


def _effects(found: Mapping[str, Effects]) -> Section:
    columns = {
        "mixture": [one_line(name) for name in found],
        "β": [_UNKNOWN if each.beta is None else f"{100 * each.beta:.1f} %" for each in found.values()],
        "spoiled": [_of(each.spoiled, each.majority_right) for each in found.values()],
        "saved": [_of(each.saved, each.majority_wrong) for each in found.values()],
        "follows first": [_position(each.follows_first) for each in found.values()],
        "last": [_position(each.follows_last) for each in found.values()],
        "chance": [
            f"{100 * each.follows_first.chance:.0f} %" if each.follows_first else ""
            for each in found.values()
        ],
    }
    note = (
        "β: all members wrong together, so that choosing among their answers scores 100 - β at most; "
        "spoiled: wrong where most of them were right; saved: right where most were wrong; "
        "follows: the reply is most like the first or the last answer that the aggregator read"
    )
    return Section(columns, note=note)


def _panels(found: Sequence[Panel]) -> Section:
    sizes = sorted({len(panel.models) for panel in found})
    best: list[Panel] = []
    for size in sizes:
        panel = next(panel for panel in found if len(panel.models) == size)
        # A larger panel that adds nothing is not worth its calls.
        if not best or panel.ceiling > best[-1].ceiling:
            best.append(panel)
    columns = {
        "members that complement each other": [", ".join(map(one_line, panel.models)) for panel in best],
        "1 - β": [f"{100 * panel.ceiling:.1f} %" for panel in best],
    }
    note = f"the best panel of up to {LARGEST_PANEL}, chosen by these same questions:"
    return Section(
        columns, note=note, command=f"--reference_models {','.join(map(one_line, found[0].models))}"
    )


def _groups(groups: Mapping[str, Mapping[str, Score]]) -> list[Section]:
    """Return the scores by group: a row an arm, a column a group, a table for a few groups."""
    names = list(groups)
    found = []
    for start in range(0, len(names), _COLUMNS_OF_GROUPS):
        part = names[start : start + _COLUMNS_OF_GROUPS]
        arms = list(groups[part[0]])
        columns = {"score by group, %": [one_line(name) for name in arms]}
        for number, group in enumerate(part, start + 1):
            scores = groups[group]
            heading = f"{cut_cells(one_line(group), _GROUP_NAME)} ({scores[arms[0]].n:,})"
            # Groups whose names begin alike are told apart by their number.
            heading = f"{number}: {heading}" if heading in columns else heading
            columns[heading] = [f"{scores[name].score:.1f}" for name in arms]
        found.append(Section(columns))
    return found


def _interval(value: str, low: float | None, high: float | None) -> str:
    return value if low is None or high is None else f"{value} ({low:.1f} to {high:.1f})"


def _seconds(value: float | None) -> str:
    return "" if value is None else duration(value)


def _of(count: int | None, whole: int) -> str:
    return "" if count is None else f"{count:,} of {whole:,}"


def _position(found: Position | None) -> str:
    if found is None:
        return ""
    value = f"{100 * found.share:.0f} %"
    if found.low is None or found.high is None:
        return value
    return f"{value} ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _wrapped(text: str, width: int) -> str:
    """Return text in lines of at most `width` cells."""
    starts = [0, *break_points(text, width), len(text)]
    return "\n".join(text[a:b].rstrip() for a, b in pairwise(starts) if a < b)
