"""Changes config.toml, and leaves the user's comments, order and blank lines as they are.

    changes ─► new text ─► checked as the program would read it ─► in the place of the old file

A value that is there is exchanged, one that is not is put behind the last of its table, a table
that is not at the end of the file. Nothing is written that would stop the program from reading its
settings, unless it was stopped before. What the values mean is known by the readers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import ConfigError, UsageError
from bot.settings.files import bare, reason, replace_file, temporary_beside
from bot.settings.paths import HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = tuple[str, ...]
"""A dotted key in parts: ("presets", "mine", "rounds")."""

_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)


class _Table(NamedTuple):
    """A [table] of the text: its key (() for what stands above all of them), and from where to where."""

    key: Key
    start: int
    end: int


def change_config(file: Path, changes: Mapping[Key, object]) -> str:
    """Change values of config.toml; None as a value takes the key out. The file need not exist.

    A value may be a mapping of further values. Returns what was wrong with the file before and
    still is, "" when all is well. ConfigError when a change would make a mistake, UsageError when
    the file cannot be written.
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
    import tomllib

    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as problem:
        raise ConfigError(f"{file}: cannot be read: {reason(problem)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: expected UTF-8 text") from None
    except ValueError as problem:
        raise ConfigError(f"{file}: not valid TOML: {reason(problem)}", hint="moa-bot config edit") from None
    return text


def problem_with(file: Path, text: str) -> UsageError | None:
    """Return what the program would say of config.toml if it held this text, None when nothing."""
    from bot.settings.resolve import resolve

    # In the same folder, because files beside config.toml belong to the settings as well.
    with temporary_beside(file) as trial:
        trial.write_text(text, encoding="utf-8")
        try:
            resolve({}, None, {HOME_VARIABLE: str(file.parent)}, trial)
        except UsageError as problem:
            return ConfigError(problem.message.replace(str(trial), str(file)), problem.hint)
    return None


def is_set(file: Path, key: Key) -> bool:
    """Whether the file says something of this key."""
    import tomllib

    return _holds(tomllib.loads(read_config(file)), key)


def _changed(text: str, key: Key, value: object) -> str:
    import tomllib

    import tomlkit

    there = _holds(tomllib.loads(text), key)
    if not there:
        return text if value is None else _added(text, key, value)
    document: Any = tomlkit.parse(text)
    if value is None:
        _take_out(document, key)
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


def _take_out(table: Any, key: Key) -> None:
    """Take a key out, and the tables around it that have become empty."""
    first, *rest = key
    if rest:
        _take_out(table[first], tuple(rest))
        if len(table[first]):
            return
    del table[first]


def _added(text: str, key: Key, value: object) -> str:
    """Put in a value that is not there yet."""
    import tomllib

    import tomlkit

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
        # The table around it is written in another way, such as `presets = {mine = {…}}`.
        document: Any = tomlkit.parse(text)
        inner = document
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[name] = value
        return tomlkit.dumps(document)
    return made


def _line(name: str, value: object) -> str:
    import tomlkit

    return f"{bare(name)} = {tomlkit.item(value).as_string()}\n"


def _appended(text: str, key: Key, lines: str) -> str:
    head = text.rstrip("\n")
    return (f"{head}\n\n" if head else "") + f"[{'.'.join(map(bare, key))}]\n{lines}"


def _inserted(text: str, table: _Table, line: str) -> str:
    """Put a line behind the table's last value: comments further down belong to what follows."""
    at = table.start
    for found in re.finditer(r"[^\n]*\n?", text[table.start : table.end]):
        if found[0].strip() and not found[0].lstrip().startswith("#"):
            at = table.start + found.end()
    head, tail = text[:at], text[at:]
    if head and not head.endswith("\n"):
        head += "\n"
    if not head and tail:
        # Above everything else; the file's first comment stays first if it stands by itself.
        comment = re.match(r"(?:#[^\n]*\n)+\n+", tail)
        if comment:
            head, tail = comment[0], tail[comment.end() :]
        return f"{head}{line}\n{tail.lstrip(chr(10))}"
    return head + line + tail


def _tables(text: str) -> Iterator[_Table]:
    """Yield what stands above all tables, and then each [table]."""
    import tomllib

    marks: list[tuple[Key, int, int]] = [((), 0, 0)]
    for found in _HEADER.finditer(text):
        end = text.find("\n", found.start()) + 1 or len(text)
        try:
            tomllib.loads(text[: found.start()])
            key = _header_key(tomllib.loads(text[found.start() : end]))
        except tomllib.TOMLDecodeError:
            continue  # within a list or a text of several lines
        marks.append((key, found.start(), end))
    for index, (key, _, end) in enumerate(marks):
        yield _Table(key, end, marks[index + 1][1] if index + 1 < len(marks) else len(text))


def _header_key(tables: object) -> Key:
    """Return the key of a header that was read by itself. Of [[a.b]] only ("a",), which is no table."""
    key: list[str] = []
    while isinstance(tables, dict) and tables:
        [(name, tables)] = tables.items()
        key.append(name)
    return (*key, "[]") if isinstance(tables, list) else tuple(key)
