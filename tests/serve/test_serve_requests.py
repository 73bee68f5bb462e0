"""What a request may contain; where a stream ends; which addresses are loopback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Failure, FailureKind
from bot.messages import Message, ToolCall
from bot.serve.api_errors import ApiError, error_for
from bot.serve.chat_request import parse_chat_request
from bot.serve.request_schema import MoaOptions
from bot.serve.request_turn import StopCutter
from bot.serve.turn_request import WITHOUT_PROMPT, Conversation, TurnRequest
from bot.settings.endpoints import is_loopback

USER = {"role": "user", "content": "why?"}


def read(**fields: Any) -> TurnRequest:
    return parse_chat_request(json.dumps({"model": "moa", "messages": [USER], **fields}).encode())


FUNCTION = {"type": "function", "function": {"name": "f"}}


def schema(value: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}


def test_a_conversation_is_divided() -> None:
    """System messages are joined, the last user message is the prompt, the rest is the history."""
    divided = read(
        messages=[
            {"role": "system", "content": "one"},
            USER,
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "cause"}],
            },
            {"role": "developer", "content": "two"},
            {"role": "user", "content": [{"type": "text", "text": "and then?"}]},
        ]
    ).conversation
    assert divided.system == "one\n\ntwo"
    assert divided.history == (Message("user", "why?"), Message("assistant", "be\ncause"))
    assert divided.prompt == "and then?"


SYSTEM, CONTINUED = {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "It is"}
CALLS = {
    "role": "assistant",
    "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "x", "content": "4"}
CALLED = Message("assistant", "", tool_calls=(ToolCall("x", "f", "{}"),))
RETURNED = Message("tool", "4", tool_call_id="x")
WHY = Message("user", "why?")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # Only a system message: it is the prompt.
        ([SYSTEM], Conversation(prompt="Be brief.")),
        ([SYSTEM, {"role": "developer", "content": "Now."}], Conversation(prompt="Be brief.\n\nNow.")),
        # A last message of the assistant: the reply continues it.
        ([USER, CONTINUED], Conversation(prompt="why?", prefill="It is")),
        ([SYSTEM, USER, CONTINUED], Conversation("Be brief.", (), "why?", (), "It is")),
        ([SYSTEM, CONTINUED], Conversation(prompt="Be brief.", prefill="It is")),
        ([CONTINUED], Conversation(prompt=WITHOUT_PROMPT, prefill="It is")),
        ([USER, CONTINUED, CONTINUED], Conversation(prompt="why?", prefill="It is\n\nIt is")),
        ([USER, {"role": "assistant", "content": ""}], Conversation(prompt="why?")),
        ([USER, CONTINUED, SYSTEM], Conversation("Be brief.", (), "why?", (), "It is")),
        # Tools.
        ([USER, CALLS, RESULT], Conversation(prompt="why?", after=(CALLED, RETURNED))),
        ([USER, CALLS, RESULT, CONTINUED], Conversation(None, (), "why?", (CALLED, RETURNED), "It is")),
        ([USER, CALLS, RESULT, USER], Conversation(history=(WHY, CALLED, RETURNED), prompt="why?")),
        ([SYSTEM, CALLS, RESULT], Conversation(prompt="Be brief.", after=(CALLED, RETURNED))),
        ([USER, USER], Conversation(history=(WHY,), prompt="why?")),
        # Parts are paragraphs of their own.
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            Conversation(prompt="a\nb"),
        ),
    ],
)  # fmt: skip
def test_how_a_conversation_can_end(messages: Any, expected: Conversation) -> None:
    """Whatever stands last, something is asked."""
    assert read(messages=messages).conversation == expected


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_no_limit_of_tokens(field: str) -> None:
    """-1 is the same as nothing."""
    assert read(**{field: -1}).max_tokens is None


def test_what_is_asked_for() -> None:
    """Every field that a mixture supports is read; null means absent."""
    chat_request = read(
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        max_tokens=7,
        max_completion_tokens=9,
        seed=-1,
        stop="END",
        moa={"references": ["a*2"], "rounds": 2, "aggregator": "c", "include_references": True},
        n=None,
        tools=[],
        response_format={"type": "text"},
        top_p=0.3,
        user="me",
    )
    assert (chat_request.stream, chat_request.include_usage, chat_request.temperature) == (True, True, 0.0)
    assert (chat_request.max_tokens, chat_request.seed, chat_request.stop) == (9, -1, ("END",))
    assert (chat_request.reply_fields, chat_request.reply_format) == ({}, None)
    assert chat_request.moa == MoaOptions(
        references=["a*2"], rounds=2, aggregator="c", include_references=True
    )
    assert read(temperature=None, max_tokens=None, stop=None, stream=None, moa=None) == read()


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": ""}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "why?"}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": ""}]}, "messages", "invalid_value"),
        ({"messages": [USER, CALLS]}, "messages", "invalid_value"),
        ({"messages": [USER, {**USER, "tool_calls": CALLS["tool_calls"]}]}, "messages", "invalid_value"),
        ({"messages": [USER, {"role": "tool", "content": "4"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
            "unsupported_parameter",
        ),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role", "unsupported_parameter"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        (
            {"tools": [{"type": "function", "function": {"name": ""}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        ({"tools": "f"}, "tools", "invalid_value"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "invalid_value"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        ({"response_format": "json_object"}, "response_format", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "thing"}},
                }
            },
            "response_format",
            "invalid_value",
        ),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"temperature": 2.5}, "temperature", "invalid_value"),
        ({"temperature": True}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -2}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
        ({"seed": 2**64}, "seed", "invalid_value"),
        ({"stop": [""]}, "stop", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_value"),
        ({"moa": []}, "moa", "invalid_value"),
        ({"moa": {"layers": 3}}, "moa.layers", "unknown_parameter"),
        ({"moa": {"references": []}}, "moa.references", "invalid_value"),
        ({"moa": {"references": "a,b"}}, "moa.references", "invalid_value"),
        ({"moa": {"rounds": -1}}, "moa.rounds", "invalid_value"),
        ({"moa": {"aggregator": " "}}, "moa.aggregator", "invalid_value"),
        ({"moa": {"include_references": 1}}, "moa.include_references", "invalid_value"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], param: str, code: str) -> None:
    """A 400 in the API's form names the field, and says whether it is wrong or not supported."""
    with pytest.raises(ApiError) as refused:
        read(**fields)
    error = refused.value.body["error"]
    assert (refused.value.status, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_not_json(body: bytes) -> None:
    """A body that is not a JSON object is a 400."""
    with pytest.raises(ApiError) as refused:
        parse_chat_request(body)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=4), st.data())
