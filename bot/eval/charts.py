"""Pictures of figures: quality against cost, and FLASK's skills as a radar.

In the terminal by plotext, as PNG and SVG by matplotlib; both come with the extra `eval` and are
imported here, when a picture is wanted.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from bot.eval.extras import needs_extra
from bot.eval.report import MAIN, TITLES, Dot, Summary, figures_of, frontier

AGAINST = {"cost": "US dollars a query", "tflops": "teraflops a query"}
_MOST = 5
_GOLDEN = (9.0, 5.6)


def skills_of(runs: Sequence[Summary]) -> dict[str, dict[str, float]]:
    """Return FLASK's figures by run and skill; runs of other benchmarks are left out."""
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        if run["benchmark"] == "flask":
            skills = figures_of(run).get("skill") or {}
            found[run["name"]] = {
                name: float(figure["score"])
                for name, figure in skills.items()
                if figure.get("score") is not None
            }
    return {name: skills for name, skills in found.items() if len(skills) > 2}  # noqa: PLR2004 - two make no radar


def terminal_charts(summaries: Sequence[Summary], width: int = 80) -> str:
    """Return all charts as text, drawn by plotext. UsageError when it is not installed."""
    parts = []
    for benchmark, title in TITLES.items():
        runs = [summary for summary in summaries if summary["benchmark"] == benchmark]
        for against, words in AGAINST.items():
            dots = frontier(runs, against)
            if len(dots) > 1:
                parts.append(_terminal_dots(dots, f"{title}: {MAIN[benchmark]} against {words}", width))
    skills = skills_of(summaries)
    if skills:
        parts.append(_terminal_radar(skills, min(width, 78)))
    return "\n\n".join(parts)


def _blank(title: str, width: int, height: int) -> Any:
    """Return an empty drawing without colours."""
    with needs_extra("eval"):
        from plotext import figure  # type: ignore[import-untyped]  # ships no types
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.title(title)
    return figure


def _text(figure: Any) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", str(figure.build())).rstrip()


def _terminal_dots(dots: Sequence[Dot], title: str, width: int) -> str:
    figure = _blank(title, width, 18)
    best = [dot for dot in dots if dot.best]
    front = figure.signal([dot.x for dot in best], [dot.y for dot in best], marker="·")
    front.lines()
    figure.draw(front)
    figure.draw(figure.signal([dot.x for dot in dots], [dot.y for dot in dots], marker="x"))
    middle = (dots[0].x + dots[-1].x) / 2
    for dot in dots:
        # What does not fit before the edge would not be drawn at all.
        side = "left" if dot.x <= middle else "right"
        figure.draw(figure.text(dot.x, dot.y, dot.name, alignment=side))
    return _text(figure)


def _terminal_radar(skills: Mapping[str, Mapping[str, float]], width: int) -> str:
    figure = _blank("FLASK: skills from 1 (in the middle) to 5", width, 34)
    names = list(dict.fromkeys(name for each in skills.values() for name in each))
    for marker, (run, values) in zip(cycle("*o+x#"), skills.items(), strict=False):
        spokes = [_spoke(index, len(names), values.get(name, 1.0) - 1) for index, name in enumerate(names)]
        around = figure.signal(
            [x for x, _ in (*spokes, spokes[0])], [y for _, y in (*spokes, spokes[0])], marker=marker
        )
        around.lines()
        around.label(run)
        figure.draw(around)
    for index, name in enumerate(names):
        figure.draw(figure.text(*_spoke(index, len(names), _MOST - 1), name))
    return _text(figure)


def pictures(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return the charts as matplotlib figures by name. UsageError when it is not installed."""
    with needs_extra("eval"):
        from matplotlib.figure import Figure
    drawn: dict[str, Any] = {}
    for benchmark, title in TITLES.items():
        runs = [summary for summary in summaries if summary["benchmark"] == benchmark]
        for against, words in AGAINST.items():
            dots = frontier(runs, against)
            if dots:
                figure = Figure(figsize=_GOLDEN, layout="constrained")
                _draw_dots(figure.add_subplot(), dots, f"{title}, {MAIN[benchmark]}", words)
                drawn[f"{benchmark}-{against}"] = figure
    skills = skills_of(summaries)
    if skills:
        figure = Figure(figsize=(7.5, 7.5), layout="constrained")
        _draw_radar(figure.add_subplot(projection="polar"), skills)
        drawn["flask-skills"] = figure
    return drawn


def save_pictures(figures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG into the folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        for form in ("png", "svg"):
            file = folder / f"{name}.{form}"
            figure.savefig(file, dpi=150)
            files.append(file)
    return files


def svg(figure: Any) -> str:
    """Return a figure as an SVG element, to stand in a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg")
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _spoke(index: int, count: int, value: float) -> tuple[float, float]:
    angle = math.pi / 2 - 2 * math.pi * index / count
    return value * math.cos(angle), value * math.sin(angle)


def _draw_dots(axes: Any, dots: Sequence[Dot], quality: str, words: str) -> None:
    best = [dot for dot in dots if dot.best]
    axes.plot([dot.x for dot in best], [dot.y for dot in best], "--", color="tab:red", label="Pareto front")
    axes.scatter([dot.x for dot in dots], [dot.y for dot in dots], color="tab:blue", zorder=3)
    for dot in dots:
        axes.annotate(dot.name, (dot.x, dot.y), textcoords="offset points", xytext=(6, 4), fontsize=9)
    axes.set_xlabel(words)
    axes.set_ylabel(quality)
    axes.margins(0.15)
    axes.legend()


def _draw_radar(axes: Any, skills: Mapping[str, Mapping[str, float]]) -> None:
    names = list(dict.fromkeys(name for each in skills.values() for name in each))
    angles = [2 * math.pi * index / len(names) for index in range(len(names))]
    for run, values in skills.items():
        spokes = [values.get(name, 0.0) for name in names]
        axes.plot([*angles, angles[0]], [*spokes, spokes[0]], label=run)
        axes.fill(angles, spokes, alpha=0.08)
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, names, fontsize=8)
    axes.set_ylim(1, _MOST)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.1, -0.12))
