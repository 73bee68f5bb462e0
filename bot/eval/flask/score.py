"""FLASK's figures of reviewed rows: by skill, by domain, by difficulty.

Rows are those of the official review files; only `idx` (or `question_id`) and `review` (or `score`)
are needed, and domain and difficulty, which come from the official items where a row lacks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.bulk.files import Row
from bot.eval.benchmark import Figure, figure, figures_by_name, interval, latest_rows, not_comparable
from bot.eval.flask import data as official
from bot.eval.flask.data import COUNT, DIFFICULTIES, SKILL_KEYS, Instruction
from bot.eval.flask.judge import HIGHEST, LOWEST, Scores, asked_scores, known_scores, read_scores
from bot.eval.official_data import MissingDataError, OfficialData


def score(rows: Iterable[Row], data: OfficialData, expected: int | None = None) -> dict[str, Any]:
    """Return means of scores from 1 to 5 with standard errors, and how many reviews were unreadable.

    Scores are read from the reviews anew where a row has one. The mean of a skill is over its scores
    that are not N/A; that of a domain or a difficulty over all scores of its items. Raises DataError
    for rows that are no reviews, and for altered data.
    """
    latest, notes = latest_rows(rows, _item_id, "FLASK review", "item")
    items = _items(data, notes)
    judged = {}
    for number, row in latest.items():
        scores = _scores(row)
        if scores is not None and number in items:
            scores = asked_scores(scores, items[number].skills)
        if scores is not None:
            judged[number] = scores
    unparsable = len(latest) - len(judged)
    if unparsable:
        notes.append(f"{unparsable} reviews could not be read and are left out")
    hard = official.hard(data, items.values()) if items else None
    incomplete = sum(
        number in items and len(scores) < len(items[number].skills) for number, scores in judged.items()
    )
    if incomplete:
        notes.append(f"{incomplete} reviews lack a score for one of their skills")
    reviewed = [latest[number] for number in judged]
    judges = [str(row["judge"]) for row in reviewed if row.get("judge")]
    official_items = len(judged.keys() & items.keys()) if items else len(judged)
    part = f"{official_items:,} of {COUNT:,} items" if official_items < COUNT else ""
    against = not_comparable(data.altered, part, judges, "gpt-4")
    every = figure(map(_given, judged.values()))
    domains, difficulties = [], []
    for number, scores in judged.items():
        item, row = items.get(number), latest[number]
        names = item.domains if item else official.domains(row) or ()
        domains += [(name, _given(scores)) for name in names]
        difficulty = item.difficulty if item else official.difficulty(row)
        if difficulty:
            difficulties.append((difficulty, _given(scores)))
    return {
        "benchmark": "flask",
        "model": next((str(row["model_id"]) for row in reviewed if row.get("model_id")), None),
        "score": every["score"],
        "standard_error": every["standard_error"],
        "interval": interval(map(_given, judged.values()), LOWEST, HIGHEST),
        "skill": _by_skill(judged.values()),
        "domain": figures_by_name(domains),
        "difficulty": figures_by_name(difficulties, DIFFICULTIES),
        "hard": None if hard is None else _hard(judged, hard),
        "n": len(judged),
        "n_expected": COUNT if expected is None else expected,
        "n_whole": COUNT,
        "unparsable": unparsable,
        "not_applicable": sum(value is None for scores in judged.values() for value in scores.values()),
        "incomplete": incomplete,
        "comparable": not against,
        "notes": notes + against,
    }


def _item_id(row: Row) -> int:
    if "review" not in row and "score" not in row:
        raise ValueError("no review and no score")
    return official.item_id(row)


def _scores(row: Row) -> Scores | None:
    if isinstance(row.get("review"), str):
        return read_scores(row["review"])
    return known_scores(row["score"]) or None if isinstance(row.get("score"), dict) else None


def _items(data: OfficialData, notes: list[str]) -> Mapping[int, Instruction]:
    try:
        return {int(each.id): each for each in official.instructions(data)}
    except MissingDataError as error:
        notes.append(f"domains and difficulties as the rows have them: {error.message} ({error.hint})")
        return {}


def _by_skill(judged: Iterable[Scores]) -> dict[str, Figure]:
    given = ((key, value) for scores in judged for key, value in scores.items())
    return figures_by_name(((key, [value]) for key, value in given if value is not None), SKILL_KEYS)


def _hard(judged: Mapping[int, Scores], ids: frozenset[int]) -> dict[str, Any]:
    of_hard = [scores for number, scores in judged.items() if number in ids]
    every = figure(map(_given, of_hard))
    return {**every, "items": len(of_hard), "items_expected": len(ids), "skill": _by_skill(of_hard)}


def _given(scores: Scores) -> list[float]:
    return [value for value in scores.values() if value is not None]
