"""Tool calls as services stream them."""

from __future__ import annotations

from typing import Any

import pytest

from bot.client.tool_calls import MAX_CALLS, ToolCallBuilder
from bot.messages import ToolCall
from bot.text.turn_markers import JOINER


def piece(arguments: Any = "", name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments, **({"name": name} if name else {})}, **more}


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([piece('{"a":', "f", index=0, id="x"), piece("1}", index=0)], [("x", "f", '{"a":1}')]),
        ([piece('{"a":', "f", index=0, id="x"), piece("1}", index=0, id="x")], [("x", "f", '{"a":1}')]),
        ([piece("", "f", index=0), piece("", "g", index=1)], [("call_0", "f", "{}"), ("call_1", "g", "{}")]),
        # Without an index: a new id is a new call.
        ([piece("1", "f", id="x"), piece("2"), piece("3", "g", id="y")], [("x", "f", "12"), ("y", "g", "3")]),
        ([piece({"a": 1}, "f")], [("call_0", "f", '{"a": 1}')]),
        # A marker that the model repeats from its prompt has the joiner of `defuse`.
        ([piece('"<', "f", index=0), piece(f'{JOINER}s>"', index=0)], [("call_0", "f", '"<s>"')]),
        ([piece({"a": f"[{JOINER}INST]"}, "f")], [("call_0", "f", '{"a": "[INST]"}')]),
        ([piece(None, "f", id=5)], [("call_0", "f", "{}")]),
        ([piece("1")], []),
        ([{"function": "f"}, {}, "f", None], []),
        (None, []),
        ("f", []),
    ],
)  # fmt: skip
def test_the_pieces_of_a_call(pieces: Any, calls: list[tuple[str, str, str]]) -> None:
    """All together or one by one, the calls are the same."""
    expected = tuple(ToolCall(*call) for call in calls)
    together, alone = ToolCallBuilder(), ToolCallBuilder()
    together.add(pieces)
    for each in pieces if isinstance(pieces, list) else [pieces]:
        alone.add([each])
    assert together.calls() == alone.calls() == expected


def test_too_many_calls() -> None:
    """Only so many are kept."""
    builder = ToolCallBuilder()
    builder.add([piece("1", "f", index=index) for index in range(2 * MAX_CALLS)])
    assert len(builder.calls()) == MAX_CALLS
