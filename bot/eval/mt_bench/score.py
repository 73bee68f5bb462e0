"""MT-Bench's figures of judged rows, by model: the score, by turn and by category.

Rows are those of the official judgment files; only `question_id`, `model`, `turn` and `judgment`
(or `score`) are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.eval.files import DataError, Row
from bot.eval.mt_bench.data import CATEGORIES, COUNT, category
from bot.eval.mt_bench.judge import read_score
from bot.eval.statistics import figure

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
    of_models: dict[str, dict[Place, Row]] = defaultdict(dict)
    repeated: dict[str, int] = defaultdict(int)
    judges: dict[str, set[str]] = defaultdict(set)
    for number, row in enumerate(rows, 1):
        try:
            model, place = str(row["model"]), (int(row["question_id"]), int(row["turn"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"row {number} is no MT-Bench judgment: {error}") from error
        repeated[model] += place in of_models[model]
        of_models[model][place] = row
        if isinstance(row.get("judge"), list) and row["judge"]:
            judges[model].add(str(row["judge"][0]))
    result = {}
    for model, judged in of_models.items():
        against = [f"{key} is not the official file" for key in altered]
        others = sorted(judges[model] - {"gpt-4"})
        if others:
            against.append(f"the judge is {', '.join(others)}, not the official one")
        result[model] = _of_model(judged, COUNT if expected is None else expected, against)
        if repeated[model]:
            result[model]["notes"].append(
                f"{repeated[model]} repeated rows: the last one of each turn counts"
            )
    return result


def _of_model(judged: Mapping[Place, Row], expected: int, against: list[str]) -> dict[str, Any]:
    scores = {place: value for place, row in judged.items() if (value := _score(row)) is not None}
    left_out = len(judged) - len(scores)
    if len(scores) < COUNT:
        against.append(f"{len(scores)} of {COUNT} turns are judged")
    notes = [f"{left_out} rows without a readable score are left out"] if left_out else []
    notes += [f"not comparable with published figures: {reason}" for reason in against]
    every = _figure(scores)
    categories = {
        name: _figure({place: value for place, value in scores.items() if category(place[0]) == name})
        for name in CATEGORIES
    }
    turns = [
        _figure({place: value for place, value in scores.items() if place[1] == turn}) for turn in (1, 2)
    ]
    return {
        "benchmark": "mt_bench",
        "score": every["score"],
        "standard_error": every["standard_error"],
        "turn_1": turns[0]["score"],
        "turn_2": turns[1]["score"],
        "by_turn": {"1": turns[0], "2": turns[1]},
        "by_category": {name: found["score"] for name, found in categories.items() if found["n"]},
        "by_category_standard_error": {
            name: found["standard_error"] for name, found in categories.items() if found["n"]
        },
        "n": every["n"],
        "n_expected": expected,
        "left_out": left_out,
        "comparable": not against,
        "notes": notes,
    }


def _figure(scores: Mapping[Place, float]) -> Any:
    questions: dict[int, list[float]] = defaultdict(list)
    for (question, _), value in scores.items():
        questions[question].append(value)
    return figure(questions.values())


def _score(row: Row) -> float | None:
    if isinstance(row.get("judgment"), str):
        return read_score(row["judgment"])
    value = row.get("score")
    # The official tool writes -1 where it found no score.
    return float(value) if isinstance(value, int | float) and value >= 0 else None
