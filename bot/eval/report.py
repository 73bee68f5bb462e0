"""Figures as tables, as text and as one HTML page: runs beside one another and beside published figures.

Every figure stands with its 95 % confidence interval and with `n of n expected`. Pictures are in `charts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import UsageError
from bot.eval.alpaca_eval import data as alpaca_eval
from bot.eval.judging import SCORES, Summary
from bot.eval.mt_bench import data as mt_bench
from bot.eval.registry import BENCHMARKS
from bot.text.numbers import duration, money
from bot.text.table import aligned

Table = list[list[str]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a benchmark's figures are shown.

    `columns` are heading, key and key of the interval ("" for none) of each figure, the one
    that runs are compared by first; `groups` are keys of tables by category, skill and so on;
    `published` are others' values of these columns, by source and name.
    """

    title: str
    columns: tuple[tuple[str, str, str], ...]
    groups: tuple[str, ...]
    published: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)


LAYOUTS = {
    "alpaca_eval": Layout(
        "AlpacaEval 2.0",
        (
            ("LC win rate, %", "length_controlled_winrate", "length_controlled_interval"),
            ("raw win rate, %", "win_rate", "interval"),
        ),
        ("by_dataset",),
        {"leaderboard": alpaca_eval.LEADERBOARD, "paper": alpaca_eval.PAPER},
    ),
    "mt_bench": Layout(
        "MT-Bench",
        (("score, 1-10", "score", "interval"), ("turn 1", "turn_1", ""), ("turn 2", "turn_2", "")),
        ("by_category",),
        {"paper": mt_bench.PAPER},
    ),
    "flask": Layout("FLASK", (("score, 1-5", "score", "interval"),), ("skill", "domain", "difficulty")),
}


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


def by_benchmark(summaries: Sequence[Summary]) -> Iterator[tuple[str, Layout, list[Summary]]]:
    """Yield each benchmark that there are runs of: its name, its layout, its runs."""
    for name, layout in LAYOUTS.items():
        runs = [summary for summary in summaries if summary["benchmark"] == name]
        if runs:
            yield name, layout, runs


def with_judges(summaries: Iterable[Summary]) -> list[Summary]:
    """Return the figures of each judge before those of its jury."""
    return [each for summary in summaries for each in (*summary.get("judges", ()), summary)]


def figures_of(summary: Summary) -> dict[str, Any]:
    """Return the benchmark's figures of the one model that was run, {} when nothing was judged."""
    figures = summary.get("figures") or {}
    if summary["benchmark"] == "mt_bench":
        return dict(next(iter(figures.values()), {}))
    return dict(figures)


def compared_by(layout: Layout, runs: Iterable[Summary]) -> tuple[str, str]:
    """Return heading and key of the figure that runs are compared by: the first that all of them have."""
    columns = [(heading, key) for heading, key, _ in layout.columns]
    judged = [found for run in runs if (found := figures_of(run))]
    return next(
        (each for each in columns if all(found.get(each[1]) is not None for found in judged)), columns[0]
    )


def text_report(summaries: Sequence[Summary]) -> str:
    """Return all runs as text, one table per benchmark, with notes."""
    parts = []
    for _, layout, runs in by_benchmark(summaries):
        parts.append(f"{layout.title}\n\n{align(_table(layout, runs))}")
        parts += map(align, _details(layout, runs))
        parts.append("\n".join(_remarks(runs)))
    return "\n\n".join(filter(None, parts))


def html_report(summaries: Sequence[Summary], pictures: Mapping[str, str]) -> str:
    """Return a page that needs no other file; `pictures` are SVG elements by name: BENCHMARK-…."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - for --html only
    from markupsafe import Markup  # noqa: PLC0415 - for --html only

    sections = [
        {
            "title": layout.title,
            "table": _table(layout, runs),
            "notes": _remarks(runs),
            "pictures": [Markup(svg) for key, svg in pictures.items() if key.startswith(name)],  # noqa: S704 - our own
            "details": _details(layout, runs),
        }
        for name, layout, runs in by_benchmark(summaries)
    ]
    environment = Environment(loader=PackageLoader("bot.eval"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html").render(sections=sections)


def figures_text(benchmark: str, figures: dict[str, Any]) -> str:
    """Return the figures of a file of judgments as text, of every model in it."""
    return text_report(
        [
            {
                "benchmark": benchmark,
                "name": name,
                "n": each["n"],
                "n_expected": each["n_expected"],
                "figures": {name: each} if benchmark == "mt_bench" else each,
            }
            for name, each in by_model(benchmark, figures).items()
        ]
    )


def by_model(benchmark: str, figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the figures of a file of judgments by model; only MT-Bench's files hold several."""
    return figures if benchmark == "mt_bench" else {str(figures.get("model") or "all rows"): figures}


