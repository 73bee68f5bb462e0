"""FLASK's figures of reviewed rows: by skill, by domain, by difficulty.

Rows are those of the official review files; only `idx` (or `question_id`) and `review` (or `score`)
are needed, and domain and difficulty, which come from the official items where a row lacks them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.eval.files import DataError, MissingDataError, Row
from bot.eval.flask import data as official
from bot.eval.flask.data import COUNT, DIFFICULTIES, SKILL_KEYS, Instruction
from bot.eval.flask.judge import Scores, known_scores, read_scores
from bot.eval.official_data import Data
from bot.eval.statistics import Figure, figure

Judged = tuple[int, Row, Scores]
"""An item's id, its row, its scores."""


def score(rows: Iterable[Row], data: Data, expected: int | None = None) -> dict[str, Any]:
    """Return means of scores from 1 to 5 with standard errors, and how many reviews were unreadable.

    Scores are read from the reviews anew where a row has one. The mean of a skill is over its scores
    that are not N/A; that of a domain or a difficulty over all scores of its items. Raises DataError
    for rows that are no reviews, and for altered data.
    """
    notes: list[str] = []
    latest = _latest(rows, notes)
    judged = [(number, row, scores) for number, row in latest.items() if (scores := _scores(row)) is not None]
    unparsable = len(latest) - len(judged)
    if unparsable:
        notes.append(f"{unparsable} reviews could not be read and are left out")
    items = _items(data, notes)
    hard = official.hard(data, items.values()) if items else None
    incomplete = sum(
        number in items and len(scores) < len(items[number].skills) for number, _, scores in judged
    )
    if incomplete:
        notes.append(f"{incomplete} reviews lack a score for one of their skills")
    against = [f"{key} is not the official file" for key in data.altered]
    if len(judged) < COUNT:
        against.append(f"{len(judged)} of {COUNT} items are judged")
    judges = sorted({str(row["judge"]) for _, row, _ in judged if row.get("judge")} - {"gpt-4"})
    if judges:
        against.append(f"judged by {', '.join(judges)}")
    notes += [f"not comparable with published figures: {reason}" for reason in against]
    every = figure(_given(scores) for _, _, scores in judged)
    return {
        "benchmark": "flask",
        "model": next((str(row["model_id"]) for _, row, _ in judged if row.get("model_id")), None),
        "score": every["score"],
        "standard_error": every["standard_error"],
        "skill": _by_skill(judged),
        "domain": _by(judged, lambda number, row: _domains(number, row, items)),
        "difficulty": _by(judged, lambda number, row: _difficulty(number, row, items), DIFFICULTIES),
        "hard": _hard(judged, hard),
        "n": len(judged),
        "n_expected": COUNT if expected is None else expected,
        "unparsable": unparsable,
        "not_applicable": sum(value is None for _, _, scores in judged for value in scores.values()),
        "incomplete": incomplete,
        "comparable": not against,
        "notes": notes,
    }


def _latest(rows: Iterable[Row], notes: list[str]) -> dict[int, Row]:
    latest: dict[int, Row] = {}
    repeated = 0
    for number, row in enumerate(rows, 1):
        try:
            place = official.item_id(row)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"row {number} is no FLASK review: it has no idx") from error
        if "review" not in row and "score" not in row:
            raise DataError(f"row {number} is no FLASK review: it has no review and no score")
        repeated += place in latest
        latest[place] = row
    if repeated:
        notes.append(f"{repeated} repeated rows: the last one of each item counts")
    return latest


def _scores(row: Row) -> Scores | None:
    if isinstance(row.get("review"), str):
        return read_scores(row["review"])
    return known_scores(row["score"]) or None if isinstance(row.get("score"), dict) else None


def _items(data: Data, notes: list[str]) -> Mapping[int, Instruction]:
    try:
        return {each.id: each for each in official.instructions(data)}
    except MissingDataError as error:
        notes.append(f"domains and difficulties as the rows have them: {error.message} ({error.hint})")
        return {}


def _domains(number: int, row: Row, items: Mapping[int, Instruction]) -> Sequence[str]:
    return items[number].domains if number in items else official.domains(row) or ()


def _difficulty(number: int, row: Row, items: Mapping[int, Instruction]) -> Sequence[str]:
    name = items[number].difficulty if number in items else official.difficulty(row)
    return (name,) if name else ()


def _by_skill(judged: Iterable[Judged]) -> dict[str, Figure]:
    groups: dict[str, list[list[float]]] = defaultdict(list)
    for _, _, scores in judged:
        for key, value in scores.items():
            if value is not None:
                groups[key].append([value])
    return {key: figure(groups[key]) for key in SKILL_KEYS if groups[key]}


def _by(
    judged: Iterable[Judged],
    names_of: Callable[[int, Row], Sequence[str]],
    order: Sequence[str] = (),
) -> dict[str, Figure]:
    groups: dict[str, list[list[float]]] = defaultdict(list)
    for number, row, scores in judged:
        for name in names_of(number, row):
            groups[name].append(_given(scores))
    names = [name for name in order if name in groups] + sorted(set(groups) - set(order))
    return {name: figure(groups[name]) for name in names}


def _hard(judged: Iterable[Judged], ids: frozenset[int] | None) -> dict[str, Any] | None:
    if ids is None:
        return None
    of_hard = [each for each in judged if each[0] in ids]
    every = figure(_given(scores) for _, _, scores in of_hard)
    return {**every, "items": len(of_hard), "items_expected": len(ids), "skill": _by_skill(of_hard)}


def _given(scores: Scores) -> list[float]:
    return [value for value in scores.values() if value is not None]
