"""The stored responses of the service (`/v1/responses`), in a file of their own beside the conversations.

A response is kept with the items that it answered and the id of the one before, so that a later request
can continue from it. After `KEEP_DAYS` days it is deleted.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.store.conversion import sql_value
from bot.store.database import Database
from bot.store.rows import format_time, now

KEEP_DAYS = 30
Json = dict[str, Any]


def _create_table(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE responses (
            id TEXT PRIMARY KEY,
            created TEXT NOT NULL,
            previous TEXT,
            items TEXT NOT NULL,
            response TEXT NOT NULL
        )
        """
    )
    connection.execute("CREATE INDEX responses_created ON responses (created)")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was sent, the input items that it answered, and the id of the one before."""

    response: Json
    items: list[Json]
    previous: str | None = None

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.response["id"])


class ResponseStore:
    """The responses in one file, which is opened when it is first needed.

    `path` None: nothing is kept. Every method may raise StoreError.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database: Database | None = None
        self._opening = threading.Lock()

    def save(self, stored: StoredResponse) -> bool:
        """Keep a response; returns whether that is possible. Old ones are deleted."""
        database = self._open()
        if database is None:
            return False
        oldest = format_time(now() - timedelta(days=KEEP_DAYS))
        row = (stored.id, now(), stored.previous, stored.items, stored.response)
        with database.writing() as connection:
            connection.execute("DELETE FROM responses WHERE created < ?", (oldest,))
            connection.execute(
                "INSERT INTO responses (id, created, previous, items, response) VALUES (?, ?, ?, ?, ?)",
                tuple(map(sql_value, row)),
            )
        return True

    def get(self, response_id: str) -> StoredResponse | None:
        """Return a response, None when there is none of that id."""
        database = self._open()
        if database is None:
            return None
        with database.reading() as connection:
            row = connection.execute(
                "SELECT previous, items, response FROM responses WHERE id = ?", (sql_value(response_id),)
            ).fetchone()
            if row is None:
                return None
            return StoredResponse(json.loads(row["response"]), json.loads(row["items"]), row["previous"])

    def delete(self, response_id: str) -> bool:
        """Delete a response; returns whether there was one."""
        database = self._open()
        if database is None:
            return False
        with database.writing() as connection:
            asked = (sql_value(response_id),)
            return connection.execute("DELETE FROM responses WHERE id = ?", asked).rowcount > 0

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    def _open(self) -> Database | None:
        with self._opening:
            if self._database is None and self._path is not None:
                self._database = Database.open(self._path, migrations=(_create_table,))
            return self._database
