"""The official files of the benchmarks: found in a folder of the user's or fetched, then checked and read.

    OfficialData(folder)    looks only into the folder (offline)
    OfficialData()          fetches from the official places through `datasets`, which keeps what it fetched

A file is pinned by the revision in its address and, where it is known, by the sha256 of its
unpacked content. Its format (JSON list, JSON lines, CSV, packed with gzip or not) is found from its
content, because the same data is published under many names.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bot.bulk.files import Row
from bot.bulk.rows import csv_delimiter
from bot.errors import MoaError

T = TypeVar("T")


class DataError(MoaError):
    """A file of a benchmark that is missing, altered or unreadable; the hint says what to do."""


class MissingDataError(DataError):
    """A file that is not there, or cannot be fetched."""


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """One official file: its path `name` in a repository.

    `sha256` are those of its unpacked content that are known to be right; with none, the benchmark
    checks its content. `others` are further names that it is found under in a folder, `hint` is
    another place to get it from.
    """

    key: str
    repository: str
    name: str
    sha256: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    hint: str = ""

    @property
    def url(self) -> str:
        """The address of the file."""
        return self.repository + self.name


class OfficialData:
    """Where the official files come from; each is read once.

    `folder`, or a folder in it of the benchmark's name, holds them under their path in the repository
    or the end of it, as they are or with `.gz`. `cache` is where fetched files are kept, None: where
    `datasets` keeps its own.
    """

    def __init__(
        self, folder: Path | None = None, *, accept_altered: bool = False, cache: Path | None = None
    ) -> None:
        self.folder = folder
        self.accept_altered = accept_altered
        self.hashes: dict[str, str] = {}
        """sha256 of every file read so far, by its key."""
        self.altered: list[str] = []
        """Keys of files read so far that are not the official ones."""
        self._cache = cache
        self._contents: dict[str, bytes] = {}

    def content(self, source: OfficialFile) -> bytes:
        """Return the file's unpacked content. Raises DataError when it is missing or altered."""
        if source.key not in self._contents:
            path = self._fetch(source) if self.folder is None else self._find(self.folder, source)
            content = read_bytes(path)
            if self.folder is None and not _is_official(source, content):
                content = read_bytes(self._fetch(source, again=True))
            if not _is_official(source, content):
                self.reject(source, f"{path}: not the official file (its sha256 differs)")
            self.hashes[source.key] = hashlib.sha256(content).hexdigest()
            self._contents[source.key] = content
        return self._contents[source.key]

    def records(self, source: OfficialFile, parse: Callable[[Row], T]) -> list[T]:
        """Return what `parse` makes of each of the file's rows.

        Raises DataError when the file is missing, altered or unreadable, or `parse` finds a row without
        what it needs (KeyError, IndexError, TypeError, ValueError).
        """
        found = []
        for number, row in enumerate(parse_rows(self.content(source), source.name), 1):
            try:
                found.append(parse(row))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise DataError(f"{source.name}: row {number} cannot be read: {error!r}") from error
        return found

    def text(self, source: OfficialFile) -> str:
        """Return the file as text. Raises DataError when it is missing, altered or unreadable."""
        try:
            return self.content(source).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{source.name}: not UTF-8 text") from error

    def reject(self, source: OfficialFile, what: str) -> None:
        """Raise DataError because a file is not the official one, or note it where that is accepted."""
        if not self.accept_altered:
            raise DataError(what, hint=self._where_to_get(source))
        if source.key not in self.altered:
            self.altered.append(source.key)

    def _find(self, folder: Path, source: OfficialFile) -> Path:
        benchmark = source.key.partition(".")[0]
        for name in (source.name, *source.others):
            parts = name.split("/")
            for end in (Path(*parts[start:]) for start in range(len(parts))):
                for place in (folder / end, folder / benchmark / end):
                    for path in (place, place.with_name(f"{end.name}.gz")):
                        if path.is_file():
                            return path
        raise MissingDataError(f"{folder}: {source.name} is missing", hint=self._where_to_get(source))

    def _fetch(self, source: OfficialFile, *, again: bool = False) -> Path:
        import datasets  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 600 ms, and is for official data only

        config = datasets.DownloadConfig(
            cache_dir=self._cache,
            force_download=again,
            use_etag=False,  # the address names a revision, whose content never changes
            disable_tqdm=True,
            max_retries=3,
        )
        try:
            return Path(datasets.DownloadManager(download_config=config).download(source.url))
        except Exception as error:  # each of the libraries that fetch has exceptions of its own
            reason = str(error).partition("\n")[0]
            if reason in {"", source.url}:
                reason = type(error).__name__
            extra = "pip install 'moa-bot[eval]', or " if isinstance(error, ImportError) else ""
            raise MissingDataError(
                f"{source.name} cannot be fetched: {reason}", hint=extra + self._where_to_get(source)
            ) from error

    def _where_to_get(self, source: OfficialFile) -> str:
        folder = "a folder that --data_dir names" if self.folder is None else str(self.folder)
        place = f"fetch {source.url} and put it at {source.name} in {folder}"
        return f"{place}; {source.hint}" if source.hint else place


def _is_official(source: OfficialFile, content: bytes) -> bool:
    return not source.sha256 or hashlib.sha256(content).hexdigest() in source.sha256


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

    CSV is what has `.csv` in its name, with commas, semicolons or tabs; its values are strings.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start})") from error
    if name.removesuffix(".gz").endswith(".csv"):
        return _csv_rows(text, name)
    if text.lstrip().startswith("["):
        values = {f"{name}, element {n}": value for n, value in enumerate(_json(text, name), 1)}
    else:
        lines = {f"{name}, line {n}": line for n, line in enumerate(text.split("\n"), 1) if line.strip()}
        values = {place: _json(line, place) for place, line in lines.items()}
    for place, value in values.items():
        if not isinstance(value, dict):
            raise DataError(f"{place}: not a JSON object")
    return list(values.values())


def _csv_rows(text: str, name: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=csv_delimiter(text), strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row:
                raise DataError(f"{name}: line {reader.line_num}: more values than columns")
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"{name}: line {reader.line_num}: not CSV: {error}") from error
    return rows


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from error
