"""The one sentence that a comparison begins with."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log10

from bot.eval.arms import Arm
from bot.eval.comparison_figures import POINTS, ArmFigures, Difference
from bot.text.names import short_name
from bot.text.numbers import plural
from bot.text.sanitise import one_line

_SMALLEST_P = 0.001


def sentence(
    first: str, arms: Mapping[str, ArmFigures], difference: Difference | None, all_arms: Mapping[str, Arm]
) -> str:
    """Return whether an arm is better than the best lone member, by how much, and at which price.

    It beats it or loses to it where the difference is significant; otherwise no difference is shown,
    and how many more questions would show one of 5 points.
    """
    mine = arms[first]
    if difference is None:
        ends = _ends(mine.low, mine.high)
        scored = f"{one_line(first)} scores {mine.score:.1f} %{f' ({ends})' if ends else ''}"
        return f"{scored} of {plural(mine.n, 'question')}; there is no other arm to compare it with"
    other = arms[difference.against]
    rival = _rival(all_arms[first], all_arms[difference.against], arms)
    price = _price(mine, other)
    if difference.shown:
        sign = 1 if difference.points > 0 else -1
        ends = _ends(
            *sorted((sign * (difference.low or 0), sign * (difference.high or 0))),
        )
        verb = "beats" if sign > 0 else "loses to"
        figures = f"{sign * difference.points:.1f} points ({ends}, {p_text(difference.p)})"
        return f"{one_line(first)} {verb} {rival} by {figures}{price}"
    ends = _ends(difference.low, difference.high)
    figures = ", ".join(filter(None, (ends, p_text(difference.p))))
    shown = f"no difference shown between {one_line(first)} and {rival}"
    return f"{shown}: {difference.points:+.1f} points ({figures}){price}; {_more(difference, mine.n)}"


def p_text(p: float) -> str:
    """Write a p value: "p = .02", "p = .049", "p < .001"."""
    if p < _SMALLEST_P:
        return "p < .001"
    # What is below .05 must not be written as .05, nor a small one with one digit only.
    digits = 3 if p < 0.01 or 0.045 <= p < 0.055 else 2  # noqa: PLR2004 - where two digits say too little
    text = f"{p:.{digits}f}"
    return "p = 1" if text.startswith("1") else f"p = {text.removeprefix('0')}"


def times(ratio: float) -> str:
    """Write how many times as much: "4.1 ×", "11 ×", "0.08 ×"."""
    digits = 0 if ratio >= 10 else 1 if ratio >= 1 else 2  # noqa: PLR2004 - two significant digits
    return f"{ratio:,.{digits}f} ×"


def _rival(mine: Arm, other: Arm, arms: Mapping[str, ArmFigures]) -> str:
    """Return how the arm that another is compared with is called: "its best member (X)", say."""
    name = one_line(other.name)
    if other.kind != "alone" or mine.kind != "mixture":
        rivals = len(arms) - 1
        return name if rivals == 1 else f"the best of the other {rivals} ({name})"
    lone = sum(arm.kind == "alone" for arm in arms.values())
    model = short_name(other.model) if other.model else name.removeprefix("alone:")
    if lone == 1:
        return f"the only lone model ({model})"
    if mine.members and other.model not in {*mine.members, mine.model}:
        return f"the best lone model ({model})"
    return f"its best member ({model})"


def _price(mine: ArmFigures, other: ArmFigures) -> str:
    """Return the ratios of cost (of tokens, where the cost is unknown or zero) and time; "" if unknown."""
    parts = []
    for mine_total, other_total, words in (
        (mine.dollars, other.dollars, "cost"),
        (mine.tokens, other.tokens, "tokens"),
    ):
        if mine_total and other_total:
            parts.append(f"{times(mine_total / mine.answers / (other_total / other.answers))} the {words}")
            break
    if mine.seconds and other.seconds:
        parts.append(f"{times(mine.seconds / other.seconds)} the time")
    return f" at {' and '.join(parts)}" if parts else ""


def _more(difference: Difference, n: int) -> str:
    if difference.more_questions is None:
        return f"{plural(n, 'question')} cannot show any"
    if not difference.more_questions:
        return f"the {plural(n, 'question')} would show {POINTS:.0f} points"
    count = _rounded_up(difference.more_questions)
    return f"{plural(count, 'more question')} would be needed to see {POINTS:.0f} points"


def _rounded_up(count: int) -> int:
    """Round up to two significant digits: it is an estimate."""
    unit: int = 10 ** max(0, int(log10(count)) - 1)
    return ceil(count / unit) * unit


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.1f} to {high:.1f}"
