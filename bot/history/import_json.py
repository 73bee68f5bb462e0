"""Reads an exported document back into a store. It trusts nothing: a document may be anyone's.

The rows' own fields are checked with pydantic. A key that is missing means "not known" where the
row has a default; a value of the wrong type is an error that names its place. Unknown keys are
ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from bot.analysis import stored_analysis
from bot.errors import UsageError
from bot.history.documents import FORMAT, VERSION
from bot.store.rows import StoredCall, StoredConversation, StoredTurn, parse_time
from bot.tool_use import stored_runs
from bot.turn_result import stored_panel, stored_shadow

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from bot.store import Store

_LARGEST = 2**63 - 1
_SHOWN = 40  # characters of a wrong value that a message repeats
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "an object",
    "list_type": "a list",
    "value_error": "a time",
}
"""What a message says was expected, by the type of pydantic's error."""


def _moment(value: object) -> datetime:
    try:
        return parse_time(value if isinstance(value, str) else "")
    except (OverflowError, OSError) as error:
        raise ValueError from error


_Integer = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
_CHECKED: dict[Any, Any] = {
    int: _Integer,
    int | None: _Integer | None,
    datetime: Annotated[datetime, BeforeValidator(_moment)],
    Mapping[str, Any]: dict[str, Any],
    Mapping[str, Any] | None: dict[str, Any] | None,
    tuple[str, ...]: list[str],
    tuple[Mapping[str, Any], ...]: list[dict[str, Any]],
}
"""How a row's field is checked whose value in JSON is not simply of the field's own type."""


def _model(row: type, omitted: str = "", **added: Any) -> type[BaseModel]:
    """Return a model for a row's object in the document: the row's fields but one, and `added` ones."""
    hints = get_type_hints(row, localns={"Mapping": Mapping})
    columns: dict[str, Any] = {}
    for column in fields(row):
        default = column.default
        if column.default_factory is not MISSING:
            default = Field(default_factory=column.default_factory)
        checked = _CHECKED.get(hints[column.name], hints[column.name])
        columns[column.name] = (checked, ... if default is MISSING else default)
    columns.pop(omitted, None)
    return create_model(row.__name__, __config__=ConfigDict(strict=True), **columns, **added)


_Call = _model(StoredCall, "turn")
_Calls: Any = (list[_Call], [])  # type: ignore[valid-type]
_turn_fields: Any = {
    "references": (list[list[_Call]], []),  # type: ignore[valid-type]
    "drafts": _Calls,
    "reviews": (list[list[_Call]], []),  # type: ignore[valid-type]
    "judge_calls": _Calls,
    "aggregator_calls": _Calls,
    "shadow_calls": _Calls,
}
_Turn = _model(StoredTurn, "conversation", **_turn_fields)
_Document = _model(StoredConversation, turns=(list[_Turn], []))  # type: ignore[valid-type]


def import_json(store: Store, document: str | dict[str, Any]) -> StoredConversation:
    """Write an exported conversation (text, or parsed) into `store`; returns it as it is there.

    It keeps its id if that is free, else gets a new one. Raises UsageError where the document is
    not one, naming the place; nothing is written then.
    """
    parsed = _parsed(document) if isinstance(document, str) else document
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise UsageError(
            "this is not an exported conversation", "`moa-bot history export` writes them as JSON"
        )
    if parsed.get("version") != VERSION:
        raise UsageError(
            f"this export is of version {_shown(parsed.get('version'))}, not {VERSION}", "update moa-bot"
        )
    try:
        checked: Any = _Document.model_validate(parsed)
    except ValidationError as error:
        raise UsageError(_message(error.errors(include_url=False)[0])) from None
    conversation = StoredConversation(**_values(StoredConversation, checked))
    turns, calls = [], []
    for entry in checked.turns:
        analysis, panel = stored_analysis(entry.analysis), stored_panel(entry.panel)
        shadow = stored_shadow(entry.shadow)
        read = {
            "notices": tuple(entry.notices),
            "analysis": analysis.as_json() if analysis else None,
            "panel": panel.as_json() if panel else None,
            "shadow": shadow.as_json() if shadow else None,
        }
        turns.append(StoredTurn(conversation.id, **_values(StoredTurn, entry) | read))
        for group in (
            *entry.references,
            entry.drafts,
            *entry.reviews,
            entry.judge_calls,
            entry.aggregator_calls,
            entry.shadow_calls,
        ):
            calls += [_stored_call(entry.number, call) for call in group]
    _check_unique((turn.number for turn in turns), "turn number {}")
    _check_unique(((call.turn, call.round, call.slot) for call in calls), "turn, round and slot {}")
    return store.restore(conversation, turns, calls)


def _stored_call(turn: int, call: Any) -> StoredCall:
    tools = tuple(run.as_json() for run in stored_runs(call.tools))
    return StoredCall(turn, **_values(StoredCall, call) | {"tools": tools})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is not JSON: {error}", "`moa-bot history export` writes it") from error


def _values(row: type, checked: Any) -> dict[str, Any]:
    names = (column.name for column in fields(row))
    return {name: getattr(checked, name) for name in names if hasattr(checked, name)}


def _message(error: ErrorDetails) -> str:
    """Write one of pydantic's errors in a line, beginning with its place in the document."""
    parts: list[str] = []
    for step in error["loc"]:
        if isinstance(step, int):
            parts[-1] += f"[{step}]"
        else:
            parts.append(step)
    *outer, name = parts
    match error["type"]:
        case "missing":
            return f"{': '.join(outer) or 'the document'} of the export has no {name}"
        case "model_type":
            return f"{': '.join(parts)} of the export must be an object"
        case "greater_than_equal" | "less_than_equal":
            wrong = "is too large a number"
        case "literal_error":
            wrong = f"must be one of {error['ctx']['expected']}, not {_shown(error['input'])}"
        case kind:
            wrong = f"must be {_EXPECTED.get(kind, error['msg'])}, not {_shown(error['input'])}"
    return f"{': '.join(outer) or 'the document'}: {name} {wrong}"


def _shown(value: object) -> str:
    """Show the beginning of a value in a message, with all that is not printable escaped."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _check_unique(keys: Iterator[object], what: str) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"the export holds {what.format(key)} twice")
        seen.add(key)
