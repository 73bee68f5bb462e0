"""Figures as tables: runs beside one another and beside what others published.

Every figure stands with its standard error and with `n of n expected`. Text only; pictures are in
`charts`, the page in `page`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import UsageError
from bot.eval import published
from bot.eval.stages import SCORES
from bot.text.numbers import duration, money
from bot.text.table import aligned

Summary = dict[str, Any]
Table = list[list[str]]

TITLES = {"alpaca_eval": "AlpacaEval 2.0", "mt_bench": "MT-Bench", "flask": "FLASK"}
MAIN = {"alpaca_eval": "LC win rate, %", "mt_bench": "score, 1-10", "flask": "score, 1-5"}


@dataclass(frozen=True, slots=True)
class Dot:
    """A run in the plane of quality against what it costs, in `x` (dollars or teraflops a query)."""

    name: str
    x: float
    y: float
    best: bool = False


def read_runs(folders: Iterable[Path]) -> list[Summary]:
    """Return the scores of all runs in these folders and below. UsageError when there are none."""
    found: list[Summary] = []
    for folder in folders:
        for file in sorted(folder.rglob(SCORES)):
            try:
                found.append(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise UsageError(f"{file}: cannot be read: {error}") from error
    if not found:
        raise UsageError("There are no scores in there.", hint="They are made by: moa-bot eval BENCH run")
    return found


def figures_of(summary: Summary) -> dict[str, Any]:
    """Return the benchmark's figures of the one model that was run, {} when nothing was judged."""
    figures = summary.get("figures") or {}
    if summary["benchmark"] == "mt_bench":
        return dict(next(iter(figures.values()), {}))
    return dict(figures)


def main_figure(summary: Summary) -> tuple[float | None, float | None]:
    """Return the figure that runs are compared by, and its standard error."""
    figures = figures_of(summary)
    if summary["benchmark"] == "alpaca_eval":
        return figures.get("length_controlled_winrate"), figures.get("length_controlled_standard_error")
    return figures.get("score"), figures.get("standard_error")


def text_report(summaries: Sequence[Summary]) -> str:
    """Return all runs as text, a table a benchmark, with what has to be said about them."""
    parts = []
    for benchmark, title in TITLES.items():
        runs = [summary for summary in summaries if summary["benchmark"] == benchmark]
        if runs:
            parts.append(f"{title}\n\n{layout(table(benchmark, runs))}")
            parts += [layout(detail) for detail in details(benchmark, runs)]
            parts.append("\n".join(remarks(runs)))
    return "\n\n".join(part for part in parts if part)


def table(benchmark: str, runs: Sequence[Summary]) -> Table:
    """Return the table of runs and of published figures, the best first in each."""
    more = {"alpaca_eval": ["raw win rate, %"], "mt_bench": ["turn 1", "turn 2"]}.get(benchmark, [])
    head = ["", MAIN[benchmark], *more, "scored", "cost a query", "tflops a query", "time a query"]
    rows = [_row(run) for run in sorted(runs, key=lambda run: -(main_figure(run)[0] or 0))]
    width = len(head)
    for name, values in _published(benchmark):
        rows.append([name, *values, *[""] * (width - 1 - len(values))])
    return [head, *rows]


def _row(run: Summary) -> list[str]:
    figures = figures_of(run)
    more = {
        "alpaca_eval": [_with_error(figures.get("win_rate"), figures.get("standard_error"))],
        "mt_bench": [number(_value(figures.get("turn_1"))), number(_value(figures.get("turn_2")))],
    }.get(run["benchmark"], [])
    cost, work, seconds = (run[f"{name}_per_query"] for name in ("cost", "tflops", "seconds"))
    return [
        run["name"],
        _with_error(*main_figure(run)),
        *more,
        f"{run['n']:,} of {run['n_expected']:,}",
        "?" if cost is None else money(cost),
        "?" if work is None else f"{work:,.0f}",
        "?" if seconds is None else duration(seconds),
    ]


