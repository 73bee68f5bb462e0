"""Checks the values of a behaviour file; an error names the key and what was expected.

The keys of the tables are in `fault_rules` and `behaviour`. By hand, because the child process checks
its behaviour before it listens, and importing pydantic takes longer than all of its start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bot.errors import ConfigError
from bot.text.nearest import expected_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADER_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class ValueType(NamedTuple):
    """A type of value: its description in error messages, and its check."""

    description: str
    is_valid: Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Return whether this is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: object, minimum: int) -> bool:
    """Return whether this is an integer of at least `minimum`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def one_of(*words: str) -> ValueType:
    """Return the type of a value that is one of these words."""
    return ValueType("one of " + ", ".join(f'"{word}"' for word in words), lambda value: value in words)


SECONDS: Final = ValueType("a number of seconds, 0 or more", lambda value: is_number(value) and value >= 0)
RATE: Final = ValueType("a number above 0", lambda value: is_number(value) and value > 0)
FRACTION: Final = ValueType("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
COUNT: Final = ValueType("a whole number, 0 or more", lambda value: is_integer(value, 0))
AT_LEAST_ONE: Final = ValueType("a whole number, 1 or more", lambda value: is_integer(value, 1))
INTEGER: Final = ValueType("a whole number", lambda value: is_integer(value, -(2**63)))
STATUS: Final = ValueType(
    "an HTTP status from 200 to 599", lambda value: is_integer(value, 200) and is_integer(599 - value, 0)
)
FLAG: Final = ValueType("true or false", lambda value: isinstance(value, bool))
STRING: Final = ValueType("a string", lambda value: isinstance(value, str))
STRINGS: Final = ValueType(
    "a list of strings, at least one",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value),
)
TABLE: Final = ValueType("a table", lambda value: isinstance(value, dict))
TABLES: Final = ValueType(
    "a list of tables",
    lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
)
HEADERS: Final = ValueType(
    "a table of header names and strings or numbers",
    lambda value: (
        isinstance(value, dict)
        and all(name and _HEADER_NAME.issuperset(name) for name in value)
        and all(_is_header_value(text) for text in value.values())
    ),
)


def _is_header_value(value: object) -> bool:
    return is_number(value) or (isinstance(value, str) and value.isascii() and value.isprintable())


def check_table(
    table: Mapping[str, Any], types: Mapping[str, ValueType], where: str, source: str
) -> dict[str, Any]:
    """Return the table's values, checked.

    `where` is the place in the file ("" at the top, else like `models."a".`), `source` the file's
    name. Raises ConfigError for an unknown key or a wrong value.
    """
    for key, value in table.items():
        if key not in types:
            raise ConfigError(f"{source}: {where}{key}: unknown key; {expected_names(key, sorted(types))}")
        if not types[key].is_valid(value):
            raise ConfigError(
                f"{source}: {where}{key}: expected {types[key].description}, not {_short(value)}"
            )
    return dict(table)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - as much as fits in a line
