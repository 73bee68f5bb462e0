"""Tools and JSON replies: passed on to the aggregator, and what comes back to the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bot.messages import Completion, Message, ToolCall, Usage

Make = Callable[..., Any]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
CALL = ToolCall("call_1", "weather", '{"city":"Oslo"}')
CALL_JSON = {"id": CALL.id, "type": "function", "function": {"name": CALL.name, "arguments": CALL.arguments}}
CALLING = Completion("", usage=Usage(9, 3), finish_reason="tool_calls", tool_calls=(CALL,))
USER = {"role": "user", "content": "How is it in Oslo?"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
DOUBLING = {
    "$ref": "#/$defs/0",
    "$defs": {str(step): {"allOf": [{"$ref": f"#/$defs/{step + 1}"}] * 2} for step in range(60)} | {"60": {}},
}
JSON_OBJECT = {"type": "json_object"}


def post(app: Any, messages: Any = (USER,), **fields: Any) -> Any:
    async def ask() -> Any:
        async with app.client() as client:
            body = {"model": "moa", "messages": list(messages), **fields}
            return await client.post("/v1/chat/completions", json=body)

    return asyncio.run(ask())


def chunks(answer: Any) -> list[dict[str, Any]]:
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_comes_back(make: Make, *, stream: bool) -> None:
    """The aggregator alone is offered the tools as they came; its call ends the reply."""
    app = make({"judge": CALLING})
    answer = post(app, tools=[TOOL], tool_choice="required", parallel_tool_calls=False, stream=stream)
    [judge] = app.ask.to("judge")
    assert judge.extra["tools"] == [TOOL]
    assert (judge.extra["tool_choice"], judge.extra["parallel_tool_calls"]) == ("required", False)
    [a] = app.ask.to("a")
    assert "tools" not in a.extra
    # A reference reads what the functions are.
    assert "The weather of a city" in a.messages[0].content
    if not stream:
        [choice] = answer.json()["choices"]
        assert choice["message"] == {"role": "assistant", "content": None, "tool_calls": [CALL_JSON]}
        assert choice["finish_reason"] == "tool_calls"
        return
    deltas = [chunk["choices"][0] for chunk in chunks(answer)]
    assert deltas[0]["delta"] == {"role": "assistant", "tool_calls": [{"index": 0, **CALL_JSON}]}
    assert (deltas[-1]["delta"], deltas[-1]["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.parametrize(
    "fields", [{"tools": []}, {"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": "none"}]
)
def test_no_tool_may_be_called(make: Make, fields: dict[str, Any]) -> None:
    """Then none is passed on."""
    app = make()
    assert post(app, **fields).json()["choices"][0]["message"]["content"] == "the reply"
    assert not any({"tools", "tool_choice"} & set(request.extra) for request in app.ask.requests)


def test_the_result_of_a_tool(make: Make) -> None:
    """Calls and results reach the aggregator in their own form and the references as text."""
    app = make()
    result = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    answer = post(
        app, [USER, {"role": "assistant", "content": None, "tool_calls": [CALL_JSON]}, result], tools=[TOOL]
    )
    assert answer.json()["choices"][0]["message"]["content"] == "the reply"
    _, *asked = app.ask.to("a")[0].messages
    assert asked == [
        Message("user", USER["content"]),
        Message("assistant", f"[call of the tool weather: {CALL.arguments}]"),
        Message("user", "[result of the tool weather]\nrain"),
    ]
    _, question, call, returned, answers = app.ask.to("judge")[0].messages
    assert question == Message("user", USER["content"])
    assert call == Message("assistant", "", tool_calls=(CALL,))
    assert returned == Message("tool", "rain", tool_call_id="call_1")
    assert "answer of a" in answers.content


def test_a_text_before_the_calls(make: Make) -> None:
    """Both are sent."""
    both = Completion("Let me look.", finish_reason="tool_calls", tool_calls=(CALL,))
    message = post(make({"judge": both}), tools=[TOOL]).json()["choices"][0]["message"]
    assert (message["content"], message["tool_calls"]) == ("Let me look.", [CALL_JSON])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("form", "reply", "text"),
    [
        (JSON_OBJECT, '{"a": 1}', '{"a": 1}'),
        (JSON_OBJECT, '\n```json\n{"a": 1}\n```\n', '{"a": 1}'),
        (JSON_SCHEMA, '{"a": 1}', '{"a": 1}'),
        (JSON_SCHEMA, '```\n{"a": 1}```', '{"a": 1}'),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}, "[1]", "[1]"),
        # Without a schema, and with one that is never applied as a regular expression.
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "{}", "{}"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"pattern": "(a+)+$"}}},
            f'"{"a" * 40}b"',
            f'"{"a" * 40}b"',
        ),
    ],
)
def test_a_reply_in_json(make: Make, form: Any, reply: str, text: str, *, stream: bool) -> None:
    """The format is passed on to the aggregator alone; a code fence is left out of the reply."""
    app = make({"judge": reply})
    answer = post(app, response_format=form, stream=stream)
    assert app.ask.to("judge")[0].extra["response_format"] == form
    assert "response_format" not in app.ask.to("a")[0].extra
    assert "JSON" in app.ask.to("judge")[0].messages[0].content
    if stream:
        deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks(answer)]
        assert "".join(filter(None, deltas)) == text
    else:
        assert answer.json()["choices"][0]["message"]["content"] == text


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("form", "reply", "status"),
    [
        (JSON_OBJECT, "Sure: {}", 502),
        (JSON_OBJECT, "[1]", 502),
        (JSON_OBJECT, "[" * 100_000, 502),
        (JSON_SCHEMA, '{"a": "one"}', 502),
        (JSON_SCHEMA, "{}", 502),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#/nothing"}}}, "{}", 400),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}}, "{}", 400),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": DOUBLING}}, "{}", 400),
        # Nothing is fetched.
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://127.0.0.1:9/x"}}},
            "{}",
            400,
        ),
    ],
)
def test_a_reply_that_is_not_the_json(
    make: Make, form: Any, reply: str, status: int, *, stream: bool
) -> None:
    """An error, and nothing of the reply."""
    answer = post(make({"judge": reply}), response_format=form, stream=stream)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in ("invalid_reply", "invalid_schema")


def test_json_that_ends_at_the_limit(make: Make) -> None:
    """As in the API: what there is, with the finish reason "length"."""
    cut = Completion('{"a": ', usage=Usage(1, 1), finish_reason="length")
    [choice] = post(make({"judge": cut}), response_format=JSON_OBJECT).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"a": ', "length")


def test_the_rest_of_a_beginning(make: Make) -> None:
    """The reply continues the last message of the assistant."""
    app = make({"judge": "It is the mat."})
    messages = [USER, {"role": "assistant", "content": "It is"}]
    assert post(app, messages).json()["choices"][0]["message"]["content"] == " the mat."
    assert app.ask.to("a")[0].messages[-1] == Message("user", USER["content"])


@pytest.mark.parametrize("mode", ["fusion", "rank"])
@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"response_format": JSON_OBJECT},
        {"messages": [USER, {"role": "assistant", "content": "{"}]},
    ],
)
def test_other_modes(make: Make, monkeypatch: pytest.MonkeyPatch, mode: str, fields: dict[str, Any]) -> None:
    """The aggregator writes such a reply itself, in one call, whatever the mode."""
    monkeypatch.setenv("MOA_BOT_MODE", mode)
    app = make({"judge": "{}"})
    assert post(app, **fields).status_code == 200
    assert [request.model for request in app.ask.requests] == ["a", "b", "judge"]
