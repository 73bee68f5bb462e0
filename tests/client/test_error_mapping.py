"""What services answer when they refuse, as failures."""

from __future__ import annotations

import json

import pytest

from bot.client import error_mapping
from bot.client.error_body import error_message
from bot.errors import FailureKind
from bot.messages import Endpoint, Message, Request

KEY = "my-private-key-0123456789"
REQUEST = Request(Endpoint("x", "http://x/v1", KEY), "maker/model", (Message("user", "hi"),), 0.7, 100)


def http_failure(status: int, body: object, **headers: str) -> object:
    text = body if isinstance(body, str) else json.dumps(body)
    return error_mapping.failure_from_response(REQUEST, status, text, headers)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "temperature must be a number", FailureKind.BAD_REQUEST),
        (
            400,
            "This model's maximum context length is 8192 tokens. However, you requested 9000",
            FailureKind.CONTEXT_LENGTH,
        ),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000", FailureKind.CONTEXT_LENGTH),
        (400, "flagged by our content filter", FailureKind.CONTENT_FILTER),
        (401, "Invalid API key provided", FailureKind.KEY_REFUSED),
        (402, "no credit", FailureKind.QUOTA),
        (403, "not in your region", FailureKind.FORBIDDEN),
        (404, "Unable to access model", FailureKind.NOT_FOUND),
        (429, "slow down", FailureKind.RATE_LIMITED),
        (500, "oops", FailureKind.SERVICE),
        (502, "", FailureKind.SERVICE),
        (503, "busy", FailureKind.OVERLOADED),
        (529, "busy", FailureKind.OVERLOADED),
    ],
)
def test_kinds_by_status_and_words(status: int, message: str, kind: FailureKind) -> None:
    """Each refusal gets the kind that decides what is done about it."""
    assert http_failure(status, {"error": {"message": message}}).kind is kind


def test_the_limit_that_the_service_names() -> None:
    """A context-length error's number is kept, thousands' commas and all."""
    assert (
        error_mapping.context_limit("This model's maximum context length is 8,192 tokens, you asked 9000")
        == 8192
    )
    assert (
        error_mapping.context_limit("`inputs` tokens + `max_new_tokens` must be <= 8193. Given 9000") == 8193
    )
    assert error_mapping.context_limit("too long") is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m", "code": "c"}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ("<html><style>x{}</style><h1>502 Bad Gateway</h1></html>", "502 Bad Gateway"),
        ("", ""),
        ("<p>Bad &amp; wrong", "Bad & wrong"),
        ('"m"', "m"),
        ({"errors": [{"message": "m"}]}, "m"),
        ({"errors": "m"}, "m"),
        ({"error": [{"message": "m"}]}, "m"),
        ({"error": ["m", "n"]}, "m; n"),
        ({"error": {"error": {"error": {"message": "m"}}}}, "m"),
        ({"error": {"message": {"error": {"message": "m"}}}}, "m"),
        ({"error": {"message": ["m", "n"]}}, "m; n"),
        ({"detail": {"error": {"message": "m"}}}, "m"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "m"}, {"loc": [], "msg": "n"}]}, "body.seed: m"),
        ({"error": {"message": '{"error": {"message": "m"}}'}}, "m"),
        ({"error": {"message": "{not JSON"}}, "{not JSON"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": "m"}'}}}, "m"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "m"}}}, "m"),
        ({"error": {"message": "m", "metadata": {"raw": None}}}, "m"),
        ({"error": {"message": "m", "error": {"message": None}}}, "m"),
        ({"error": "invalid_request", "error_description": "m"}, "m"),
        ({"error_code": 17, "error_msg": "m"}, "m"),  # Baidu
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, "m"),  # MiniMax
        ({"Message": "m", "__type": "ValidationException"}, "m"),
        ({"errorMessage": "m"}, "m"),
        ({"type": "about:blank", "title": "m", "status": 400}, "m"),
        ({"error": {"message": None, "code": None}}, ""),
        ('{"error":' * 900 + '"m"' + "}" * 900, ""),
        *((nothing, "") for nothing in ({}, [], 7, True, None, {"error": 400}, {"error": True})),
    ],
)
def test_error_bodies_in_every_form(body: object, message: str) -> None:
    """The message is found in the usual forms of error bodies, and in an HTML page."""
    text = body if isinstance(body, str) else json.dumps(body)
    assert error_message(text).message.strip() == message


