"""The file of the store: how it is opened, kept private, migrated and locked.

Nothing here knows what a conversation is. All use of the connection goes through `reading` and
`writing`; what SQLite raises inside them becomes a `StoreError` in plain words.

Many processes may use one file. Each write is one `BEGIN IMMEDIATE` transaction, so a writer
waits for another at its start (up to `timeout` seconds) and never fails half-way; readers do not
wait (WAL). Within a process the methods may be called from any thread, one at a time.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import StoreDamagedError, StoreError
from bot.store.database_errors import primary_code, translate_errors
from bot.store.schema import APPLICATION_ID, MIGRATIONS, Migration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIMEOUT = 10.0
"""Seconds to wait for another program's write before giving up."""

_MIN_PAGE_SIZE = 512  # bytes; no database is smaller
# SQLITE_IOERR is what SQLite reports when there is no room for the -shm file.
_NO_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class Database:
    """An open file and its lock."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, read_only: bool = False) -> None:
        """Use a connection that `open` has prepared."""
        self.path = path
        self.connection = connection
        self.read_only = read_only
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, path: Path, *, timeout: float = TIMEOUT, migrations: Sequence[Migration] = MIGRATIONS
    ) -> Database:
        """Open or make the file, and migrate it to the newest version.

        A file that cannot be written to, or that lies on a full disk, is opened to be read. Raises
        StoreError, with nothing written, where the file is no database, another program's, or of a newer
        version than `migrations` make.
        """
        path = Path(path).absolute()
        with translate_errors(path):
            if not _is_read_only(path):
                _make_private(path)
                try:
                    return cls(path, _connect_to_write(path, timeout, migrations))
                except sqlite3.OperationalError as error:
                    if primary_code(error) not in _NO_SPACE or not path.stat().st_size:
                        raise
            return cls(path, _connect_to_read(path, timeout, len(migrations)), read_only=True)

    def close(self) -> None:
        """Close the file; it may be closed already."""
        with self._lock, translate_errors(self.path):
            self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for one or more queries."""
        with self._lock, translate_errors(self.path):
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection within one transaction: all of the block is written, or nothing."""
        if self.read_only:
            raise StoreError(
                f"the conversation store {self.path} can only be read", "check its permissions and its disk"
            )
        with self._lock, translate_errors(self.path), transaction(self.connection):
            yield self.connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Take the write lock; commit at the end of the block, roll back on any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself (disk full); the first error is the one to report.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _connect(database: Path | str, timeout: float) -> sqlite3.Connection:
    """Connect to a file or a `file:` URI."""
    connection = sqlite3.connect(
        database,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        uri=isinstance(database, str),
    )
    connection.row_factory = sqlite3.Row
    # Bytes that are no UTF-8 are no reason to lose the text around them.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _connect_to_write(path: Path, timeout: float, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Return a connection that reads and writes, to a file that has had all migrations."""
    connection = _connect(path, timeout)
    try:
        _version(connection, path, len(migrations))
        _enter_wal(connection, timeout)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        _migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_read_only(path: Path) -> bool:
    """Whether the file is there, can be read, and nothing can be written to it or beside it."""
    return (
        path.is_file()
        and os.access(path, os.R_OK)
        and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK))
    )


def _connect_to_read(path: Path, timeout: float, newest: int) -> sqlite3.Connection:
    """Return a connection that only reads. Raises StoreError where the file's version is not `newest`.

    SQLite reads a database in WAL mode only where it can make its -shm file, or is told that nobody
    else writes to the file (`immutable`): what is in an unfinished -wal is not seen then.
    """
    connection = _connect(f"{path.as_uri()}?mode=ro", timeout)
    try:
        try:
            version = _version(connection, path, newest)
        except sqlite3.OperationalError:
            connection.close()
            connection = _connect(f"{path.as_uri()}?immutable=1", timeout)
            version = _version(connection, path, newest)
    except BaseException:
        connection.close()
        raise
    if version < newest:
        connection.close()
        raise StoreError(
            f"the conversation store {path} was written by an older moa-bot, and cannot be changed",
            "copy it to a folder that can be written to, and set MOA_BOT_HOME to that",
        )
    return connection


def move_damaged_file(path: Path) -> Path:
    """Rename a damaged file and its -wal and -shm files to a free name; returns that name.

    Nothing is deleted or overwritten, so that its content may still be recovered.
    """
    number = 1
    while (moved := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with translate_errors(path):
        path.rename(moved)
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(moved.with_name(moved.name + suffix))
    return moved


def _make_private(path: Path) -> None:
    """Make folder (0700) and file (0600) before SQLite does; tighten a file that others can read.

    SQLite gives -wal and -shm the mode of the database. An existing file must not be opened and
    closed here: on POSIX that would drop the locks of every connection this process has to it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if 0 < path.stat().st_size < _MIN_PAGE_SIZE and path.is_file():
            # SQLite takes so short a file for an empty database, and would write over it.
            raise StoreDamagedError(
                f"the conversation store {path} is not a database", "move it away, or use --no_save"
            ) from None
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077 and path.is_file():
            with suppress(PermissionError):  # it is another user's, and theirs to decide
                path.chmod(0o600)


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """Return the file's version, 0 for a new one. Raises StoreError where another program wrote it."""
    row = connection.execute(
        # One statement, so that all three are seen at the same moment.
        """
        SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)
        FROM pragma_user_version, pragma_application_id
        """
    ).fetchone()
    version, application, tables = int(row[0]), int(row[1]), int(row[2])
    if application != APPLICATION_ID and (version or tables):
        raise StoreError(
            f"{path} is another program's database, not a conversation store",
            "move it away, or set MOA_BOT_HOME to another folder",
        )
    if version > newest:
        raise StoreError(
            f"the conversation store {path} was written by a newer moa-bot (version {version}, "
            f"this one knows {newest})",
            "update moa-bot, or use --no_save",
        )
    return version


def _enter_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Switch to write-ahead logging.

    When two processes do so to a new file at once, SQLite reports "locked" without waiting (each
    holds what the other needs), so the waiting is done here.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Run the migrations that the file has not had, each in a transaction of its own."""
    newest = len(migrations)
    is_new = _version(connection, path, newest) == 0
    while _version(connection, path, newest) < newest:
        with transaction(connection):
            # Another process may have migrated the file meanwhile.
            version = _version(connection, path, newest)
            if version == newest:
                return
            if version > 0 and not is_new:
                _back_up(path, version)
            migrations[version](connection)
            # A pragma takes no parameters; both values are integers of ours.
            connection.execute(f"PRAGMA user_version={version + 1:d}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID:d}")


def _back_up(path: Path, version: int) -> None:
    """Copy the file as it is before a migration to `NAME.v<version>`, private and complete.

    It reads through a connection of its own; the migrating one holds the write lock, so that no
    other process changes what is copied.
    """
    copy = path.with_name(f"{path.name}.v{version}")
    unfinished = path.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
            source.backup(target)
        unfinished.replace(copy)
    finally:
        unfinished.unlink(missing_ok=True)
