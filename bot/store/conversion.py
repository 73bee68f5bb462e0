"""The store's rows on their way into and out of SQLite.

Text: SQLite holds Unicode only. Surrogates that make a pair become the character they stand for;
a lone one (piped bytes that are not UTF-8 can hold them) becomes U+FFFD, the replacement
character. All other text, NUL included, is stored and read unchanged.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from bot.store.rows import (
    CallRole,
    CallStatus,
    StoredCall,
    StoredConversation,
    StoredStatus,
    StoredTurn,
    format_time,
    parse_time,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from bot.turn_result import Call

SqlValue = str | float | int | None
"""The type of an SQL parameter."""

_LARGEST = 2**63 - 1

_Value = TypeVar("_Value")
_Row = TypeVar("_Row", "StoredConversation", "StoredTurn", "StoredCall")

_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
}
"""The types that a column may have, by the annotation of its field."""
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "StoredStatus": get_args(StoredStatus),
    "CallStatus": get_args(CallStatus),
    "CallRole": get_args(CallRole),
}


class UnreadableRecordError(ValueError):
    """A record that this program has not written so; the message names it and the column."""


def storable(text: str) -> str:
    """Return `text` as SQLite can hold it: no surrogates (see the module's docstring)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def sql_values(row: StoredConversation | StoredTurn | StoredCall) -> dict[str, SqlValue]:
    """Return the row's fields as named SQL parameters."""
    values = {column.name: sql_value(getattr(row, column.name)) for column in fields(row)}
    if values.get("status") == "interrupted":
        # The database calls it "open": the program that began it may still be running.
        values["status"] = "open"
    return values


def sql_value(value: object) -> SqlValue:
    """Return one value as an SQL parameter; a number that SQLite or JSON cannot hold becomes None."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -_LARGEST <= value <= _LARGEST else None
    if isinstance(value, datetime):
        return format_time(value)
    if value is None:
        return None
    return storable(json.dumps(value, ensure_ascii=False))


def readable(
    rows: Iterable[sqlite3.Row], read: Callable[[sqlite3.Row], _Value], skip: Callable[[str], None]
) -> list[_Value]:
    """Return the rows that can be read; `skip` is called with what the others are and what is wrong."""
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except UnreadableRecordError as problem:
            skip(str(problem))
    return found


def conversation_from_row(row: sqlite3.Row) -> StoredConversation:
    """Read a row of the table `conversations`. Raises UnreadableRecordError."""
    where = f"conversation {_shown(row['id'])}"
    conversation = StoredConversation(
        id=row["id"],
        title=row["title"],
        created=column(row, "created", parse_time, where),
        updated=column(row, "updated", parse_time, where),
        settings=column(row, "settings", _object, where),
        system=row["system"],
    )
    return _checked(conversation, where)


def turn_from_row(row: sqlite3.Row) -> StoredTurn:
    """Read a row of the table `turns`. Raises UnreadableRecordError."""
    where = f"turn {_shown(row['number'])} of conversation {_shown(row['conversation'])}"
    values: dict[str, Any] = dict(row)
    del values["id"]
    values["created"] = column(row, "created", parse_time, where)
    values["notices"] = column(row, "notices", _texts, where)
    for name in ("analysis", "panel", "shadow"):
        values[name] = column(row, name, lambda text: None if text is None else _object(text), where)
    if values["status"] == "open":
        values["status"] = "interrupted"
    return _checked(StoredTurn(**values), where)


def call_from_row(row: sqlite3.Row) -> StoredCall:
    """Read a row of the table `calls`, with its turn's number as `turn`. Raises UnreadableRecordError."""
    where = f"call {_shown(row['slot'])} in round {_shown(row['round'])} of turn {_shown(row['turn'])}"
    tools = column(row, "tools", lambda text: () if text is None else tuple(json.loads(text)), where)
    return _checked(StoredCall(**{**dict(row), "tools": tools}), where)


def column(row: sqlite3.Row, name: str, read: Callable[[Any], _Value], where: str) -> _Value:
    """Return a column's value as `read` reads it. Raises UnreadableRecordError, which names `where`."""
    try:
        return read(row[name])
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _unreadable(where, name) from None


def _checked(row: _Row, where: str) -> _Row:
    """Return the row if every field has a value of its type. Raises UnreadableRecordError."""
    for each in fields(row):
        value, kind = getattr(row, each.name), str(each.type)
        good = value in _CHOICES[kind] if kind in _CHOICES else isinstance(value, _TYPES.get(kind, object))
        if not good or (isinstance(value, float) and not math.isfinite(value)):
            raise _unreadable(where, each.name)
    return row


def _unreadable(where: str, name: str) -> UnreadableRecordError:
    return UnreadableRecordError(f"{where} cannot be read: wrong {name}")


def _shown(value: object) -> str:
    """Return a key for a message, short and on one line, whatever it is."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:40])


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _texts(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    if not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise TypeError
    return tuple(value)


def stored_call(turn: int, call: Call) -> StoredCall:
    """Return the row of a finished call of turn number `turn`."""
    slot, completion, failure = call.slot, call.completion, call.failure
    row = StoredCall(
        turn=turn,
        round=slot.round,
        slot=slot.index,
        role=slot.role,
        model=slot.agent.model,
        endpoint=slot.agent.endpoint,
        status="failed" if failure else "done",
        error_kind=str(failure.kind) if failure else None,
        error_message=failure.message if failure else None,
        cost=call.cost,
        tools=tuple(run.as_json() for run in call.tool_runs),
    )
    if completion is None:
        return row
    return replace(
        row,
        text=completion.text,
        reasoning=completion.reasoning,
        prompt_tokens=completion.usage.prompt_tokens,
        completion_tokens=completion.usage.completion_tokens,
        reasoning_tokens=completion.usage.reasoning_tokens,
        cached_tokens=completion.usage.cached_tokens,
        first_token=completion.first_token,
        seconds=completion.seconds,
        finish_reason=completion.finish_reason,
        retries=completion.retries,
        partial=completion.partial,
    )
