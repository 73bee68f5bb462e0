"""Pictures of figures: quality against cost, and FLASK's skills as a radar.

In the terminal by plotext, as PNG and SVG by matplotlib; both come with the extra `eval` and are
imported here, when a picture is wanted.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from bot.errors import needs_extra
from bot.eval.judging import Summary
from bot.eval.report import LAYOUTS, by_benchmark, compared_by, figures_of

AGAINST = {"cost": "US dollars a query", "tflops": "teraflops a query"}
_LOWEST, _HIGHEST = 1, 5  # FLASK's scores
_FEWEST_SPOKES = 3

Skills = Mapping[str, Mapping[str, float]]
"""FLASK's figures by run and skill."""


@dataclass(frozen=True, slots=True)
class Point:
    """A run in the plane of quality (`y`) against cost (`x`); `best` when no other is as good for less."""

    name: str
    x: float
    y: float
    best: bool


def pareto_points(runs: Sequence[Summary], against: str) -> list[Point]:
    """Return the runs of one benchmark as points; `best` ones are the Pareto front.

    `against` is "cost" or "tflops"; runs of which it is unknown are left out.
    """
    _, main = compared_by(LAYOUTS[runs[0]["benchmark"]], runs)
    pairs = [(run.get(f"{against}_per_query"), figures_of(run).get(main), run["name"]) for run in runs]
    known = [(float(x), float(y), name) for x, y, name in pairs if x is not None and y is not None]
    return [
        Point(name, x, y, not any((a <= x and b > y) or (a < x and b >= y) for a, b, _ in known))
        for x, y, name in sorted(known, key=lambda each: each[0])
    ]


def terminal_charts(summaries: Sequence[Summary], width: int = 80) -> str:
    """Return all charts as text, drawn by plotext. UsageError when it is not installed."""
    parts = [
        _terminal_points(points, f"{title}: {quality} against {AGAINST[against]}", width)
        for _, against, title, quality, points in _planes(summaries)
        if len(points) > 1
    ]
    if skills := _skills(summaries):
        parts.append(_terminal_radar(skills, min(width, 78)))
    return "\n\n".join(parts)


def _planes(summaries: Sequence[Summary]) -> Iterator[tuple[str, str, str, str, list[Point]]]:
    """Yield benchmark, "cost" or "tflops", the benchmark's title, its figure's heading, and the points."""
    for name, layout, runs in by_benchmark(summaries):
        for against in AGAINST:
            if points := pareto_points(runs, against):
                yield name, against, layout.title, compared_by(layout, runs)[0], points


def _skills(runs: Sequence[Summary]) -> Skills:
    """Return the runs of FLASK that have enough skills for a radar chart."""
    found = {
        run["name"]: {name: each["score"] for name, each in (figures_of(run).get("skill") or {}).items()}
        for run in runs
        if run["benchmark"] == "flask"
    }
    return {name: skills for name, skills in found.items() if len(skills) >= _FEWEST_SPOKES}


def _skill_names(skills: Skills) -> list[str]:
    return list(dict.fromkeys(name for each in skills.values() for name in each))


def _canvas(title: str, width: int, height: int) -> Any:
    """Return an empty drawing without colours."""
    with needs_extra("eval"):
        from plotext import figure  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.title(title)
    return figure


def _text(figure: Any) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", str(figure.build())).rstrip()


def _terminal_points(points: Sequence[Point], title: str, width: int) -> str:
    figure = _canvas(title, width, 18)
    best = [point for point in points if point.best]
    front = figure.signal([point.x for point in best], [point.y for point in best], marker="·")
    front.lines()
    figure.draw(front)
    figure.draw(figure.signal([point.x for point in points], [point.y for point in points], marker="x"))
    middle = (points[0].x + points[-1].x) / 2
    for point in points:
        # What does not fit before the edge would not be drawn at all.
        side = "left" if point.x <= middle else "right"
        figure.draw(figure.text(point.x, point.y, point.name, alignment=side))
    return _text(figure)


def _terminal_radar(skills: Skills, width: int) -> str:
    figure = _canvas("FLASK: skills from 1 (in the middle) to 5", width, 34)
    names = _skill_names(skills)

    def spoke(index: int, value: float) -> tuple[float, float]:
        angle = math.pi / 2 - 2 * math.pi * index / len(names)
        return (value - _LOWEST) * math.cos(angle), (value - _LOWEST) * math.sin(angle)

    for marker, (run, values) in zip(cycle("*o+x#"), skills.items(), strict=False):
        ends = [spoke(index, values.get(name, _LOWEST)) for index, name in enumerate(names)]
        x, y = zip(*ends, ends[0], strict=True)
        around = figure.signal(list(x), list(y), marker=marker)
        around.lines()
        around.label(run)
        figure.draw(around)
    for index, name in enumerate(names):
        figure.draw(figure.text(*spoke(index, _HIGHEST), name))
    return _text(figure)


def pictures(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return the charts as matplotlib figures by name. UsageError when it is not installed."""
    with needs_extra("eval"):
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    drawn: dict[str, Any] = {}
    for benchmark, against, title, quality, points in _planes(summaries):
        drawn[f"{benchmark}-{against}"] = figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        _draw_points(figure.add_subplot(), points, f"{title}, {quality}", AGAINST[against])
    if skills := _skills(summaries):
        drawn["flask-skills"] = figure = Figure(figsize=(7.5, 7.5), layout="constrained")
        _draw_radar(figure.add_subplot(projection="polar"), skills)
    return drawn


def save_pictures(figures: Mapping[str, Any], folder: Path) -> None:
    """Write every figure as PNG and SVG into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        for form in ("png", "svg"):
            figure.savefig(folder / f"{name}.{form}", dpi=150)


def svg(figure: Any) -> str:
    """Return a figure as an SVG element, to stand in a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg")
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _draw_points(axes: Any, points: Sequence[Point], quality: str, words: str) -> None:
    best = [point for point in points if point.best]
    axes.plot(
        [point.x for point in best], [point.y for point in best], "--", color="tab:red", label="Pareto front"
    )
    axes.scatter([point.x for point in points], [point.y for point in points], color="tab:blue", zorder=3)
    for point in points:
        axes.annotate(point.name, (point.x, point.y), textcoords="offset points", xytext=(6, 4), fontsize=9)
    axes.set_xlabel(words)
    axes.set_ylabel(quality)
    axes.margins(0.15)
    axes.legend()


def _draw_radar(axes: Any, skills: Skills) -> None:
    names = _skill_names(skills)
    angles = [2 * math.pi * index / len(names) for index in range(len(names))]
    for run, values in skills.items():
        spokes = [values.get(name, 0.0) for name in names]
        axes.plot([*angles, angles[0]], [*spokes, spokes[0]], label=run)
        axes.fill(angles, spokes, alpha=0.08)
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, names, fontsize=8)
    axes.set_ylim(_LOWEST, _HIGHEST)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.1, -0.12))
