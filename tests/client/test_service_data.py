"""Numbers and JSON from outside, read within bounds."""

from __future__ import annotations

import json

import pytest

from bot.client.completion import CompletionBuilder, top_logprobs
from bot.client.error_body import error_message
from bot.client.error_mapping import (
    failure_from_response,
    failure_from_stream_error,
    rate_limit_reset,
    retry_after,
)
from bot.client.model_list import ModelList, read_model_list
from bot.client.service_data import MAX_SECONDS, MAX_TOKENS, decimal_number, read_json, whole_number
from bot.errors import FailureKind
from bot.messages import Endpoint, Message, Request, Usage

REQUEST = Request(Endpoint("x", "http://x/v1"), "m", (Message("user", "hi"),), 0.7, 100)

WHOLE = [
    (7, 7),
    ("7", 7),
    (" 8192 ", 8192),
    (7.0, 7),
    (MAX_TOKENS, MAX_TOKENS),
    (MAX_TOKENS + 1, None),
    (-1, None),
    (7.5, None),
    (True, None),
    (None, None),
    ("", None),
    ("²", None),
    ("٣", None),
    ("1_000", None),
    ("9" * 400, None),
    ("9" * 5000, None),
    (10**400, None),
    (float("inf"), None),
    (float("nan"), None),
    ([7], None),
]


@pytest.mark.parametrize(("value", "number"), WHOLE, ids=lambda value: repr(value)[:20])
def test_whole_numbers(value: object, number: int | None) -> None:
    """A count is a whole number within bounds, or not said."""
    assert whole_number(value, MAX_TOKENS) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5),
        ("0.5", 0.5),
        (-2, -2.0),
        ("1e400", None),
        ("1_0", None),
        ("nan", None),
        ("-inf", None),
        (10**400, None),
        ("1" * 400, None),
        ("²", None),
        (False, None),
        ({}, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_decimal_numbers(value: object, number: float | None) -> None:
    """A price or a time is a finite number, or not said."""
    assert decimal_number(value) == number


def test_json_with_numbers_of_any_length() -> None:
    """A number of thousands of digits does not make the rest unreadable; nesting without end does."""
    assert read_json('\ufeff{"a": 1, "b": ' + "9" * 5000 + "}") == {"a": 1, "b": float("inf")}
    with pytest.raises(ValueError, match="nested"):
        read_json("[" * 100_000)


@pytest.mark.parametrize("digits", ["9" * 9, "9" * 300, "9" * 5000, "9,999" * 2000, "²" * 5, "0000"])
def test_a_limit_out_of_bounds_is_not_said(digits: str) -> None:
    """The refusal is still about the context; its number is left out, and cut in the message."""
    message = f"This model's maximum context length is {digits} tokens."
    body = json.dumps({"error": {"message": message, "code": "context_length_exceeded"}})
    failure = failure_from_response(REQUEST, 400, body, {})
    assert failure.kind is FailureKind.CONTEXT_LENGTH
    assert failure.limit is None or failure.limit <= MAX_TOKENS
    assert len(str(failure)) < 500


@pytest.mark.parametrize("code", ["²", "4" * 4000, 10**300, "1e400", "-400", 99999, True, ["400"], {}, None])
def test_odd_codes_of_an_error_in_a_stream(code: object) -> None:
    """A code that is no HTTP status is none; the message stays short."""
    failure = failure_from_stream_error(REQUEST, {"message": "no luck", "code": code})
    assert (failure.kind, failure.status, failure.message) == (FailureKind.SERVICE, None, "no luck")


@pytest.mark.parametrize(
    "value", ["²", "inf", "nan", "1e400", "-1", "9" * 300, "9" * 5000, "1, 2", "Wed, 99"]
)
def test_odd_times_to_wait(value: str) -> None:
    """A wait is a finite number of seconds, a year at most, or not said."""
    for seconds in (
        retry_after({"retry-after": value}),
        retry_after({"retry-after-ms": value}),
        retry_after({"retry-after": f"Wed, 21 Oct {value} 07:28:00 GMT"}),
        rate_limit_reset({"x-ratelimit-remaining": "0", "x-ratelimit-reset": value}),
        rate_limit_reset({"x-ratelimit-remaining": "0", "x-ratelimit-reset": value + "h"}),
    ):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS


@pytest.mark.parametrize("value", ["²", 10**400, "9" * 5000, -1, float("nan"), True, [], 10**12])
def test_odd_usage_is_unknown(value: object) -> None:
    """Tokens out of bounds are unknown, and so are log probabilities."""
    answer = CompletionBuilder(60.0)
    answer.add_chunk({"usage": {"prompt_tokens": value, "completion_tokens": 5}})
    assert answer.usage == Usage(None, 5)
    assert top_logprobs({"top_logprobs": {"yes": value, "no": float("-inf")}}) in ((), (("yes", value),))


def test_odd_numbers_in_a_list_of_models() -> None:
    """A context or price out of bounds is not known; the model is listed."""
    entry = {"id": "m", "context_length": 10**300, "pricing": {"input": "9" * 400, "output": 10**30}}
    model_list = read_model_list([entry])
    assert isinstance(model_list, ModelList)
    [model] = model_list.models
    assert (model.context, model.input_price, model.output_price) == (None, None, None)


def test_codes_and_types_are_both_read() -> None:
    """What says the cause may be the code or the type."""
    assert error_message('{"error": {"message": "m", "code": "c", "type": "t"}}') == ("m", "c t", None)
    assert error_message('{"error": {"message": "m", "code": "503"}}').status == 503
