"""MT-Bench's figures of judged rows, by model: the score, by turn and by category.

Rows are those of the official judgment files; only `question_id`, `model`, `turn` and `judgment`
(or `score`) are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.bulk.files import Row
from bot.eval.benchmark import Figure, figure, interval, latest_rows, not_comparable
from bot.eval.mt_bench.data import CATEGORIES, COUNT, category
from bot.eval.mt_bench.judge import HIGHEST, LOWEST, on_scale, read_score

TURNS = (1, 2)
Place = tuple[int, int]
"""A question's id, and the turn: 1 or 2."""


def score(
    rows: Iterable[Row], expected: int | None = None, altered: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return each model's figures: means of scores from 1 to 10.

    The score is the plain mean of all judgments, over both turns; its standard error takes the two
    turns of a question together. Scores are read from the judge's words anew where a row has them.
    A row without a score is left out and counted. `altered` names data that is not official.
    Raises DataError for rows that are no judgments.
    """
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_model[str(row.get("model"))].append(row)
    whole = COUNT if expected is None else expected
    return {model: _figures(each, whole, altered) for model, each in by_model.items()}


def _figures(rows: Sequence[Row], expected: int, altered: Sequence[str]) -> dict[str, Any]:
    latest, repeated = latest_rows(rows, place_of, "MT-Bench judgment", "turn")
    scores = {place: value for place, row in latest.items() if (value := score_of(row)) is not None}
    left_out = len(latest) - len(scores)
    notes = [f"{left_out} rows without a readable score are left out"] if left_out else []
    judges = [str(row["judge"][0]) for row in rows if isinstance(row.get("judge"), list) and row["judge"]]
    official = sum(category(question) is not None and turn in TURNS for question, turn in scores)
    part = f"{official} of {COUNT} turns" if official < COUNT else ""
    against = not_comparable(altered, part, judges, "gpt-4")
    every = _figure(scores)
    by_turn = {
        turn: _figure({place: value for place, value in scores.items() if place[1] == turn}) for turn in TURNS
    }
    by_category = {
        name: _figure({place: value for place, value in scores.items() if category(place[0]) == name})
        for name in CATEGORIES
    }
    return {
        "benchmark": "mt_bench",
        "score": every["score"],
        "standard_error": every["standard_error"],
        "interval": interval(_by_question(scores), LOWEST, HIGHEST),
        "turn_1": by_turn[1]["score"],
        "turn_2": by_turn[2]["score"],
        "by_turn": {"1": by_turn[1], "2": by_turn[2]},
        "by_category": {name: found["score"] for name, found in by_category.items() if found["n"]},
        "by_category_standard_error": {
            name: found["standard_error"] for name, found in by_category.items() if found["n"]
        },
        "n": every["n"],
        "n_expected": expected,
        "n_whole": COUNT,
        "left_out": left_out,
        "comparable": not against,
        "notes": notes + against + repeated,
    }


def place_of(row: Row) -> Place:
    """Return a judgment's question and turn. Raises KeyError, TypeError, ValueError for no judgment."""
    if "model" not in row:
        raise ValueError("no model")
    return int(row["question_id"]), int(row["turn"])


def _figure(scores: Mapping[Place, float]) -> Figure:
    return figure(_by_question(scores))


def _by_question(scores: Mapping[Place, float]) -> list[list[float]]:
    questions: dict[int, list[float]] = defaultdict(list)
    for (question, _), value in scores.items():
        questions[question].append(value)
    return list(questions.values())


def score_of(row: Row) -> float | None:
    """Return a judgment's grade, read from its words where it has some."""
    if isinstance(row.get("judgment"), str):
        return read_score(row["judgment"])
    return on_scale(row.get("score"))
