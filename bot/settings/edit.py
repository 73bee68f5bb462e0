"""Changes config.toml; the user's comments, order and blank lines stay.

    changes ─► new text ─► read as the program would read it ─► replaces the old file

An existing value is replaced, a new one is added after the last of its table, a new table at the end
of the file. A text that the program could not read is not written, unless the old one could not be
read either. What the values mean is the readers' matter.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tomlkit

from bot.errors import ConfigError, UsageError
from bot.settings.files import error_reason, replace_file, temporary_beside, toml_key
from bot.settings.paths import HOME_VARIABLE
from bot.settings.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = tuple[str, ...]
"""A dotted key in parts: ("presets", "mine", "rounds")."""

_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)


class _Table(NamedTuple):
    """A [table] of the text: its key (() for the lines above the first), and the bounds of its body."""

    key: Key
    start: int
    end: int


def change_config(file: Path, changes: Mapping[Key, object]) -> str:
    """Change values of config.toml; None as a value removes the key. The file need not exist.

    A value may be a mapping of further values. Returns the mistake that the file had before and still
    has, "" when there is none. ConfigError when a change would make a mistake, UsageError when the file
    cannot be written.
    """
    before = read_config(file)
    text = before
    for key, value in changes.items():
        text = _changed(text, key, value)
    if text == before and file.exists():
        return ""
    problem = problem_with(file, text)
    if problem is not None and problem_with(file, before) is None:
        raise problem
    replace_file(file, text)
    return problem.message if problem else ""


def read_config(file: Path) -> str:
    """Return the file's text, "" when there is none. ConfigError when it is not TOML."""
    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as problem:
        raise ConfigError(f"{file}: cannot be read: {error_reason(problem)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: expected UTF-8 text") from None
    except ValueError as problem:
        raise ConfigError(
            f"{file}: not valid TOML: {error_reason(problem)}", hint="moa-bot config edit"
        ) from None
    return text


def problem_with(file: Path, text: str) -> UsageError | None:
    """Return the error of reading config.toml with this text, None when there is none."""
    # In the same folder, because the settings refer to files beside config.toml.
    with temporary_beside(file) as trial:
        try:
            trial.write_text(text, encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"{file}: cannot be written: {error_reason(problem)}") from None
        try:
            resolve({}, None, {HOME_VARIABLE: str(file.parent)}, trial)
        except UsageError as problem:
            return ConfigError(problem.message.replace(str(trial), str(file)), problem.hint)
    return None


def is_set(file: Path, key: Key) -> bool:
    """Whether the file has this key."""
    return _holds(tomllib.loads(read_config(file)), key)


def _changed(text: str, key: Key, value: object) -> str:
    there = _holds(tomllib.loads(text), key)
    if not there:
        return text if value is None else _added(text, key, value)
    document: Any = tomlkit.parse(text)
    if value is None:
        _remove(document, key)
        return tomlkit.dumps(document).lstrip("\n")
    table = document
    for part in key[:-1]:
        table = table[part]
    table[key[-1]] = value
    return tomlkit.dumps(document)


def _holds(table: object, key: Key) -> bool:
    for part in key:
        if not (isinstance(table, dict) and part in table):
            return False
        table = table[part]
    return True


def _remove(table: Any, key: Key) -> None:
    """Remove a key, and the tables around it that are empty then."""
    first, *rest = key
    if rest:
        _remove(table[first], tuple(rest))
        if len(table[first]):
            return
    del table[first]


def _added(text: str, key: Key, value: object) -> str:
    """Add a value whose key is not there yet."""
    *outer, name = key
    if isinstance(value, dict):
        lines = "".join(_line(inner, item) for inner, item in value.items())
        made = _appended(text, key, lines)
    else:
        line = _line(name, value)
        table = next((table for table in _tables(text) if table.key == tuple(outer)), None)
        made = _appended(text, tuple(outer), line) if table is None else _inserted(text, table, line)
    try:
        tomllib.loads(made)
    except tomllib.TOMLDecodeError:
        # The table around it is written inline, such as `presets = {mine = {…}}`.
        document: Any = tomlkit.parse(text)
        inner = document
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[name] = value
        return tomlkit.dumps(document)
    return made


def _line(name: str, value: object) -> str:
    return f"{toml_key(name)} = {tomlkit.item(value).as_string()}\n"


def _appended(text: str, key: Key, lines: str) -> str:
    head = text.rstrip("\n")
    return (f"{head}\n\n" if head else "") + f"[{'.'.join(map(toml_key, key))}]\n{lines}"


def _inserted(text: str, table: _Table, line: str) -> str:
    """Insert a line after the table's last value: comments below that belong to what follows."""
    at = table.start
    for found in re.finditer(r"[^\n]*\n?", text[table.start : table.end]):
        if found[0].strip() and not found[0].lstrip().startswith("#"):
            at = table.start + found.end()
    head, tail = text[:at], text[at:]
    if head and not head.endswith("\n"):
        head += "\n"
    if not head and tail:
        # At the top of the file, but below a first comment that is followed by a blank line.
        comment = re.match(r"(?:#[^\n]*\n)+\n+", tail)
        if comment:
            head, tail = comment[0], tail[comment.end() :]
        return f"{head}{line}\n{tail.lstrip(chr(10))}"
    return head + line + tail


def _tables(text: str) -> Iterator[_Table]:
    """Yield the lines above the first table, and then each [table]."""
    marks: list[tuple[Key, int, int]] = [((), 0, 0)]
    for found in _HEADER.finditer(text):
        end = text.find("\n", found.start()) + 1 or len(text)
        try:
            tomllib.loads(text[: found.start()])
            key = _header_key(tomllib.loads(text[found.start() : end]))
        except tomllib.TOMLDecodeError:
            continue  # inside a list or a string of several lines
        marks.append((key, found.start(), end))
    for index, (key, _, end) in enumerate(marks):
        yield _Table(key, end, marks[index + 1][1] if index + 1 < len(marks) else len(text))


def _header_key(tables: object) -> Key:
    """Return the key of a header that was parsed by itself; [[a.b]] ends in "[]", which is no table."""
    key: list[str] = []
    while isinstance(tables, dict) and tables:
        [(name, tables)] = tables.items()
        key.append(name)
    return (*key, "[]") if isinstance(tables, list) else tuple(key)
