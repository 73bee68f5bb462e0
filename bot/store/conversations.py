"""SQL about conversations. Every function takes a connection; transactions are the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.errors import StoreError, UsageError
from bot.store.conversion import (
    UnreadableRecordError,
    conversation_from_row,
    readable,
    sql_value,
    sql_values,
    storable,
)
from bot.store.names import clean_title, is_id, new_id
from bot.store.rows import StoredConversation, Summary, now

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_MAX_CANDIDATES = 5  # named in the message about an ambiguous prefix
_AFTER_ALL_LETTERS = "~"  # sorts behind everything an id is made of


def insert(
    connection: sqlite3.Connection,
    conversation: StoredConversation,
    draw: Callable[[], str] = new_id,
) -> StoredConversation:
    """Insert `conversation` under its id, or a new one from `draw` where its own is "", invalid or taken."""
    identifier = conversation.id if is_id(conversation.id) else draw()
    values = sql_values(conversation) | {"title": sql_value(clean_title(conversation.title))}
    statement = """
        INSERT INTO conversations (id, created, updated, title, settings, system)
        VALUES (:id, :created, :updated, :title, :settings, :system) ON CONFLICT (id) DO NOTHING
        """
    while not connection.execute(statement, values | {"id": identifier}).rowcount:
        identifier = draw()
    return _by_id(connection, identifier)


def resolve(connection: sqlite3.Connection, id_or_prefix: str) -> StoredConversation:
    """Return the one conversation with that id, or whose id begins with it; see `Store.conversation`."""
    return conversation_from_row(_find_row(connection, id_or_prefix))


def delete(connection: sqlite3.Connection, id_or_prefix: str) -> StoredConversation:
    """Delete that conversation, also one that cannot be read; returns what it was."""
    row = _find_row(connection, id_or_prefix)
    connection.execute("DELETE FROM conversations WHERE id = ?", (row["id"],))
    try:
        return conversation_from_row(row)
    except UnreadableRecordError:
        return StoredConversation(row["id"], "unreadable", now(), now())


def _find_row(connection: sqlite3.Connection, id_or_prefix: str) -> sqlite3.Row:
    prefix = storable(id_or_prefix).strip().lower()
    if not prefix:
        raise UsageError("no conversation named", "give an id, or the beginning of one")
    rows: list[sqlite3.Row] = connection.execute(
        "SELECT * FROM conversations WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (prefix, prefix + _AFTER_ALL_LETTERS, _MAX_CANDIDATES + 1),
    ).fetchall()
    exact = [row for row in rows if row["id"] == prefix]
    if exact:
        return exact[0]
    if not rows:
        raise StoreError(f'no such conversation: "{prefix}"', "`moa-bot history list` shows them all")
    if len(rows) > 1:
        named = ", ".join(row["id"] for row in rows[:_MAX_CANDIDATES]) + (
            ", …" if len(rows) > _MAX_CANDIDATES else ""
        )
        raise StoreError(f'"{prefix}" begins the ids of several conversations: {named}', "type more of it")
    return rows[0]


def _by_id(connection: sqlite3.Connection, identifier: str) -> StoredConversation:
    return conversation_from_row(
        connection.execute("SELECT * FROM conversations WHERE id = ?", (identifier,)).fetchone()
    )


def latest(connection: sqlite3.Connection, skip: Callable[[str], None]) -> StoredConversation | None:
    """Return the conversation that was last written to, of those that can be read."""
    for row in connection.execute("SELECT * FROM conversations ORDER BY updated DESC, seq DESC"):
        if found := readable([row], conversation_from_row, skip):
            return found[0]
    return None


def summaries(
    connection: sqlite3.Connection, limit: int, offset: int, skip: Callable[[str], None]
) -> list[Summary]:
    """Return a page of all conversations, the last written to first."""
    rows = connection.execute(
        """
        SELECT *,
            (SELECT count(*) FROM turns WHERE conversation = conversations.id) AS turns,
            (SELECT count(cost) FROM turns WHERE conversation = conversations.id) AS costed,
            (SELECT sum(cost) FROM turns WHERE conversation = conversations.id) AS cost
        FROM conversations ORDER BY updated DESC, seq DESC LIMIT ? OFFSET ?
        """,
        (limit, offset),
    )
    return readable(rows, _summary, skip)


def _summary(row: sqlite3.Row) -> Summary:
    return Summary(
        conversation=conversation_from_row(row),
        turns=row["turns"],
        cost=row["cost"],
        uncosted=row["turns"] - row["costed"],
    )


def require_conversation(changed: int, identifier: str) -> None:
    """Raise StoreError where a statement changed no row although the conversation should have one."""
    if not changed:
        raise StoreError(
            f"conversation {identifier} is no longer in the store",
            "it was deleted meanwhile; start a new one",
        )
