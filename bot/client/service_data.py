"""JSON and numbers that a service sends, read within bounds.

A service may write a number of any length where a count or a time is expected. What is out of bounds
counts as not said: such a number would overflow a float, the store or a line of the log further on.
"""

from __future__ import annotations

import json
from math import inf, isfinite

LONGEST_NUMBER = 24
"""Characters; no count, price or time needs more."""
MAX_TOKENS = 1_000_000_000
"""No context, prompt or answer has more."""
MAX_SECONDS = 365 * 24 * 3600.0
"""No service means a wait longer than a year."""


def read_json(text: str) -> object:
    """Return the value of a JSON text, with or without a byte order mark. Raises ValueError."""
    try:
        return _DECODER.decode(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def whole_number(value: object, most: int) -> int | None:
    """Return a number or a text of digits as an int from 0 to `most`, None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if len(text) <= LONGEST_NUMBER and text.isascii() and text.isdigit() else None
    if isinstance(value, float):
        value = int(value) if isfinite(value) and value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= most else None


def decimal_number(value: object) -> float | None:
    """Return a number or its text as a finite float of either sign, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > LONGEST_NUMBER or "_" in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _parse_int(digits: str) -> int | float:
    # int() refuses more than 4,300 digits, and with it would fail the whole text.
    return int(digits) if len(digits) <= LONGEST_NUMBER else inf


_DECODER = json.JSONDecoder(parse_int=_parse_int)
