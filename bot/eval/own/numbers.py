"""Whether two texts name the same number: with units by our own table, expressions by math-verify."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from bot.text.quantities import Quantity
from bot.text.short_answers import normalised

DEFAULT_TOLERANCE = 1e-6
_SECONDS = 3
"""How long an expression may take to be read, where it can be stopped."""
_LONGEST = 2_000
"""Characters at the end of a reply in which its number is looked for."""
_HUGE = re.compile(r"\^\s*\{?\s*-?\d{4,}|\*\*\s*-?\d{4,}|(?:\^|\*\*)[^\s]*(?:\^|\*\*)|\d{4,}\s*!|!\s*!")
"""Towers of powers and factorials, which would take for ever to be worked out."""


def same_number(reply: str, target: str, tolerance: float, endings: Sequence[str]) -> bool:
    """Return whether a reply's number is the target's, within `tolerance` of it (a share, 0.01 for 1 %).

    `endings` are the texts at the reply's end that may be its number. Without a unit on one side only the
    numbers are compared.
    """
    wanted = normalised(target)
    if isinstance(wanted, Quantity):
        found = [each for text in (reply, *endings) if isinstance(each := normalised(text), Quantity)]
        if any(_agree(each, wanted, tolerance) for each in found):
            return True
        if wanted.unit and any(each.unit for each in found):
            return False
    return _same_expression(reply[-_LONGEST:], target, tolerance)


def _agree(found: Quantity, wanted: Quantity, tolerance: float) -> bool:
    if found.unit and wanted.unit:
        return found.unit == wanted.unit and _close(found.value, wanted.value, tolerance)
    return _close(found.written, wanted.written, tolerance)


def _close(found: Fraction | float, wanted: Fraction | float, tolerance: float) -> bool:
    return abs(float(found) - float(wanted)) <= tolerance * abs(float(wanted))


def _same_expression(reply: str, target: str, tolerance: float) -> bool:
    if _HUGE.search(reply) or _HUGE.search(target):
        return False
    gold, found = _parsed(target), _parsed(reply)
    if not gold or not found:
        return False
    from math_verify import verify  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

    if verify(gold, found, timeout_seconds=_timeout()):  # type: ignore[arg-type,unused-ignore]  # None is no limit
        return True
    wanted, number = _as_float(gold[0]), _as_float(found[0])
    return wanted is not None and number is not None and _close(number, wanted, tolerance)


def _parsed(text: str) -> list[Any]:
    from math_verify import parse  # noqa: PLC0415 - an extra; takes half a second

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    marked = re.search(r"\$|\\\(|\\\[|\\boxed", text)
    formula = text if marked or not re.search(r"\\|\^\{", text) else f"${text}$"
    found: list[Any] = parse(formula, parsing_timeout=_timeout())
    return found


def _timeout() -> int | None:
    """Return after how many seconds math-verify gives up: by a signal, for the main thread alone."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else None


def _as_float(value: Any) -> float | None:
    try:
        return float(value.evalf())
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return None
