"""Rows in files: one way of writing them for journals, answers, official files and figures.

A file that is written as a whole is there whole or not at all. A journal (`AppendLog`) grows by a
row at a time, so that a process may be killed at any moment.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from bot.errors import MoaError

Row = dict[str, Any]
"""A line of a file, as JSON."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write a file's new content, which takes its place at the end.

    Raises MoaError when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise MoaError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON. Raises MoaError when it cannot be written."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    with replacing(path) as temporary:
        # A lone surrogate in a model's words is no reason to lose a whole file.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as one JSON list (`.json`) or one line each, packed when the name ends in `.gz`.

    Raises MoaError when they cannot be written.
    """
    if path.suffix == ".json":
        write_json(path, list(rows))
        return
    with replacing(path) as temporary, temporary.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else nullcontext(raw)
        with packed as file:
            for row in rows:
                line = json.dumps(row, ensure_ascii=False) + "\n"
                file.write(line.encode("utf-8", "backslashreplace"))


class AppendLog:
    """JSON objects, a line each, in a file that only grows; without a path, in memory.

    Each row goes out in one write; what a crash leaves half written is no row. `index` is called
    with the offset of each row that is there; it raises KeyError or TypeError for what is none of
    its own. Raises MoaError when the file cannot be opened or written.
    """

    def __init__(self, path: Path | None, index: Callable[[int, Row], None]) -> None:
        self._path = path
        self._writer: BinaryIO
        self._reader: BinaryIO
        if path is None:
            self._writer = self._reader = io.BytesIO()
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - see `close`
            except OSError as error:
                raise MoaError(f"{path}: the journal cannot be opened: {error.strerror}") from error
            self._reader = path.open("rb")
        for offset, row in self.rows():
            with suppress(KeyError, TypeError):
                index(offset, row)
        self._end = self._reader.seek(0, os.SEEK_END)
        if self._end:
            self._reader.seek(-1, os.SEEK_END)
            if self._reader.read() != b"\n":
                self._write(b"\n")

    def append(self, row: Row) -> int:
        """Append a row; returns its offset."""
        offset = self._end
        self._write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        return offset

    def read(self, offset: int) -> Row:
        """Return the row at an offset."""
        self._reader.seek(offset)
        row: Row = json.loads(self._reader.readline())
        return row

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Yield all rows with their offsets."""
        offset = self._reader.seek(0)
        for line in self._reader:
            with suppress(ValueError):
                yield offset, json.loads(line)
            offset += len(line)

    def close(self) -> None:
        """Flush what was written to disk, and close; a second call does nothing."""
        if not self._writer.closed:
            with suppress(OSError):  # in memory, or a file system without fsync
                os.fsync(self._writer.fileno())
            self._writer.close()
            self._reader.close()

    def _write(self, data: bytes) -> None:
        try:
            self._writer.seek(self._end)
            written = 0
            while written < len(data):
                written += self._writer.write(data[written:])
        except OSError as error:
            raise MoaError(
                f"{self._path}: the journal cannot be written: {error.strerror}",
                hint="What is in it is kept; the same command goes on from there.",
            ) from error
        self._end += len(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
