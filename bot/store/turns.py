"""SQL about turns and their calls. Every function takes a connection; transactions are the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.messages import Message
from bot.store import images
from bot.store.conversations import require_conversation
from bot.store.conversion import (
    call_from_row,
    readable,
    sql_value,
    sql_values,
    storable,
    stored_call,
    turn_from_row,
)
from bot.store.rows import StoredCall, StoredTurn, TurnId, format_time, now

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from bot.turn_result import TurnResult

_SAVE_CALL = """
    INSERT INTO calls (
        turn, round, slot, role, model, endpoint, status, error_kind, error_message, prompt_tokens,
        completion_tokens, reasoning_tokens, cost, first_token, seconds, finish_reason, retries,
        partial, text, reasoning, cached_tokens, tools
    ) VALUES (
        :turn, :round, :slot, :role, :model, :endpoint, :status, :error_kind, :error_message, :prompt_tokens,
        :completion_tokens, :reasoning_tokens, :cost, :first_token, :seconds, :finish_reason, :retries,
        :partial, :text, :reasoning, :cached_tokens, :tools
    )
    """


def begin(connection: sqlite3.Connection, conversation: str, prompt: str, status: str) -> TurnId:
    """Insert a turn that has no reply yet under the next number."""
    time = format_time(now())
    changed = connection.execute(
        "UPDATE conversations SET updated = ? WHERE id = ?", (time, conversation)
    ).rowcount
    require_conversation(changed, conversation)
    number: int = connection.execute(
        # In a damaged row it may be a text.
        """
        SELECT coalesce(max(number), 0) + 1 FROM turns
        WHERE conversation = ? AND typeof(number) = 'integer'
        """,
        (conversation,),
    ).fetchone()[0]
    connection.execute(
        """
        INSERT INTO turns (conversation, number, created, status, model, notices, prompt, reply, reasoning)
        VALUES (?, ?, ?, ?, '', '[]', ?, '', '')
        """,
        (conversation, number, time, status, storable(prompt)),
    )
    return TurnId(conversation, number)


def insert(connection: sqlite3.Connection, turn: StoredTurn) -> None:
    """Insert a turn as it is, under its own number."""
    connection.execute(
        """
        INSERT INTO turns (
            conversation, number, created, status, model, seconds, first_token, prompt_tokens,
            completion_tokens, reasoning_tokens, cached_tokens, cost, error, notices, prompt, reply,
            reasoning, analysis, panel, shadow
        ) VALUES (
            :conversation, :number, :created, :status, :model, :seconds, :first_token, :prompt_tokens,
            :completion_tokens, :reasoning_tokens, :cached_tokens, :cost, :error, :notices, :prompt, :reply,
            :reasoning, :analysis, :panel, :shadow
        )
        """,
        sql_values(turn),
    )


def finish(connection: sqlite3.Connection, turn: TurnId, result: TurnResult, status: str) -> None:
    """Complete a turn, and insert those of its calls that are not there yet."""
    changed = connection.execute(
        """
        UPDATE turns SET
            status = :status, model = :model, seconds = :seconds, first_token = :first_token,
            prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,
            reasoning_tokens = :reasoning_tokens, cached_tokens = :cached_tokens, cost = :cost,
            error = :error, notices = :notices, reply = :reply, reasoning = :reasoning,
            analysis = :analysis, panel = :panel, shadow = :shadow
        WHERE conversation = :conversation AND number = :number
        """,
        {
            "conversation": turn.conversation,
            "number": turn.number,
            "status": status,
            "model": sql_value(result.model),
            "seconds": sql_value(result.seconds),
            "first_token": sql_value(result.first_token),
            "prompt_tokens": sql_value(result.usage.prompt_tokens),
            "completion_tokens": sql_value(result.usage.completion_tokens),
            "reasoning_tokens": sql_value(result.usage.reasoning_tokens),
            "cached_tokens": sql_value(result.usage.cached_tokens),
            "cost": sql_value(result.cost),
            "error": sql_value(str(result.failure)) if result.failure else None,
            "notices": sql_value(result.notices),
            "reply": sql_value(result.reply),
            "reasoning": sql_value(result.reasoning),
            "analysis": sql_value(result.analysis.as_json() if result.analysis else None),
            "panel": sql_value(result.panel.as_json() if result.panel else None),
            "shadow": sql_value(result.shadow.as_json() if result.shadow else None),
        },
    ).rowcount
    require_conversation(changed, turn.conversation)
    connection.execute(
        "UPDATE conversations SET updated = ? WHERE id = ?", (format_time(now()), turn.conversation)
    )
    rows = (stored_call(turn.number, call) for call in result.calls)
    insert_calls(connection, turn.conversation, rows, replace=False)


def change_reply(connection: sqlite3.Connection, conversation: str, result: TurnResult) -> None:
    """Give the last turn that is over and was not undone another reply; then it is done."""
    connection.execute(
        """
        UPDATE turns SET
            status = 'done', error = NULL, model = :model, notices = :notices, reply = :reply,
            reasoning = :reasoning
        WHERE conversation = :conversation AND number = (
            SELECT max(number) FROM turns
            WHERE conversation = :conversation AND status IN ('done', 'partial', 'failed')
        )
        """,
        {
            "conversation": conversation,
            "model": sql_value(result.model),
            "notices": sql_value(result.notices),
            "reply": sql_value(result.reply),
            "reasoning": sql_value(result.reasoning),
        },
    )


def mark_undone(connection: sqlite3.Connection, conversation: str) -> None:
    """Mark the last turn that has a reply as undone."""
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
    """Return how many turns a conversation has, whatever their status."""
    found = connection.execute(
        "SELECT count(*) FROM turns WHERE conversation = ?", (conversation,)
    ).fetchone()
    return int(found[0])


def insert_calls(
    connection: sqlite3.Connection, conversation: str, calls: Iterable[StoredCall], *, replace: bool
) -> None:
    """Insert calls; one whose slot has a call already replaces it if `replace`, else is left out."""
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
            require_conversation(found is not None, conversation)
            rows[call.turn] = found["id"]
        connection.execute(statement, sql_values(call) | {"turn": rows[call.turn]})


def list_turns(
    connection: sqlite3.Connection, conversation: str, skip: Callable[[str], None]
) -> list[StoredTurn]:
    """Return the turns of a conversation that can be read, in order."""
    rows = connection.execute("SELECT * FROM turns WHERE conversation = ? ORDER BY number", (conversation,))
    return readable(rows, turn_from_row, skip)


def list_calls(
    connection: sqlite3.Connection, conversation: str, number: int | None, skip: Callable[[str], None]
) -> list[StoredCall]:
    """Return the calls of one turn, or of all turns in one query, by turn, round and slot."""
    rows = connection.execute(
        """
        SELECT turns.number AS turn, round, slot, role, calls.model, endpoint, calls.status, error_kind,
            error_message, text, calls.reasoning, calls.prompt_tokens, calls.completion_tokens,
            calls.reasoning_tokens, calls.cached_tokens, calls.cost, calls.first_token, calls.seconds,
            finish_reason, retries, partial, tools
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
    return readable(rows, call_from_row, skip)


