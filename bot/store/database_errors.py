"""What SQLite and the system say of the store's file, as errors in plain words."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.errors import StoreDamagedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MESSAGES = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "try again in a moment"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "try again in a moment"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space, or use --no_save"),
    sqlite3.SQLITE_READONLY: ("cannot be written to", "check its permissions, or use --no_save"),
    sqlite3.SQLITE_PERM: ("cannot be used: permission denied", "check its permissions, or use --no_save"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check the folder's permissions, or use --no_save"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "move it away, or use --no_save"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move it away to start a new one, or use --no_save"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "check the disk, or use --no_save"),
}
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


def primary_code(error: sqlite3.Error) -> int:
    """Return the primary part of SQLite's error code; 0 where the error has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn what the database or its file raises into a `StoreError` that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        code = primary_code(error)
        message, hint = _MESSAGES.get(code, ("", ""))
        kind = StoreDamagedError if code in _DAMAGED else StoreError
        raise kind(f"the conversation store {path} {message or f'failed: {error}'}", hint) from error
    except OSError as error:
        raise StoreError(
            f"the conversation store {path} cannot be used: {error.strerror or error}",
            "check its folder, or use --no_save",
        ) from error
    except ValueError as error:
        # JSON or a time that this program did not write.
        raise StoreError(f"the conversation store {path} holds an unreadable record: {error}") from error
