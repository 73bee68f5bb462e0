"""AlpacaEval's figures of judged rows: raw and length-controlled win rate, all and by data set.

Rows are those of the official `annotations.json`; only `instruction`, `preference`, `output_1` and
`output_2` are needed. They are joined to the official set by instruction, never by position.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.eval.alpaca_eval.data import COUNT, Question, by_instruction, difficulties, gamed, questions
from bot.eval.alpaca_eval.length_control import FOLDS, Judged, controlled
from bot.eval.files import DataError, MissingDataError, Row
from bot.eval.official_data import Data
from bot.eval.statistics import Figure, figure

OFFICIAL_ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is to be scored, one row an instruction, and what has to be said about it."""

    judged: list[tuple[Row, float]]
    left_out: int
    notes: list[str]


def score(rows: Iterable[Row], data: Data, expected: int | None = None) -> dict[str, Any]:
    """Return win rates in per cent with standard errors, and whether the result is comparable.

    `length_controlled_winrate` is None, with a note, where the fit's inputs are missing. Raises
    DataError for altered data and for rows of several models.
    """
    # In one order, whichever way the judgments came in: floating point sums depend on it.
    rows = sorted(rows, key=lambda row: str(row.get("instruction")))
    every = _readable(rows)
    notes = every.notes
    known = _known(data, notes)
    win_rate = _percent(figure([value - 1] for _, value in every.judged))
    controlled_rates = _controlled(every.judged, known, data, notes)
    lc = _percent(figure([value] for value in controlled_rates.values()))
    annotator = _one(rows, "annotator")
    against = [f"{key} is not the official file" for key in data.altered]
    if win_rate["n"] < COUNT:
        against.append(f"{win_rate['n']} of {COUNT} instructions are judged")
    if annotator not in (None, OFFICIAL_ANNOTATOR):
        against.append(f"the judge is {annotator}, not the official one")
    notes += [f"not comparable with published figures: {reason}" for reason in against]
    return {
        "benchmark": "alpaca_eval",
        "model": _one(rows, "generator_2"),
        "baseline": _one(rows, "generator_1"),
        "win_rate": win_rate["score"],
        "standard_error": win_rate["standard_error"],
        "length_controlled_winrate": lc["score"],
        "length_controlled_standard_error": lc["standard_error"],
        "n": win_rate["n"],
        "n_expected": COUNT if expected is None else expected,
        "left_out": every.left_out,
        "average_length": _average([len(str(row.get("output_2") or "")) for row, _ in every.judged]),
        "by_dataset": _by_dataset(every.judged, known, controlled_rates),
        "comparable": not against and lc["n"] == COUNT,
        "notes": notes,
    }


def _readable(rows: Sequence[Row]) -> _Rows:
    """Keep the last judgment of each instruction, and leave out those without a preference."""
    notes: list[str] = []
    latest: dict[str, Row] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("instruction"), str) or "preference" not in row:
            raise DataError(f"row {number} is no AlpacaEval annotation: it has no instruction or preference")
        latest[row["instruction"]] = row
    if len(latest) < len(rows):
        notes.append(f"{len(rows) - len(latest)} repeated rows: the last one of each instruction counts")
    judged = [
        (row, value) for row in latest.values() if (value := _preference(row["preference"])) is not None
    ]
    left_out = len(latest) - len(judged)
    if left_out:
        notes.append(f"{left_out} rows without a preference are left out")
    return _Rows(judged, left_out, notes)


def _preference(value: object) -> float | None:
    """Return 1 … 2; a 0 is a draw. None for what is no preference."""
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    if value == 0:
        return 1.5
    return float(value) if 1 <= value <= 2 else None  # noqa: PLR2004 - the range just named


def _known(data: Data, notes: list[str]) -> Mapping[str, Question]:
    """Return the official questions by instruction; none, and a note, where they are missing."""
    try:
        return by_instruction(questions(data))
    except MissingDataError as error:
        notes.append(_missing(error))
        return {}


def _controlled(
    judged: Sequence[tuple[Row, float]], known: Mapping[str, Question], data: Data, notes: list[str]
) -> dict[str, float]:
    """Return each instruction's probability to win at equal length."""
    rows = {
        row["instruction"]: Judged(
            known[row["instruction"]].index,
            value - 1,
            len(row["output_1"]) - len(row["output_2"]),
        )
        for row, value in judged
        if row["instruction"] in known
        and isinstance(row.get("output_1"), str)
        and isinstance(row.get("output_2"), str)
    }
    if known and len(rows) < len(judged):
        notes.append(f"{len(judged) - len(rows)} rows are not of the official set, or lack an output")
    if not rows:
        return {}
    try:
        difficulty, of_gamed = difficulties(data), gamed(data)
    except MissingDataError as error:
        notes.append(_missing(error))
        return {}
    rows = {instruction: row for instruction, row in rows.items() if row.index in difficulty}
    groups = {row.index for row in rows.values()} | {each.index for each in of_gamed}
    if not rows or len(groups) < FOLDS:
        notes.append("no length-controlled win rate: there are too few rows for the fit")
        return {}
    return dict(zip(rows, controlled(list(rows.values()), difficulty, of_gamed), strict=True))


def _by_dataset(
    judged: Sequence[tuple[Row, float]], known: Mapping[str, Question], rates: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    raw: dict[str, list[list[float]]] = defaultdict(list)
    lc: dict[str, list[list[float]]] = defaultdict(list)
    for row, value in judged:
        question = known.get(row["instruction"])
        name = question.dataset if question else str(row.get("dataset") or "unknown")
        raw[name].append([value - 1])
        if row["instruction"] in rates:
            lc[name].append([rates[row["instruction"]]])
    table = {}
    for name in sorted(raw):
        win_rate, controlled_rate = _percent(figure(raw[name])), _percent(figure(lc[name]))
        table[name] = {
            "win_rate": win_rate["score"],
            "standard_error": win_rate["standard_error"],
            "length_controlled_winrate": controlled_rate["score"],
            "n": win_rate["n"],
        }
    return table


def _percent(of: Figure) -> Figure:
    mean, error = of["score"], of["standard_error"]
    return Figure(
        score=None if mean is None else 100 * mean,
        standard_error=None if error is None else 100 * error,
        n=of["n"],
    )


def _one(rows: Sequence[Row], column: str) -> str | None:
    values = sorted({str(row[column]) for row in rows if row.get(column)})
    if len(values) > 1:
        raise DataError(f"the rows have several values of {column}: {', '.join(values[:5])}")
    return values[0] if values else None


def _average(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None


def _missing(error: DataError) -> str:
    return f"no length-controlled win rate: {error.message} ({error.hint})"