def has_answered(connection: sqlite3.Connection, endpoint: str, model: str) -> bool:
    """Return whether there is an answered call to this model; the newest calls are looked at first."""
    found = connection.execute(
        """
        SELECT 1 FROM calls WHERE endpoint = ? AND model = ? AND status = 'done'
        ORDER BY rowid DESC LIMIT 1
        """,
        (storable(endpoint), storable(model)),
    ).fetchone()
    return found is not None


def list_messages(
    connection: sqlite3.Connection, conversation: str, last: int, skip: Callable[[str], None]
) -> tuple[Message, ...]:
    """Return the messages of the last `last` turns that have a reply (-1: of all of them), in order."""
    rows = connection.execute(
        """
        SELECT number, prompt, reply FROM turns
        WHERE conversation = ? AND status IN ('done', 'partial') AND reply <> ''
            AND typeof(prompt) = 'text' AND typeof(reply) = 'text'
        ORDER BY number DESC LIMIT ?
        """,
        (conversation, last),
    ).fetchall()
    if not rows:
        return ()
    kept = images.by_turn(connection, conversation, rows[-1][0], rows[0][0], skip)
    return tuple(
        message
        for number, prompt, reply in reversed(rows)
        for message in (
            Message("user", prompt, images=kept.get(number, ())),
            Message("assistant", reply),
        )
    )
