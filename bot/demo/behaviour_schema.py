"""What the values of a behaviour file must be, and the one line that is said when one is not.

A `Want` checks a value and names what was expected; `read_table` checks a whole table of them.
It knows nothing about behaviours; their tables of keys stand in `rules` and `behaviour`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bot.errors import ConfigError
from bot.text.nearest import expected_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADER_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Want(NamedTuple):
    """A kind of value: how it is called in an error message, and what passes for it."""

    said: str
    holds: Callable[[Any], bool]


def is_number(value: object) -> bool:
    """Tell whether this is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object, least: int) -> bool:
    """Tell whether this is a whole number of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def one_of(*words: str) -> Want:
    """Want one of these words."""
    return Want("one of " + ", ".join(f'"{word}"' for word in words), lambda value: value in words)


SECONDS: Final = Want("a number of seconds, 0 or more", lambda value: is_number(value) and value >= 0)
RATE: Final = Want("a number above 0", lambda value: is_number(value) and value > 0)
FRACTION: Final = Want("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
COUNT: Final = Want("a whole number, 0 or more", lambda value: is_whole(value, 0))
AT_LEAST_ONE: Final = Want("a whole number, 1 or more", lambda value: is_whole(value, 1))
WHOLE: Final = Want("a whole number", lambda value: is_whole(value, -(2**63)))
STATUS: Final = Want("an HTTP status from 200 to 599", lambda value: is_whole(value, 200) and value < 600)  # noqa: PLR2004 - HTTP's own bounds
FLAG: Final = Want("true or false", lambda value: isinstance(value, bool))
TEXT: Final = Want("a text", lambda value: isinstance(value, str))
TEXTS: Final = Want(
    "a list of texts, at least one",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value),
)
TABLE: Final = Want("a table", lambda value: isinstance(value, dict))
TABLES: Final = Want(
    "a list of tables",
    lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
)
HEADERS: Final = Want(
    "a table of header names and texts or numbers",
    lambda value: (
        isinstance(value, dict)
        and all(name and _HEADER_NAME.issuperset(name) for name in value)
        and all(_is_header_value(text) for text in value.values())
    ),
)


def _is_header_value(value: object) -> bool:
    return is_number(value) or (isinstance(value, str) and value.isascii() and value.isprintable())


def read_table(
    table: Mapping[str, Any], wants: Mapping[str, Want], where: str, source: str
) -> dict[str, Any]:
    """Return the table's values, checked.

    `where` is the place in the file ("" for its top, else like `models."a".`), `source` the file's
    name. Raises ConfigError for a key that is not wanted or a value that is not what it must be.
    """
    for key, value in table.items():
        if key not in wants:
            raise ConfigError(f"{source}: {where}{key}: unknown key; {expected_names(key, sorted(wants))}")
        if not wants[key].holds(value):
            raise ConfigError(f"{source}: {where}{key}: expected {wants[key].said}, not {_short(value)}")
    return dict(table)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - as much as fits in a line
