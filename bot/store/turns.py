"""SQL about turns and their calls. Every function takes a connection; transactions are the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.messages import Message
from bot.store.conversations import require
from bot.store.rows import (
    StoredCall,
    Turn,
    TurnId,
    bindings,
    bound,
    call_of,
    now,
    stamp,
    storable,
    stored_call,
    turn_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from bot.events import TurnResult

_SAVE_CALL = """
    INSERT INTO calls (
        turn, round, slot, role, model, endpoint, status, error_kind, error_message, prompt_tokens,
        completion_tokens, reasoning_tokens, cost, first_token, seconds, finish_reason, retries,
        partial, text, reasoning
    ) VALUES (
        :turn, :round, :slot, :role, :model, :endpoint, :status, :error_kind, :error_message, :prompt_tokens,
        :completion_tokens, :reasoning_tokens, :cost, :first_token, :seconds, :finish_reason, :retries,
        :partial, :text, :reasoning
    )
    """


def begin(connection: sqlite3.Connection, conversation: str, prompt: str) -> TurnId:
    """Insert an open turn under the next number."""
    time = stamp(now())
    changed = connection.execute(
        "UPDATE conversations SET updated = ? WHERE id = ?", (time, conversation)
    ).rowcount
    require(changed, conversation)
    number: int = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM turns WHERE conversation = ?", (conversation,)
    ).fetchone()[0]
    connection.execute(
        """
        INSERT INTO turns (conversation, number, created, status, model, notices, prompt, reply, reasoning)
        VALUES (?, ?, ?, 'open', '', '[]', ?, '', '')
        """,
        (conversation, number, time, storable(prompt)),
    )
    return TurnId(conversation, number)


def insert(connection: sqlite3.Connection, turn: Turn) -> None:
    """Insert a turn as it is, number and all."""
    connection.execute(
        """
        INSERT INTO turns (
            conversation, number, created, status, model, seconds, first_token, prompt_tokens,
            completion_tokens, reasoning_tokens, cost, error, notices, prompt, reply, reasoning
        ) VALUES (
            :conversation, :number, :created, :status, :model, :seconds, :first_token, :prompt_tokens,
            :completion_tokens, :reasoning_tokens, :cost, :error, :notices, :prompt, :reply, :reasoning
        )
        """,
        bindings(turn),
    )


def finish(connection: sqlite3.Connection, turn: TurnId, result: TurnResult) -> None:
    """Complete a turn, and add those of its calls that were not saved as they finished."""
    changed = connection.execute(
        """
        UPDATE turns SET
            status = :status, model = :model, seconds = :seconds, first_token = :first_token,
            prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,
            reasoning_tokens = :reasoning_tokens, cost = :cost, error = :error, notices = :notices,
            reply = :reply, reasoning = :reasoning
        WHERE conversation = :conversation AND number = :number
        """,
        {
            "conversation": turn.conversation,
            "number": turn.number,
            "status": result.status,
            "model": bound(result.model),
            "seconds": bound(result.seconds),
            "first_token": bound(result.first_token),
            "prompt_tokens": bound(result.usage.prompt_tokens),
            "completion_tokens": bound(result.usage.completion_tokens),
            "reasoning_tokens": bound(result.usage.reasoning_tokens),
            "cost": bound(result.cost),
            "error": bound(str(result.failure)) if result.failure else None,
            "notices": bound(result.notices),
            "reply": bound(result.reply),
            "reasoning": bound(result.reasoning),
        },
    ).rowcount
    require(changed, turn.conversation)
    connection.execute("UPDATE conversations SET updated = ? WHERE id = ?", (stamp(now()), turn.conversation))
    rows = (stored_call(turn.number, call) for call in result.calls)
    insert_calls(connection, turn.conversation, rows, replace=False)


def undo(connection: sqlite3.Connection, conversation: str) -> None:
    """Mark the last turn that has a reply as taken back."""
    connection.execute(
        """
        UPDATE turns SET status = 'undone' WHERE conversation = :conversation AND number = (
            SELECT max(number) FROM turns
            WHERE conversation = :conversation AND status IN ('done', 'partial') AND reply <> ''
        )
        """,
        {"conversation": conversation},
    )


def count(connection: sqlite3.Connection, conversation: str) -> int:
    """Return how many turns a conversation has, whatever became of them."""
    found = connection.execute(
        "SELECT count(*) FROM turns WHERE conversation = ?", (conversation,)
    ).fetchone()
    return int(found[0])


def insert_calls(
    connection: sqlite3.Connection, conversation: str, calls: Iterable[StoredCall], *, replace: bool
) -> None:
    """Insert calls; one whose slot has a call already takes its place if `replace`, else is left out."""
    rows: dict[int, int] = {}
    if replace:
        statement = _SAVE_CALL.replace("INSERT", "INSERT OR REPLACE", 1)
    else:
        statement = _SAVE_CALL + "ON CONFLICT (turn, round, slot) DO NOTHING"
    for call in calls:
        if call.turn not in rows:
            found = connection.execute(
                "SELECT id FROM turns WHERE conversation = ? AND number = ?", (conversation, call.turn)
            ).fetchone()
            require(found is not None, conversation)
            rows[call.turn] = found["id"]
        connection.execute(statement, bindings(call) | {"turn": rows[call.turn]})


def of(connection: sqlite3.Connection, conversation: str) -> list[Turn]:
    """Return all turns of a conversation, in order."""
    rows = connection.execute("SELECT * FROM turns WHERE conversation = ? ORDER BY number", (conversation,))
    return [turn_of(row) for row in rows]


def calls_of(connection: sqlite3.Connection, conversation: str, number: int | None) -> list[StoredCall]:
    """Return the calls of one turn, or of all turns in one query, by turn, round and slot."""
    rows = connection.execute(
        """
        SELECT turns.number AS turn, round, slot, role, calls.model, endpoint, calls.status, error_kind,
            error_message, text, calls.reasoning, calls.prompt_tokens, calls.completion_tokens,
            calls.reasoning_tokens, calls.cost, calls.first_token, calls.seconds, finish_reason, retries,
            partial
        FROM turns JOIN calls ON calls.turn = turns.id
        WHERE turns.conversation = :conversation AND turns.number BETWEEN :first AND :last
        ORDER BY turns.number, round, slot
        """,
        {
            "conversation": conversation,
            "first": 0 if number is None else number,
            "last": 2**63 - 1 if number is None else number,
        },
    )
    return [call_of(row) for row in rows]


def messages_of(connection: sqlite3.Connection, conversation: str, last: int) -> tuple[Message, ...]:
    """Return prompt and reply of the `last` turns that have one (-1: of all), as a model is given them."""
    rows = connection.execute(
        """
        SELECT prompt, reply FROM turns
        WHERE conversation = ? AND status IN ('done', 'partial') AND reply <> ''
        ORDER BY number DESC LIMIT ?
        """,
        (conversation, last),
    ).fetchall()
    return tuple(
        message
        for prompt, reply in reversed(rows)
        for message in (Message("user", prompt), Message("assistant", reply))
    )
