"""AlpacaEval's figures of judged rows: raw and length-controlled win rate, all and by data set.

Rows are those of the official `annotations.json`; only `instruction`, `preference`, `output_1` and
`output_2` are needed. They are joined to the official set by instruction, never by position.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.bulk.files import Row
from bot.eval.alpaca_eval.data import COUNT, Comparison, Question, difficulties, gamed, questions
from bot.eval.alpaca_eval.length_control import length_controlled
from bot.eval.benchmark import Figure, Z, figure, figures_by_name, interval, latest_rows, not_comparable
from bot.eval.official_data import DataError, MissingDataError, OfficialData

FEWEST = 400
"""Judged instructions that a length-controlled win rate needs: with fewer, its error is too large."""
OFFICIAL_ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"


def score(rows: Iterable[Row], data: OfficialData, expected: int | None = None) -> dict[str, Any]:
    """Return win rates in per cent with standard errors, and whether the result is comparable.

    `length_controlled_winrate` is None, with a note, with fewer than 400 rows and where the fit's
    inputs are missing; its error is that of a bootstrap over instructions. Intervals are those of
    95 % confidence. Raises DataError for altered data and for rows of several models.
    """
    # In one order, whichever way the judgments came in: floating point sums depend on it.
    rows = sorted(rows, key=lambda row: str(row.get("instruction")))
    latest, notes = latest_rows(rows, _instruction, "AlpacaEval annotation", "instruction")
    wins = {name: value - 1 for name, row in latest.items() if (value := preference_of(row)) is not None}
    left_out = len(latest) - len(wins)
    if left_out:
        notes.append(f"{left_out} rows without a preference are left out")
    known, rates, error = _length_controlled(latest, wins, data, notes)
    raw = _percent(figure([win] for win in wins.values()))
    ends = interval([win] for win in wins.values())
    controlled = _percent(figure([rate] for rate in rates.values()))
    annotator = _only(rows, "annotator")
    part = f"{raw['n']} of {COUNT} instructions" if raw["n"] < COUNT else ""
    against = not_comparable(data.altered, part, [annotator] if annotator else [], OFFICIAL_ANNOTATOR)
    datasets = {
        name: known[name].dataset if name in known else str(latest[name].get("dataset") or "unknown")
        for name in wins
    }
    by_dataset = figures_by_name((datasets[name], [win]) for name, win in wins.items())
    lc_by_dataset = figures_by_name((datasets[name], [rate]) for name, rate in rates.items())
    lengths = [len(str(latest[name].get("output_2") or "")) for name in wins]
    return {
        "benchmark": "alpaca_eval",
        "model": _only(rows, "generator_2"),
        "baseline": _only(rows, "generator_1"),
        "win_rate": raw["score"],
        "standard_error": raw["standard_error"],
        "interval": ends and [100 * end for end in ends],
        "length_controlled_winrate": controlled["score"],
        "length_controlled_standard_error": error,
        "length_controlled_interval": _within(controlled["score"], error),
        "n": raw["n"],
        "n_expected": COUNT if expected is None else expected,
        "n_whole": COUNT,
        "left_out": left_out,
        "average_length": sum(lengths) / len(lengths) if lengths else None,
        "by_dataset": {
            name: {
                "win_rate": (percent := _percent(found))["score"],
                "standard_error": percent["standard_error"],
                "length_controlled_winrate": _percent(lc_by_dataset.get(name))["score"],
                "n": found["n"],
            }
            for name, found in by_dataset.items()
        },
        "comparable": not against and controlled["n"] == COUNT,
        "notes": notes + against,
    }


def _length_controlled(
    rows: Mapping[str, Row], wins: Mapping[str, float], data: OfficialData, notes: list[str]
) -> tuple[dict[str, Question], dict[str, float], float | None]:
    """Return the official questions and the probabilities to win at equal length, by instruction.

    Either is empty, with a note, where an official file is missing; so are the probabilities where
    there are too few rows for the fit. Also returns the standard error of their mean in per cent.
    """
    known: dict[str, Question] = {}
    try:
        known = {each.instruction: each for each in questions(data)}
        differences = {
            name: len(rows[name]["output_1"]) - len(rows[name]["output_2"])
            for name in wins
            if name in known and all(isinstance(rows[name].get(key), str) for key in ("output_1", "output_2"))
        }
        if strange := len(wins) - len(differences):
            notes.append(f"{strange} rows are not of the official set, or lack an output")
        if not differences:
            return known, {}, None
        difficulty, of_gamed = difficulties(data), gamed(data)
    except MissingDataError as error:
        notes.append(f"no length-controlled win rate: {error.message} ({error.hint})")
        return known, {}, None
    indexes = {name: int(known[name].id) for name in differences if int(known[name].id) in difficulty}
    if len(indexes) < FEWEST:
        few = f"there are too few rows for the fit ({len(indexes)} of {COUNT}; it needs {FEWEST})"
        notes.append(f"no length-controlled win rate: {few}")
        return known, {}, None
    spread = statistics.stdev(differences[name] for name in indexes)
    judged = [
        Comparison(index, wins[name], differences[name] / spread if spread else 0.0, difficulty[index])
        for name, index in indexes.items()
    ]
    fitted, means = length_controlled(judged, of_gamed)
    return known, dict(zip(indexes, fitted, strict=True)), 100 * statistics.stdev(means)


def _within(score: float | None, error: float | None) -> list[float] | None:
    """Return the 95 % confidence interval of a win rate in per cent from its bootstrapped error."""
    if score is None or error is None:
        return None
    return [max(0.0, score - Z * error), min(100.0, score + Z * error)]


def _instruction(row: Row) -> str:
    if not isinstance(row["instruction"], str) or "preference" not in row:
        raise ValueError("no instruction or preference")
    return row["instruction"]


def preference_of(row: Row) -> float | None:
    """Return a judgment's preference, 1 … 2; a 0 is a draw. None for what is no preference."""
    value = row["preference"]
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    if value == 0:
        return 1.5
    return float(value) if 1 <= value <= 2 else None  # noqa: PLR2004 - the range just named


def _percent(found: Figure | None) -> Figure:
    mean, error, n = (found["score"], found["standard_error"], found["n"]) if found else (None, None, 0)
    return Figure(
        score=None if mean is None else 100 * mean,
        standard_error=None if error is None else 100 * error,
        n=n,
    )


def _only(rows: Sequence[Row], column: str) -> str | None:
    values = sorted({str(row[column]) for row in rows if row.get(column)})
    if len(values) > 1:
        raise DataError(f"the rows have several values of {column}: {', '.join(values[:5])}")
    return values[0] if values else None
