"""Reads an exported document back into a store. It trusts nothing: a document may be anyone's.

A key that is missing is taken as "not known" where the row has a default; a value of the wrong
type is an error that names its place. Unknown keys are left alone.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, get_args

from bot.errors import UsageError
from bot.history.documents import FORMAT, VERSION
from bot.store.rows import CallRole, CallStatus, Conversation, StoredCall, StoredStatus, Turn, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.store import Store

_LARGEST = 2**63 - 1
_SHOWN = 40  # characters of a wrong value that a message repeats

# What the annotation of a row's field asks of a value from JSON.
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "Mapping[str, Any]": (dict,),
}
_CHOICES = {
    "StoredStatus": get_args(StoredStatus),
    "CallStatus": get_args(CallStatus),
    "CallRole": get_args(CallRole),
}
_SAID = {str: "text", int: "a whole number", float: "a number", type(None): "null", dict: "an object"}


def import_json(store: Store, document: str | dict[str, Any]) -> Conversation:
    """Write an exported conversation (text, or parsed) into `store`; returns it as it is there.

    It keeps its id if that is free, else gets a new one. Raises UsageError where the document is
    not one, naming the place; nothing is written then.
    """
    parsed = _parsed(document) if isinstance(document, str) else document
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise UsageError("this is no exported conversation", "`moa-bot history export` writes them as JSON")
    if parsed.get("version") != VERSION:
        raise UsageError(
            f"this export is of version {_shown(parsed.get('version'))}, not {VERSION}", "update moa-bot"
        )
    conversation = Conversation(**_row(Conversation, parsed, "the document", {}))
    turns: list[Turn] = []
    calls: list[StoredCall] = []
    for index, entry in enumerate(_list(parsed, "turns", "the document")):
        where = f"turns[{index}]"
        _check_object(entry, where)
        row = _row(Turn, entry, where, {"conversation": conversation.id, "notices": _notices(entry, where)})
        turn = Turn(**row)
        turns.append(turn)
        for place, call in _calls(entry, where):
            calls.append(StoredCall(**_row(StoredCall, call, place, {"turn": turn.number})))
    _check_unique((turn.number for turn in turns), "turn number {}")
    _check_unique(((call.turn, call.round, call.slot) for call in calls), "turn, round and slot {}")
    return store.restore(conversation, turns, calls)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is no JSON: {error}", "`moa-bot history export` writes it") from error


def _row(row: type, entry: Any, where: str, known: dict[str, Any]) -> dict[str, Any]:
    """Collect a row's fields from an object of the document, checked against their annotations."""
    _check_object(entry, where)
    values = dict(known)
    for column in fields(row):
        name, wanted = column.name, str(column.type)
        if name in known:
            continue
        if name in entry:
            values[name] = _value(entry[name], wanted, f"{where}: {name}")
        elif column.default is MISSING and column.default_factory is MISSING:
            raise UsageError(f"{where} of the export has no {name}")
    return values


def _check_object(entry: object, where: str) -> None:
    if not isinstance(entry, dict):
        raise UsageError(f"{where} of the export must be an object")


def _value(value: object, wanted: str, where: str) -> object:
    if wanted == "datetime":
        try:
            return moment(value if isinstance(value, str) else "")
        except (ValueError, OverflowError, OSError) as error:
            raise UsageError(f"{where} must be a time, not {_shown(value)}") from error
    if wanted in _CHOICES:
        if value not in _CHOICES[wanted]:
            raise UsageError(f"{where} must be one of {', '.join(_CHOICES[wanted])}, not {_shown(value)}")
        return value
    kinds = _KINDS[wanted]
    # In Python, True is a whole number.
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise UsageError(f"{where} must be {' or '.join(_SAID[kind] for kind in kinds)}, not {_shown(value)}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise UsageError(f"{where} is too large a number")
    return float(value) if isinstance(value, int) and float in kinds else value


def _shown(value: object) -> str:
    """Show the beginning of a value in a message, with all that is not printable escaped."""
    said = ascii(value)
    return said if len(said) <= _SHOWN else said[:_SHOWN] + "…"


def _list(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    value = entry.get(key, [])
    if not isinstance(value, list):
        raise UsageError(f"{where}: {key} must be a list")
    return value


def _notices(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    notices = _list(entry, "notices", where)
    if not all(isinstance(notice, str) for notice in notices):
        raise UsageError(f"{where}: notices must be texts")
    return tuple(notices)


def _calls(entry: dict[str, Any], where: str) -> Iterator[tuple[str, object]]:
    """Yield every call of a turn with its place in the document."""
    for number, of_round in enumerate(_list(entry, "references", where)):
        if not isinstance(of_round, list):
            raise UsageError(f"{where}: references[{number}] must be a list")
        for slot, call in enumerate(of_round):
            yield f"{where}: references[{number}][{slot}]", call
    for slot, call in enumerate(_list(entry, "aggregator_calls", where)):
        yield f"{where}: aggregator_calls[{slot}]", call


def _check_unique(keys: Iterator[object], said: str) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"the export holds {said.format(key)} twice")
        seen.add(key)