@pytest.mark.parametrize(
    "said", [f"wrong key {KEY}", f"Bearer {KEY}", "sk-proj-abcdefgh12345", "tgp_v1_abcdefghijk"]
)
def test_keys_are_taken_out(said: str) -> None:
    """No key reaches a message, neither ours nor anything that looks like one."""
    shown = str(http_failure(401, {"error": {"message": said}}))
    assert KEY not in shown
    assert "abcdefgh" not in shown
    assert "[key]" in shown


def test_retry_after_in_its_three_forms() -> None:
    """Seconds, milliseconds and dates are understood; nonsense is ignored."""
    assert error_mapping.retry_after({"retry-after": "2.5"}) == 2.5
    assert error_mapping.retry_after({"retry-after-ms": "300"}) == 0.3
    assert error_mapping.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert error_mapping.retry_after({"retry-after": "soon"}) is None
    assert error_mapping.retry_after({}) is None


def test_long_messages_are_cut() -> None:
    """A page-long error becomes one readable line."""
    shown = http_failure(500, {"error": {"message": "word\n" * 1000}})
    assert len(shown.message) < 350
    assert "\n" not in shown.message


QUOTAS = [
    (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}),  # DeepSeek
    (402, {"error": {"message": "This request requires more credits", "code": 402}}),  # OpenRouter
    (402, "Payment Required"),
    (402, ""),
    (
        429,
        {
            "error": {
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            }
        },
    ),
    (429, {"error": {"message": "Slow down", "type": "insufficient_quota", "code": None}}),
    (429, {"error": {"message": "You exceeded your current quota.", "code": "429"}}),
    (
        429,
        {"error": {"code": "billing_hard_limit_reached", "message": "Hard limit has been reached"}},
    ),
    (429, {"error": {"code": "billing_not_active", "message": "Your account is not active."}}),
    (400, {"error": {"message": "Your credit balance is too low to access the API."}}),  # Anthropic
    (400, {"error": {"code": "Arrearage", "message": "Access denied."}}),  # Alibaba
    (403, {"error": "Your team has run out of credits or reached its monthly spending limit."}),  # xAI
    (429, {"detail": "Monthly quota exhausted"}),
    (429, {"error": {"type": "exceeded_current_quota_error", "message": "please recharge"}}),  # Moonshot
    (429, {"error": {"type": "exceeded_current_quota_error", "message": "Your account is suspended"}}),
    (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),  # Zhipu
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),  # SiliconFlow
    (412, {"error": {"message": "Account x is suspended, possibly due to its monthly spending limit"}}),
    (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),  # Cohere
    (429, {"error": {"message": "Provider returned error", "metadata": {"raw": "insufficient_quota"}}}),
]


@pytest.mark.parametrize(("status", "body"), QUOTAS, ids=str)
def test_a_quota_that_is_used_up(status: int, body: object) -> None:
    """It is told as that, names the service, and waiting is not suggested."""
    failure = http_failure(status, body, **{"retry-after": "1"})
    assert failure.kind is FailureKind.QUOTA
    assert not failure.kind.worth_retrying
    assert str(failure).startswith("maker/model: quota used up")
    assert "wait a moment" not in failure.hint
    assert failure.hint.endswith("billing and quota of the account with x")


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000",
        "You exceeded your current quota. Quota exceeded for metric: requests. Please retry in 32s",
        "Requests to this deployment have exceeded the token rate limit. Please retry after 20 seconds.",
        "Quota exceeded for GenerateRequestsPerMinutePerProject",
        "slow down",
        "",
    ],
)
def test_a_limit_that_passes_is_no_quota(message: str) -> None:
    """What is over in a minute is a rate limit, in whatever words."""
    assert http_failure(429, {"error": {"message": message}}).kind is FailureKind.RATE_LIMITED


@pytest.mark.parametrize("unit", ["second", "minute", "hour"])
def test_a_code_may_call_a_rate_limit_a_quota(unit: str) -> None:
    """Cerebras has one code for its limits per minute and for those per day."""
    body = {"message": f"Tokens per {unit} limit exceeded", "code": "token_quota_exceeded", "param": "quota"}
    assert http_failure(429, body).kind is FailureKind.RATE_LIMITED
    assert http_failure(429, {**body, "message": "Tokens per day limit exceeded"}).kind is FailureKind.QUOTA


def test_a_quota_that_ends_a_stream() -> None:
    """The same in an error inside a stream."""
    for error in (
        {"message": "out of luck", "code": "insufficient_quota"},
        {"message": "You exceeded your current quota", "code": 429},
        {"message": "pay first", "code": 402},
    ):
        assert error_mapping.failure_from_stream_error(REQUEST, error).kind is FailureKind.QUOTA
