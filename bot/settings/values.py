"""One value of one option: read from text or TOML, and checked against the table of options.

Every source ends in `check_value`, so that an option accepts the same values wherever they come from.
A wrong value raises `InvalidValueError`, whose text is "expected …, found …"; the caller adds the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from bot.settings.model_names import parse_model, parse_models
from bot.settings.option import Kind, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SHOWN = 40
_HUGE = 10**20


class InvalidValueError(ValueError):
    """A value that an option does not take."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")


def describe(value: object) -> str:
    """Describe a value for an error message, on one short line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < _HUGE else "a huge number"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    named = {float: repr(value), dict: "a table"}
    return named.get(type(value), "a date or time")


def quote(text: str) -> str:
    """Return text in quotation marks, escaped to one printable line and cut if it is long."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    escaped = shown.replace("\\", "\\\\") if shown.isprintable() else shown.encode("unicode_escape").decode()
    return '"' + escaped.replace('"', '\\"') + '"'


def check_value(option: Option, value: object, folder: Path | None = None) -> object:
    """Return `value` in the form that `Settings` has.

    Lists become tuples, models are expanded ("a*2" to two), paths are completed by `folder` when
    they are relative. InvalidValueError otherwise.
    """
    match option.kind:
        case Kind.INT:
            if isinstance(value, int) and not isinstance(value, bool) and _in_range(option, value):
                return value
        case Kind.FLOAT:
            if isinstance(value, int | float) and not isinstance(value, bool) and _in_range(option, value):
                return float(value)
        case Kind.BOOL:
            if isinstance(value, bool) or value in option.choices:
                return value
        case Kind.MODEL | Kind.MODELS | Kind.NAMES:
            return _names(option, value) if option.kind is Kind.NAMES else _models(option, value)
        case Kind.PATH | Kind.PATHS | Kind.SCHEMA:
            return _schema(option, value) if option.kind is Kind.SCHEMA else _paths(option, value, folder)
        case _:
            known = not option.choices or value in option.choices
            if (
                isinstance(value, str)
                and (option.may_be_empty or value.strip())
                and _is_unicode(value)
                and known
            ):
                return value
    raise InvalidValueError(option.expected, describe(value))


def parse_text(option: Option, text: str, separator: str) -> object:
    """Read a text, such as an environment variable's; `separator` is between paths."""
    match option.kind:
        case Kind.INT | Kind.FLOAT:
            number: type[int | float] = int if option.kind is Kind.INT else float
            try:
                return check_value(option, number(text.strip()))
            except ValueError:
                raise InvalidValueError(option.expected, quote(text)) from None
        case Kind.BOOL:
            return _parse_switch(option, text)
        case Kind.PATHS:
            return check_value(option, [part for part in text.split(separator) if part])
        case _:
            return check_value(option, text)


def _parse_switch(option: Option, text: str) -> bool | str:
    word = text.strip().lower()
    if word in option.choices:
        return word
    if word not in _TRUE | _FALSE:
        others = f", or {', '.join(option.choices)}" if option.choices else ""
        raise InvalidValueError(f"1 or 0 (or true/false, yes/no, on/off){others}", quote(text))
    return word in _TRUE


def _is_unicode(text: str) -> bool:
    # Bytes that are not UTF-8 come from the command line as lone surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_range(option: Option, value: float) -> bool:
    if isinstance(value, float) and not isfinite(value):
        return False
    if option.above is not None and value <= option.above:
        return False
    return (option.minimum is None or value >= option.minimum) and (
        option.maximum is None or value <= option.maximum
    )


def _models(option: Option, value: object) -> object:
    try:
        if option.kind is Kind.MODEL and isinstance(value, str):
            return parse_model(value)
        if option.kind is Kind.MODELS and isinstance(value, str):
            return parse_models(value)
        if option.kind is Kind.MODELS and isinstance(value, list | tuple):
            return parse_models(_texts(option, value))
    except InvalidValueError:
        raise
    except ValueError as problem:
        raise InvalidValueError(option.expected, str(problem)) from None
    raise InvalidValueError(option.expected, describe(value))


def _names(option: Option, value: object) -> tuple[str, ...]:
    """Return the names in a list, or in a text with commas; without any only where it may be empty."""
    if not isinstance(value, str | list | tuple):
        raise InvalidValueError(option.expected, describe(value))
    items = [value] if isinstance(value, str) else _texts(option, value)
    names = tuple(name for item in items for part in item.split(",") if (name := part.strip()))
    readable = all(_is_unicode(name) and name.isprintable() for name in names)
    if not (readable and (names or option.may_be_empty)):
        raise InvalidValueError(option.expected, describe(value))
    return names


def _texts(option: Option, items: Sequence[object]) -> list[str]:
    for item in items:
        if not isinstance(item, str):
            raise InvalidValueError(option.expected, f"{describe(item)} in it")
    return [str(item) for item in items]


def _paths(option: Option, value: object, folder: Path | None) -> object:
    several = option.kind is Kind.PATHS
    items = value if several and isinstance(value, list | tuple) else [value]
    for item in items:
        if not isinstance(item, str | Path) or not str(item).strip() or "\0" in str(item):
            found = describe(item)
            raise InvalidValueError(option.expected, found if item is value else f"{found} in it")
    paths = tuple(_complete(str(item), folder) for item in items)
    return paths if several else paths[0]


def _schema(option: Option, value: object) -> str:
    if not isinstance(value, str | Mapping):
        raise InvalidValueError(option.expected, describe(value))
    from bot.settings.reply_schema import read_schema  # noqa: PLC0415 - for --schema only

    try:
        return read_schema(value)
    except ValueError as problem:
        raise InvalidValueError(option.expected, f"{describe(value)}: {problem}") from None


def _complete(text: str, folder: Path | None) -> Path:
    path = Path(text)
    # "~name" of a user that does not exist stays; reading the file then fails.
    with suppress(RuntimeError):
        path = path.expanduser()
    return path if folder is None else folder / path
