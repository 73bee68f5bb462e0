"""The database's schema: an append-only list of migrations.

`PRAGMA user_version` is the number of migrations that a file has had. A released migration is
never edited; a change of the schema is a new function at the end of the list. The full-text index
is not here: it depends on the SQLite that opens the file (`search.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]

APPLICATION_ID = 0x4D6F4142
"""Marks the program's files ("MoAB"), to tell them from other programs' databases."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Version 1: conversations, their turns, the turns' calls.

    In every table the long texts come last: SQLite reads the columns before them without reading
    the pages that the texts fill.
    """
    connection.execute(
        """
        CREATE TABLE conversations (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created TEXT NOT NULL,
            updated TEXT NOT NULL,
            title TEXT NOT NULL,
            settings TEXT NOT NULL,
            system TEXT
        )
        """
    )
    connection.execute("CREATE INDEX conversations_updated ON conversations (updated)")
    connection.execute(
        """
        CREATE TABLE turns (
            id INTEGER PRIMARY KEY,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            created TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('open', 'done', 'partial', 'failed', 'undone')),
            model TEXT NOT NULL,
            seconds REAL,
            first_token REAL,
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            reasoning_tokens INTEGER,
            cost REAL,
            error TEXT,
            notices TEXT NOT NULL,
            prompt TEXT NOT NULL,
            reply TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            UNIQUE (conversation, number)
        )
        """
    )
    # Counts and sums of a list of conversations are read from this index alone.
    connection.execute("CREATE INDEX turns_cost ON turns (conversation, cost)")
    _create_calls(connection)


def _create_calls(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE calls (
            turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
            round INTEGER NOT NULL,
            seat INTEGER NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('reference', 'aggregator')),
            model TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
            error_kind TEXT,
            error_message TEXT,
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            reasoning_tokens INTEGER,
            cost REAL,
            first_token REAL,
            seconds REAL,
            finish_reason TEXT,
            retries INTEGER NOT NULL,
            partial TEXT NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            PRIMARY KEY (turn, round, seat)
        )
        """
    )


def rename_seat_to_slot(connection: sqlite3.Connection) -> None:
    """Version 2: a call's place in its round is called slot."""
    connection.execute("ALTER TABLE calls RENAME COLUMN seat TO slot")


def add_cached_tokens(connection: sqlite3.Connection) -> None:
    """Version 3: how many of the prompt tokens the service had in its cache."""
    connection.execute("ALTER TABLE turns ADD COLUMN cached_tokens INTEGER")
    connection.execute("ALTER TABLE calls ADD COLUMN cached_tokens INTEGER")


def add_analysis_and_panel(connection: sqlite3.Connection) -> None:
    """Version 4: a turn's comparison of answers and who was asked, as JSON; calls of any role.

    SQLite cannot change a column's CHECK, so the table of calls is made anew. Roles are checked where rows
    are read.
    """
    connection.execute("ALTER TABLE turns ADD COLUMN analysis TEXT")
    connection.execute("ALTER TABLE turns ADD COLUMN panel TEXT")
    connection.execute("ALTER TABLE calls RENAME TO old_calls")
    connection.execute(
        """
        CREATE TABLE calls (
            turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
            round INTEGER NOT NULL,
            slot INTEGER NOT NULL,
            role TEXT NOT NULL,
            model TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
            error_kind TEXT,
            error_message TEXT,
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            reasoning_tokens INTEGER,
            cached_tokens INTEGER,
            cost REAL,
            first_token REAL,
            seconds REAL,
            finish_reason TEXT,
            retries INTEGER NOT NULL,
            partial TEXT NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            PRIMARY KEY (turn, round, slot)
        )
        """
    )
    connection.execute(
        """
        INSERT INTO calls SELECT
            turn, round, slot, role, model, endpoint, status, error_kind, error_message, prompt_tokens,
            completion_tokens, reasoning_tokens, cached_tokens, cost, first_token, seconds, finish_reason,
            retries, partial, text, reasoning
        FROM old_calls
        """
    )
    connection.execute("DROP TABLE old_calls")


def add_shadow(connection: sqlite3.Connection) -> None:
    """Version 5: what early stop would have done in a turn, as JSON."""
    connection.execute("ALTER TABLE turns ADD COLUMN shadow TEXT")


def add_tools(connection: sqlite3.Connection) -> None:
    """Version 6: which tools ran for a call, as JSON."""
    connection.execute("ALTER TABLE calls ADD COLUMN tools TEXT")


def add_images(connection: sqlite3.Connection) -> None:
    """Version 7: the images of prompts; the bytes of a large one are not kept, only their hash."""
    connection.execute(
        """
        CREATE TABLE images (
            turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            name TEXT NOT NULL,
            media_type TEXT NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            data BLOB,
            PRIMARY KEY (turn, place)
        )
        """
    )


MIGRATIONS: tuple[Migration, ...] = (
    create_tables,
    rename_seat_to_slot,
    add_cached_tokens,
    add_analysis_and_panel,
    add_shadow,
    add_tools,
    add_images,
)
