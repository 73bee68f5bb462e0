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
        ([piece("{", "f", id=5), piece("}", id=5)], [("call_0", "f", "{}")]),
        # Two at once, in pieces that alternate.
        (
            [
                *(piece("[", "f", index=0, id="x"), piece("{", "g", index=1, id="y")),
                *(piece("]", index=0), piece("}", index=1)),
            ],
            [("x", "f", "[]"), ("y", "g", "{}")],
        ),
        # All with the index 0.
        (
            [piece("{}", "f", index=0, id="x"), piece("{}", "g", index=0, id="y")],
            [("x", "f", "{}"), ("y", "g", "{}")],
        ),
        (
            [
                *(piece("", "f", index=0, id="x"), piece("[]", index=0)),
                *(piece("", "f", index=0, id="y"), piece("{}", index=0)),
            ],
            [("x", "f", "[]"), ("y", "f", "{}")],
        ),
        # Whole calls without index and id.
        ([piece("{}", "f"), piece("{}", "g")], [("call_0", "f", "{}"), ("call_1", "g", "{}")]),
        (
            [piece('{"a":1}', "f"), piece('{"a":2}', "f")],
            [("call_0", "f", '{"a":1}'), ("call_1", "f", '{"a":2}')],
        ),
        # The name again in each piece, another id in each piece.
        ([piece('{"a":', "f"), piece("1}", "f")], [("call_0", "f", '{"a":1}')]),
        ([piece('{"a":', "f", index=0, id="x"), piece("1}", index=0, id="z")], [("x", "f", '{"a":1}')]),
        (
            [piece('{"a":', "f", id="x"), piece("{", "g", id="y"), piece("1}", id="x")],
            [("x", "f", '{"a":1}'), ("y", "g", "{")],
        ),
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
    together.add({"tool_calls": pieces})
    for each in pieces if isinstance(pieces, list) else [pieces]:
        alone.add({"tool_calls": [each]})
    assert together.calls() == alone.calls() == expected


def test_the_older_form() -> None:
    """One call without an id, whole or in pieces."""
    builder = ToolCallBuilder()
    for function in ({"name": "f", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": "1}"}):
        builder.add({"function_call": function})
    assert builder.calls() == (ToolCall("call_0", "f", '{"a":1}'),)


def test_too_many_calls() -> None:
    """Only so many are kept."""
    builder = ToolCallBuilder()
    builder.add({"tool_calls": [piece("1", "f", index=index) for index in range(2 * MAX_CALLS)]})
    assert len(builder.calls()) == MAX_CALLS