def _published(benchmark: str) -> list[tuple[str, list[str]]]:
    if benchmark == "alpaca_eval":
        board = [
            (f"{name} (leaderboard)", [number(controlled), number(raw)])
            for name, (raw, controlled) in published.ALPACA_EVAL.items()
        ]
        return board + [(f"{name} (paper)", [number(v)]) for name, v in published.ALPACA_EVAL_PAPER.items()]
    if benchmark == "mt_bench":
        return [(f"{name} (paper)", [number(v)]) for name, v in published.MT_BENCH_PAPER.items()]
    return []


def details(benchmark: str, runs: Sequence[Summary]) -> list[Table]:
    """Return the tables by category, skill, domain and so on: a row each, a column a run."""
    groups = {
        "alpaca_eval": ["by_dataset"],
        "mt_bench": ["by_category"],
        "flask": ["skill", "domain", "difficulty"],
    }.get(benchmark, [])
    tables = []
    for group in groups:
        of_runs = [figures_of(run).get(group) or {} for run in runs]
        names = list(dict.fromkeys(name for each in of_runs for name in each))
        if names:
            head = [group.removeprefix("by_"), *(run["name"] for run in runs)]
            tables.append(
                [head, *([name, *(number(_value(each.get(name))) for each in of_runs)] for name in names)]
            )
    return tables


def remarks(runs: Sequence[Summary]) -> list[str]:
    """Return what must not be overlooked: what is missing, unparsable, or not comparable."""
    lines = []
    for run in runs:
        said = list(figures_of(run).get("notes") or ())
        for key, words in (
            ("unanswered", "without an answer"),
            ("failed", "judgments failed"),
            ("unparsable", "judgments could not be read"),
            ("with_missing_references", "answers made with fewer references than the mixture has"),
        ):
            if run.get(key):
                said.append(f"{run[key]:,} {words}")
        lines += [f"{run['name']}: {text}" for text in dict.fromkeys(said)]
    return lines


def frontier(runs: Sequence[Summary], against: str) -> list[Dot]:
    """Return the runs of one benchmark as dots; `best` ones cost less than all that are better.

    `against` is "cost" or "tflops"; runs of which it is unknown are left out.
    """
    known = [
        (run["name"], float(run[f"{against}_per_query"]), float(figure))
        for run in runs
        if run.get(f"{against}_per_query") is not None and (figure := main_figure(run)[0]) is not None
    ]
    return [
        Dot(
            name,
            x,
            y,
            not any(
                (other_x <= x and other_y > y) or (other_x < x and other_y >= y)
                for _, other_x, other_y in known
            ),
        )
        for name, x, y in sorted(known, key=lambda each: each[1])
    ]


def layout(rows: Table) -> str:
    """Align a table's columns: the first to the left, numbers to the right."""
    lines = aligned(rows, right=range(1, len(rows[0])))
    return "\n".join([lines[0], "-" * min(100, max(map(len, lines))), *lines[1:]])


def figures_text(benchmark: str, figures: dict[str, Any]) -> str:
    """Return the figures of a file of judgments as text, of every model in it."""
    models = figures if benchmark == "mt_bench" else {str(figures.get("model") or "all rows"): figures}
    runs: list[Summary] = [
        {
            "benchmark": benchmark,
            "name": name,
            "n": each["n"],
            "n_expected": each["n_expected"],
            "figures": {name: each} if benchmark == "mt_bench" else each,
            **dict.fromkeys(("cost_per_query", "tflops_per_query", "seconds_per_query")),
        }
        for name, each in models.items()
    ]
    return text_report(runs)


def number(value: float | None, digits: int = 2) -> str:
    """Write a figure with so many digits, "–" where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _with_error(value: float | None, error: float | None) -> str:
    return number(value) if value is None or error is None else f"{value:.2f} ± {error:.2f}"


def _value(figure: Any) -> float | None:
    if isinstance(figure, dict):
        for key in ("length_controlled_winrate", "win_rate", "score"):
            if isinstance(figure.get(key), int | float):
                return float(figure[key])
        return None
    return float(figure) if isinstance(figure, int | float) else None
