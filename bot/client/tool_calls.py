"""The tool calls of one answer, put together from the pieces that they stream in.

    {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "search", "arguments": ""}}]}
    {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}    and so on

Some services leave the index or the id out, give all calls the index 0, send each whole, the arguments as an
object, or one call in the older form {"function_call": {"name": "search", "arguments": "{}"}}. What is in no
known form counts as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.messages import ToolCall
from bot.text.turn_markers import remove_joiners

MAX_CALLS = 128
"""Of one answer; what comes after them is left out."""


@dataclass(slots=True)
class _Pieces:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallBuilder:
    """Collects the pieces of an answer's tool calls."""

    def __init__(self) -> None:
        self._calls: list[_Pieces] = []
        self._at: dict[object, _Pieces] = {}
        """The last call of each index; None for pieces without one."""

    def add(self, message: Mapping[str, object]) -> int:
        """Add the tool calls of a message or delta; returns how many characters were added."""
        pieces = message.get("tool_calls")
        if not isinstance(pieces, list):
            older = message.get("function_call")
            pieces = [{"index": 0, "function": older}] if isinstance(older, dict) else []
        return sum(self._add(piece) for piece in pieces if isinstance(piece, dict))

    def calls(self) -> tuple[ToolCall, ...]:
        """Return the calls, in the order in which they began. A missing id is made up."""
        return tuple(
            ToolCall(call.id or f"call_{place}", call.name, remove_joiners("".join(call.arguments)) or "{}")
            for place, call in enumerate(self._calls)
            if call.name
        )

    def _add(self, piece: dict[str, object]) -> int:
        function = piece.get("function")
        if not isinstance(function, dict):
            return 0
        name, arguments = function.get("name"), function.get("arguments")
        identity = given if isinstance(given := piece.get("id"), str) else ""
        call = self._call(piece.get("index"), identity, name)
        if call is None:
            return 0
        call.id = call.id or identity
        if isinstance(name, str):
            call.name = call.name or name
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        return sum(len(text) for text in (name, arguments) if isinstance(text, str))

    def _call(self, index: object, identity: str, name: object) -> _Pieces | None:
        """Return the call that a piece belongs to, None beyond the most."""
        place = index if isinstance(index, int | str) else None
        call = self._at.get(place)
        if place is None and identity:
            call = next(
                (each for each in self._calls if each.id == identity), None if call and call.id else call
            )
        elif call is not None and self._is_next(call, identity, name):
            call = None
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                return None
            call = _Pieces()
            self._calls.append(call)
        self._at[place] = call
        return call

    def _is_next(self, call: _Pieces, identity: str, name: object) -> bool:
        """Whether a piece begins another call than the one before it at the same place."""
        if not (isinstance(name, str) and name and call.name):
            return False
        if identity and call.id:
            return identity != call.id
        return not identity and (name != call.name or _is_whole("".join(call.arguments)))


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True
