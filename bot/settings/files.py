"""Files read strictly, and replaced in one step.

Every mistake in a file becomes an error of one line that names the file, the key and what is expected.
What the keys mean is known by the modules that read a `Section`.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import tomllib
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import ConfigError, UsageError
from bot.settings.bounded_read import read_bounded
from bot.settings.values import InvalidValueError, check_value, describe, quote
from bot.text.nearest import expected_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bot.settings.option import Option

MAX_BYTES = 4_000_000
_BARE = re.compile(r"[A-Za-z0-9_-]{1,60}")


def read_toml(path: Path, *, optional: bool = False) -> dict[str, object]:
    """Return a TOML file's tables; {} for an absent file that is optional.

    ConfigError when it cannot be read or is not TOML.
    """
    try:
        return _parse(_text(path))
    except OSError as problem:
        if optional and isinstance(problem, FileNotFoundError | NotADirectoryError):
            return {}
        raise ConfigError(f"{path}: cannot be read: {error_reason(problem)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from None
    except ValueError as problem:
        # TOMLDecodeError is one, and so are a date or a number that Python cannot hold.
        raise ConfigError(f"{path}: not valid TOML: {_one_line(str(problem))}") from None


# Settings are resolved several times in a run, from the same texts. Nobody changes the tables.
_parse = lru_cache(maxsize=32)(tomllib.loads)


def read_text(path: Path, what: str, *, optional: bool = False) -> str:
    """Return a text file's content without the blanks around it; "" for an absent optional file.

    UsageError "WHAT PATH: cannot be read: …" otherwise.
    """
    try:
        return _text(path).strip()
    except (FileNotFoundError, NotADirectoryError) as problem:
        if optional:
            return ""
        raise UsageError(f"{what} {path}: cannot be read: {error_reason(problem)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{what} {path}: expected UTF-8 text") from None
    except (OSError, ValueError) as problem:
        raise UsageError(f"{what} {path}: cannot be read: {error_reason(problem)}") from None


def _text(path: Path) -> str:
    return read_bounded(path, MAX_BYTES).decode("utf-8-sig").replace("\r\n", "\n")


def error_reason(problem: Exception) -> str:
    """Return why a file could not be read or written, without the path, which the message has already."""
    said = problem.strerror if isinstance(problem, OSError) else None
    return said or _one_line(str(problem))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def toml_key(key: str) -> str:
    """Write a key the way TOML does, with quotation marks where they are needed."""
    return key if _BARE.fullmatch(key) else quote(key)


class Section:
    """One table of a TOML file, with typed access to its values.

    `where` is the table's dotted key, "" for the whole file. Every method raises ConfigError for a
    value of another type.
    """

    def __init__(self, file: Path | str, table: Mapping[str, object], where: str = "") -> None:
        self.file = file
        self.table = table
        self.where = where

    def __contains__(self, name: str) -> bool:
        """Whether the key is there."""
        return name in self.table

    def key(self, name: str) -> str:
        """Return the dotted key of `name` in this table."""
        return f"{self.where}.{toml_key(name)}" if self.where else toml_key(name)

    def error(self, name: str, problem: str) -> ConfigError:
        """Return the error about this key ("" for the table itself)."""
        key = self.key(name) if name else self.where
        return ConfigError(f"{self.file}: {key}: {problem}" if key else f"{self.file}: {problem}")

    def wrong_type(self, name: str, expected: str) -> ConfigError:
        """Return the error that names what is expected and what is there."""
        return self.error(name, f"expected {expected}, found {describe(self.table[name])}")

    def reject_unknown_keys(self, names: Iterable[str]) -> None:
        """Raise ConfigError for the first key that is not among `names`."""
        allowed = list(names)
        for key in self.table:
            if key not in allowed:
                raise self.error(key, f"unknown key; {expected_names(key, allowed)}")

    def text(self, name: str) -> str | None:
        """Return a text that is not empty, None when the key is absent."""
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value.strip():
            return value
        raise self.wrong_type(name, "a text")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, () when the key is absent."""
        value = self.table.get(name, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong_type(name, "a list of texts")

    def text_table(self, name: str) -> dict[str, str]:
        """Return a table of texts, {} when the key is absent."""
        section = self.section(name)
        if section is None:
            return {}
        for key, value in section.table.items():
            if not isinstance(value, str):
                raise section.wrong_type(key, "a text")
        return {key: str(value) for key, value in section.table.items()}

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """Return one of `choices`, None when the key is absent."""
        value = self.table.get(name)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        raise self.wrong_type(name, " or ".join(f'"{choice}"' for choice in choices))

    def boolean(self, name: str) -> bool | None:
        """Return true or false, None when the key is absent."""
        value = self.table.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong_type(name, "true or false")

    def positive_int(self, name: str) -> int | None:
        """Return a whole number above 0, None when the key is absent."""
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**12:
            return value
        raise self.wrong_type(name, "a whole number above 0")

    def price(self, name: str) -> float | None:
        """Return a number from 0 on, None when the key is absent."""
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 10**6:
            return float(value)
        raise self.wrong_type(name, "a price in US dollars per million tokens")

    def option(self, option: Option, folder: Path | None = None) -> object:
        """Return the value of an option whose key is there, checked by the table of options."""
        try:
            return check_value(option, self.table[option.name], folder)
        except InvalidValueError as problem:
            raise self.error(option.name, str(problem)) from None

    def section(self, name: str) -> Section | None:
        """Return a table inside this one, None when the key is absent."""
        value = self.table.get(name)
        if value is None:
            return None
        if isinstance(value, dict):
            return Section(self.file, value, self.key(name))
        raise self.wrong_type(name, "a table")

    def sections(self, name: str) -> dict[str, Section]:
        """Return the tables [NAME.x] by x; empty when there are none."""
        outer = self.section(name)
        if outer is None:
            return {}
        inner = {key: outer.section(key) for key in outer.table}
        return {key: section for key, section in inner.items() if section is not None}


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Make an empty file (0600) beside another for the block; also makes the folder if there is none."""
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=folder)
    except OSError as problem:
        raise UsageError(f"{folder}: cannot be written to: {error_reason(problem)}") from None
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        with suppress(OSError):
            Path(name).unlink()


def replace_file(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file's text in one step; its mode stays, a new file is 0600 in a folder of 0700.

    Of a symbolic link, the target is replaced. With `private`, the mode becomes 0600. UsageError when
    the file cannot be written.
    """
    path = Path(os.path.realpath(path))
    try:
        mode = 0o600 if private or not path.exists() else stat.S_IMODE(path.stat().st_mode)
        with temporary_beside(path) as fresh:
            with fresh.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.chmod(mode)
            fresh.replace(path)
    except OSError as problem:
        raise UsageError(f"{path}: cannot be written: {error_reason(problem)}") from None
