"""The official files of the benchmarks: found in a folder of the user's or fetched, then checked.

    Data(folder)    looks only into the folder (offline)
    Data()          fetches from the official places through `datasets`, which keeps what it fetched

A file is pinned by the revision in its address and, where it is known, by the sha256 of its
unpacked content. What the content means is the benchmarks' affair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bot.eval.files import DataError, MissingDataError, Row, parse_rows, read_bytes


@dataclass(frozen=True, slots=True)
class Source:
    """One official file.

    `names` are the paths, within a folder, that it is looked for under, the official one first.
    `sha256` are those of its unpacked content that are known to be right; with none, the benchmark
    checks what the file says. `hint` adds to where it can be had from.
    """

    key: str
    url: str
    names: tuple[str, ...]
    sha256: tuple[str, ...] = ()
    hint: str = ""


class Data:
    """Where the official files come from; each is read once.

    `folder` may hold them at its top, or in a folder of the benchmark's name, as they are or with
    `.gz`. `cache` is where fetched files are kept, None: where `datasets` keeps its own.
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

    def content(self, source: Source) -> bytes:
        """Return the file's unpacked content. Raises DataError when it is missing or altered."""
        if source.key not in self._contents:
            path = self._fetch(source) if self.folder is None else self._find(self.folder, source)
            content = read_bytes(path)
            if self.folder is None and not _right(source, content):
                content = read_bytes(self._fetch(source, again=True))
            if not _right(source, content):
                self.doubt(source, f"{path}: not the official file (its sha256 differs)")
            self.hashes[source.key] = hashlib.sha256(content).hexdigest()
            self._contents[source.key] = content
        return self._contents[source.key]

    def rows(self, source: Source) -> list[Row]:
        """Return the file's rows. Raises DataError when it is missing, altered or unreadable."""
        return parse_rows(self.content(source), source.names[0])

    def text(self, source: Source) -> str:
        """Return the file as text. Raises DataError when it is missing, altered or unreadable."""
        try:
            return self.content(source).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{source.names[0]}: not UTF-8 text") from error

    def doubt(self, source: Source, what: str) -> None:
        """Raise DataError because a file is not the official one, or note it where that is accepted."""
        if not self.accept_altered:
            raise DataError(what, hint=self._where(source))
        if source.key not in self.altered:
            self.altered.append(source.key)

    def _find(self, folder: Path, source: Source) -> Path:
        benchmark = source.key.partition(".")[0]
        for name in source.names:
            base = Path(name).name
            for place in (folder / name, folder / benchmark / name, folder / base, folder / benchmark / base):
                for path in (place, place.with_name(f"{base}.gz")):
                    if path.is_file():
                        return path
        raise MissingDataError(f"{folder}: {source.names[0]} is missing", hint=self._where(source))

    def _fetch(self, source: Source, *, again: bool = False) -> Path:
        import datasets  # type: ignore[import-untyped]  # it ships no types

        config = datasets.DownloadConfig(
            cache_dir=self._cache,
            force_download=again,
            use_etag=False,  # the address names a revision: what it says never changes
            disable_tqdm=True,
            max_retries=3,
        )
        try:
            return Path(datasets.DownloadManager(download_config=config).download(source.url))
        except ImportError as error:
            raise MissingDataError(
                f"{source.names[0]} cannot be fetched: {error}",
                hint=f"pip install 'moa-bot[eval]', or {self._where(source)}",
            ) from error
        except Exception as error:
            # A real boundary: each of the libraries that fetch has exceptions of its own.
            reason = str(error).partition("\n")[0]
            if not reason or reason == source.url:
                reason = type(error).__name__
            raise MissingDataError(
                f"{source.names[0]} cannot be fetched: {reason}", hint=self._where(source)
            ) from error

    def _where(self, source: Source) -> str:
        folder = "a folder that --data_dir names" if self.folder is None else str(self.folder)
        place = f"fetch {source.url} and put it at {source.names[0]} in {folder}"
        return f"{place}; {source.hint}" if source.hint else place


def _right(source: Source, content: bytes) -> bool:
    return not source.sha256 or hashlib.sha256(content).hexdigest() in source.sha256
