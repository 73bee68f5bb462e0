"""A comparison as one HTML page that needs no other file, with its plots as SVG by matplotlib (an extra).

Names and notes may hold words of a model or of a data set: all text is sanitised, and escaped by Jinja2
and by matplotlib.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bot.errors import needs_extra
from bot.eval.charts import svg
from bot.eval.comparison_figures import ArmFigures, Comparison, Score
from bot.eval.comparison_text import facts, sections
from bot.text.sanitise import one_line
from bot.text.wrap import cut_cells

_NAME = 40  # cells of an arm's name in a picture


def comparison_page(comparison: Comparison) -> str:
    """Return the page: the sentence, the tables of the terminal, plots, notes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - for --html only
    from markupsafe import Markup  # noqa: PLC0415 - for --html only

    environment = Environment(loader=PackageLoader("bot.eval"), autoescape=True, undefined=StrictUndefined)
    environment.filters["transposed"] = lambda columns: zip(*columns, strict=True)
    return environment.get_template("comparison.html").render(
        sentence=comparison.sentence,
        facts=facts(comparison),
        sections=sections(comparison),
        pictures={name: Markup(text) for name, text in pictures(comparison).items()},  # noqa: S704 - our own SVG
        notes=[one_line(note) for note in comparison.notes],
    )


def pictures(comparison: Comparison) -> dict[str, str]:
    """Return the plots as SVG elements by name: score-cost, score-seconds and groups, where they are known.

    Raises UsageError where matplotlib is not installed.
    """
    arms = comparison.arms
    dollars = {name: arm.dollars / arm.answers for name, arm in arms.items() if arm.dollars is not None}
    seconds = {name: arm.seconds for name, arm in arms.items() if arm.seconds is not None}
    drawn = {}
    with _drawing():
        if any(dollars.values()):
            drawn["score-cost"] = svg(_against(comparison, dollars, "US dollars a question"))
        if seconds:
            drawn["score-seconds"] = svg(_against(comparison, seconds, "median seconds an answer, measured"))
        if comparison.groups:
            drawn["groups"] = svg(_by_group(comparison))
    return drawn


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw names as they are: dollar signs begin no formula, text stays text, fonts give no warnings."""
    with needs_extra("eval"):
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    with mpl.rc_context({"text.parse_math": False, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def _figure(comparison: Comparison, title: str, height: float) -> tuple[Any, Any]:
    """Return an empty figure and its axes, with what must stand in every picture."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(9.0, height), layout="constrained")
    axes = figure.add_subplot()
    figure.suptitle(title)
    axes.set_title(cut_cells(facts(comparison), 110), fontsize=9)
    return figure, axes


def _against(comparison: Comparison, values: Mapping[str, float], words: str) -> Any:
    """Return a plot of scores with their intervals against what an answer takes."""
    figure, axes = _figure(comparison, f"Score against {words}", 5.2)
    for name, x in values.items():
        arm = comparison.arms[name]
        colour = "tab:red" if arm.kind == "mixture" else "tab:blue"
        axes.errorbar(x, arm.score, _error_bar(arm), fmt="o", color=colour, capsize=3)
        axes.annotate(_name(name), (x, arm.score), textcoords="offset points", xytext=(7, 5), fontsize=9)
    axes.set_xlabel(f"{words} (red: mixtures, blue: lone models)")
    axes.set_ylabel("score, % (95 % interval)")
    axes.margins(0.15)
    axes.set_xlim(left=0)
    return figure


def _by_group(comparison: Comparison) -> Any:
    """Return a plot of each group's scores with their intervals, the arms below one another."""
    groups, names = comparison.groups, list(comparison.arms)
    rows = len(groups) * (len(names) + 1)
    figure, axes = _figure(comparison, "Score by group", 2.0 + 0.22 * rows)
    ticks, labels = [], []
    for number, (group, scores) in enumerate(groups.items()):
        start = number * (len(names) + 1)
        ticks.append(start + (len(names) - 1) / 2)
        labels.append(f"{_name(group)} (n = {scores[names[0]].n:,})")
        for place, name in enumerate(names):
            axes.errorbar(
                scores[name].score,
                start + place,
                xerr=_error_bar(scores[name]),
                fmt="o",
                color=f"C{place % 10}",
                capsize=2,
                # A label that begins with an underscore is left out of the legend.
                label=f" {_name(name)}" if number == 0 else None,
            )
    axes.set_yticks(ticks, labels)
    axes.invert_yaxis()
    axes.set_xlabel("score, % (95 % interval)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.1), fontsize=8, ncols=2)
    return figure


def _error_bar(score: ArmFigures | Score) -> list[list[float]] | None:
    """Return how far the interval reaches below and above the score, as matplotlib wants it."""
    if score.low is None or score.high is None:
        return None
    return [[score.score - score.low], [score.high - score.score]]


def _name(name: str) -> str:
    return cut_cells(one_line(name), _NAME)
