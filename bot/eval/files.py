"""Rows in files: JSON lists, JSON lines and CSV, packed with gzip or not. Knows no benchmark.

What a file holds is told by its content and not by its name when it is read, because the same data
is about under many names; when it is written the name decides.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bot.errors import MoaError

Row = dict[str, Any]


class DataError(MoaError):
    """A file of a benchmark that is missing, altered or unreadable; the hint says what to do."""


class MissingDataError(DataError):
    """A file that is not there, or cannot be fetched."""


def read_bytes(path: Path) -> bytes:
    """Return the file's content, unpacked when it is packed with gzip. Raises DataError."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "cut short"
        raise DataError(f"{path}: cannot be read: {reason}") from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a `.csv` file, a JSON list or JSON lines. Raises DataError."""
    return parse_rows(read_bytes(path), str(path))


def parse_rows(content: bytes, name: str) -> list[Row]:
    """Return the rows of a file's content; `name` says in errors which file it is. Raises DataError.

    CSV is what has `.csv` in its name; its values are strings.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start})") from error
    if name.removesuffix(".gz").endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if text.lstrip().startswith("["):
        rows = _json(text, name)
        bad = next((number for number, row in enumerate(rows, 1) if not isinstance(row, dict)), None)
        if bad is not None:
            raise DataError(f"{name}: element {bad} is not a JSON object")
        return list(rows)
    return [_line(line, name, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as one JSON list (`.json`) or one line each, packed when the name ends in `.gz`.

    The file is there whole or not at all. Raises DataError.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        text = json.dumps(list(rows), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    else:
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    # A lone surrogate in a model's words is no reason to lose a whole file.
    content = text.encode("utf-8", "backslashreplace")
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from error


def _line(line: str, name: str, number: int) -> Row:
    row = _json(line, f"{name}, line {number}")
    if not isinstance(row, dict):
        raise DataError(f"{name}, line {number}: not a JSON object")
    return row
