"""What a request may contain; where a stream ends; which addresses are loopback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Failure, FailureKind
from bot.messages import Message
from bot.serve.api_errors import ApiError, error_for
from bot.serve.request_schema import ChatRequest, MoaOptions, parse_request
from bot.serve.request_turn import StopCutter
from bot.settings.endpoints import is_loopback

USER = {"role": "user", "content": "why?"}


def read(**fields: Any) -> ChatRequest:
    return parse_request(json.dumps({"model": "moa", "messages": [USER], **fields}).encode())


def test_a_conversation_is_divided() -> None:
    """System messages are joined, the last user message is the prompt, the rest is the history."""
    chat_request = read(
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
    )
    assert chat_request.system == "one\n\ntwo"
    assert chat_request.history == (Message("user", "why?"), Message("assistant", "because"))
    assert chat_request.prompt == "and then?"


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
    assert (chat_request.stream, chat_request.stream_options.include_usage, chat_request.temperature) == (
        True,
        True,
        0.0,
    )
    assert (chat_request.max_tokens, chat_request.seed, chat_request.stop) == (9, -1, ["END"])
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
        ({"messages": [USER, {"role": "assistant", "content": "so"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
            "unsupported_parameter",
        ),
        ({"messages": [{"role": "tool", "content": "x"}, USER]}, "messages[0].role", "unsupported_parameter"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"temperature": 2.5}, "temperature", "invalid_value"),
        ({"temperature": True}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
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
        ({"moa": {"rounds": 0}}, "moa.rounds", "invalid_value"),
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
        parse_request(body)
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