def test_a_stop_text_is_found_across_pieces(text: str, stops: list[str], data: st.DataObject) -> None:
    """Only the text before the first stop text passes, however the text is divided."""
    cutter, passed, rest = StopCutter(stops), "", text
    while rest:
        length = data.draw(st.integers(1, len(rest)))
        passed += cutter.feed(rest[:length])
        rest = rest[length:]
    passed += cutter.close()
    places = [text.find(stop) for stop in stops if stop in text]
    # A stop text that is complete first wins over a longer one that began before it.
    assert text.startswith(passed)
    assert cutter.cut == bool(places)
    assert not any(stop in passed for stop in stops)
    if not places:
        assert passed == text


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_what_is_this_computer_alone(host: str, *, ours: bool) -> None:
    """Only loopback names and addresses need no key."""
    assert is_loopback(host) == ours


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (FailureKind.KEY_REFUSED, 502, "upstream_error"),
        (FailureKind.NOT_FOUND, 502, "upstream_error"),
        (FailureKind.TOO_FEW, 502, "upstream_error"),
        (FailureKind.RATE_LIMITED, 429, "upstream_rate_limited"),
        (FailureKind.QUOTA, 402, "insufficient_quota"),
        (FailureKind.REFUSED, 400, "content_filter"),
        (FailureKind.OVERLOADED, 503, "upstream_overloaded"),
        (FailureKind.TIMEOUT, 504, "upstream_timeout"),
        (FailureKind.CONTEXT_LENGTH, 400, "context_length_exceeded"),
        (FailureKind.INTERNAL, 500, "internal_error"),
    ],
)
def test_what_a_failure_is_for_the_client(kind: FailureKind, status: int, code: str) -> None:
    """The status depends on the failure; what looks like a key is removed from the message."""
    refused = error_for(Failure(kind, "Incorrect key sk-abcdefgh12345678", "a", retry_after=2.5))
    assert (refused.status, refused.code) == (status, code)
    assert "sk-abc" not in refused.message
    assert refused.headers == ({"Retry-After": "3"} if status == 429 else {})