def align(rows: Table) -> str:
    """Align a table's columns: the first to the left, numbers to the right."""
    lines = aligned(rows, right=range(1, len(rows[0])))
    return "\n".join([lines[0], "-" * min(100, max(map(len, lines))), *lines[1:]])


def number(value: float | None, digits: int = 2) -> str:
    """Write a figure with so many digits, "–" where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _table(layout: Layout, runs: Sequence[Summary]) -> Table:
    """Return the table of runs and of published figures, the best run first."""
    headings = [heading for heading, _, _ in layout.columns]
    rows = [["", *headings, "scored", "cost a query", "tflops a query", "time a query"]]
    _, main = compared_by(layout, runs)
    for run in sorted(runs, key=lambda run: -(figures_of(run).get(main) or 0)):
        figures = figures_of(run)
        cost, work, seconds = (run.get(f"{name}_per_query") for name in ("cost", "tflops", "seconds"))
        rows.append(
            [
                _label(run, runs),
                *(_with_interval(figures.get(key), figures.get(ends)) for _, key, ends in layout.columns),
                f"{run['n']:,} of {BENCHMARKS[run['benchmark']].whole:,}",
                "?" if cost is None else money(cost),
                "?" if work is None else f"{work:,.0f}",
                "?" if seconds is None else duration(seconds),
            ]
        )
    for source, published in layout.published.items():
        for name, values in published.items():
            row = [f"{name} ({source})", *map(number, values)]
            rows.append(row + [""] * (len(rows[0]) - len(row)))
    return rows


def _details(layout: Layout, runs: Sequence[Summary]) -> list[Table]:
    """Return the tables by category, skill, domain and so on: a row each, a column a run."""
    tables = []
    _, main = compared_by(layout, runs)
    for group in layout.groups:
        of_runs = [figures_of(run).get(group) or {} for run in runs]
        names = dict.fromkeys(name for each in of_runs for name in each)
        if names:
            rows = [[name, *(number(_value(each.get(name), main)) for each in of_runs)] for name in names]
            tables.append([[group.removeprefix("by_"), *(_label(run, runs) for run in runs)], *rows])
    return tables


def _remarks(runs: Sequence[Summary]) -> list[str]:
    """Return what must not be overlooked: what is missing, unparsable, or not comparable."""
    lines = []
    for run in runs:
        remarks = list(figures_of(run).get("notes") or ())
        for key, words in (
            ("unanswered", "without an answer"),
            ("failed", "judgments failed"),
            ("unparsable", "judgments could not be read"),
            ("with_missing_references", "answers made with fewer references than the mixture has"),
        ):
            if run.get(key):
                remarks.append(f"{run[key]:,} {words}")
        remarks += [_agreement(pair) for pair in run.get("agreement") or () if pair["n"]]
        lines += [f"{_label(run, runs)}: {text}" for text in dict.fromkeys(remarks)]
    return lines


def _agreement(pair: Mapping[str, Any]) -> str:
    """Return how far two judges of a jury agree."""
    share = f"{number(pair['same'], 1)} % of {pair['n']:,} judgments"
    figures = f"kappa {number(pair['kappa'])}, Kendall's tau {number(pair['tau'])}"
    return f"{' and '.join(pair['judges'])} agree in {share} ({figures})"


def _label(run: Summary, runs: Sequence[Summary]) -> str:
    """Return a run's name, with its judge where the runs have several."""
    several = len({each.get("judge") for each in runs}) > 1
    return f"{run['name']} [{run.get('judge')}]" if several else str(run["name"])


def _with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    return number(value) if value is None or not ends else f"{value:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def _value(figure: Any, key: str) -> float | None:
    """Return the figure of a group: plain, or that of several which runs are compared by."""
    if isinstance(figure, dict):
        figure = figure.get(key)
    return float(figure) if isinstance(figure, int | float) else None
