"""The tool calls of one answer, put together from the pieces that they stream in.

    {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "search", "arguments": ""}}]}
    {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}    and so on

Some services leave the index or the id out, or send the arguments as an object; what is in no known
form counts as nothing.
"""

from __future__ import annotations

import json
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
        self._calls: dict[object, _Pieces] = {}

    def add(self, pieces: object) -> int:
        """Add the `tool_calls` of a message or delta; returns how many characters were added."""
        if not isinstance(pieces, list):
            return 0
        return sum(self._add(piece) for piece in pieces if isinstance(piece, dict))

    def calls(self) -> tuple[ToolCall, ...]:
        """Return the calls, in the order in which they began. A missing id is made up."""
        return tuple(
            ToolCall(call.id or f"call_{place}", call.name, remove_joiners("".join(call.arguments)) or "{}")
            for place, call in enumerate(self._calls.values())
            if call.name
        )

    def _add(self, piece: dict[str, object]) -> int:
        function = piece.get("function")
        if not isinstance(function, dict):
            return 0
        identity, name, arguments = (piece.get("id"), function.get("name"), function.get("arguments"))
        call = self._call(piece.get("index"), identity)
        if call is None:
            return 0
        if isinstance(identity, str):
            call.id = call.id or identity
        if isinstance(name, str):
            call.name = call.name or name
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        return sum(len(text) for text in (name, arguments) if isinstance(text, str))

    def _call(self, index: object, identity: object) -> _Pieces | None:
        """Return the call that a piece belongs to, None beyond the most."""
        if not isinstance(index, int | str):
            # Without an index, a new id begins a call, and a piece without an id continues the last one.
            last = next(reversed(self._calls), None)
            index = f"id {identity}" if identity or last is None else last
        if index not in self._calls and len(self._calls) >= MAX_CALLS:
            return None
        return self._calls.setdefault(index, _Pieces())
