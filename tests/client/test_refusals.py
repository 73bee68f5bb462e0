"""What of a request a service refuses, as services put it."""

from __future__ import annotations

import json

import pytest

from bot.client.error_mapping import failure_from_response, failure_from_stream_error
from bot.client.refusals import ALTERNATING_ROLES, SYSTEM_ROLE, find_refusal
from bot.errors import FailureKind
from bot.messages import Endpoint, Message, Request

REQUEST = Request(
    Endpoint("test", "http://service.example/v1"),
    "ByteDance-Seed/Seed-OSS",
    (Message("system", "Be brief."), Message("user", "hello")),
    0.7,
    100,
    seed=7,
    extra={
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 5,
        "reasoning": {"enabled": False},
        "response_format": {"type": "json_schema"},
        "chat_template_kwargs": {"enable_thinking": False},
    },
)

REFUSED = [
    # A form of the reply: OpenAI, DeepSeek, Groq, xAI, vLLM, llama.cpp
    (
        "Invalid schema for response_format 'reply': 'additionalProperties' is required to be supplied.",
        {"param": "response_format"},
        "response_format",
    ),
    ("This response_format type is unavailable now", {}, "response_format"),
    ("This model does not support response format `json_schema`. See the docs.", {}, "response_format"),
    (
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        {"param": None},
        "response_format",
    ),
    ("Structured outputs are not supported by this model", {}, "response_format"),
    ("Failed to parse grammar", {}, "response_format"),
    # OpenAI
    (
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        {"param": "max_tokens", "code": "unsupported_parameter"},
        "max_tokens",
    ),
    (
        "Unsupported value: 'temperature' does not support 0.7. Only the default (1) is supported.",
        {"param": "temperature", "code": "unsupported_value"},
        "temperature",
    ),
    ("You are not allowed to request logprobs from this model", {"param": None}, "logprobs"),
    ("Unrecognized request argument supplied: stream_options", {}, "stream_options"),
    (
        "Unknown parameter: 'stream_options.include_usage'.",
        {"param": "stream_options.include_usage"},
        "stream_options",
    ),
    ("Unknown parameter: 'reasoning'.", {"param": "reasoning", "code": "unknown_parameter"}, "reasoning"),
    # Anthropic, Moonshot, xAI, Groq, Cerebras, Gemini, Bedrock, Fireworks, Cohere
    ("`temperature` is deprecated for this model.", {}, "temperature"),
    ("`temperature` may only be set to 1 when thinking is enabled.", {}, "temperature"),
    ("invalid temperature: only 1 is allowed for this model", {}, "temperature"),
    ("Model grok-4 does not support parameter seed.", {}, "seed"),
    ("'logprobs' is not supported with this model", {}, "logprobs"),
    ("property 'top_logprobs' is unsupported", {"param": ""}, "top_logprobs"),
    ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', {}, "seed"),
    (
        "Malformed input request: #: extraneous key [seed] is not permitted, please reformat your input",
        {},
        "seed",
    ),
    ("Extra inputs are not permitted, field: 'chat_template_kwargs', value: {}", {}, "chat_template_kwargs"),
    ("unknown field: parameter 'seed' is not a valid field", {}, "seed"),
    # a list of what is accepted names other fields
    (
        "unknown field `stream_options`, expected one of `messages`, `model`, `temperature`, `seed`",
        {},
        "stream_options",
    ),
    ("Argument 'seed' is not supported; supported arguments are temperature, max_tokens", {}, "seed"),
    (
        "openai does not support parameters: {'seed': 1}, for model=x. To drop these, set drop_params",
        {},
        "seed",
    ),
    ("ByteDance-Seed/Seed-OSS is a reasoning model: temperature is not supported.", {}, "temperature"),
    # vLLM passes pydantic's list on as text
    (
        "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted'}]",
        {},
        "seed",
    ),
    ("temperature is not a supported parameter", {}, "temperature"),
    ("`logprobs` is not currently supported.", {}, "logprobs"),
    ("invalid temperature: only 0.6 is allowed for this model", {}, "temperature"),
    ("The parameter temperature cannot be used with reasoning models", {}, "temperature"),
    ("stream_options: this field is forbidden", {}, "stream_options"),
    ("temperature must be omitted for this model", {}, "temperature"),
    # thinking
    ('"llama3.2:3b" does not support thinking', {}, "reasoning"),
    ("Reasoning is mandatory for this endpoint and cannot be disabled.", {}, "reasoning"),
    # roles
    ("System role not supported", {}, SYSTEM_ROLE),
    ("'system' is not one of ['user', 'assistant'] - 'messages.0.role'", {}, SYSTEM_ROLE),
    ("The system role is not supported by this model's chat template", {}, SYSTEM_ROLE),
    ("Only user and assistant roles are supported!", {}, SYSTEM_ROLE),
    ("Only 'user' and 'assistant' roles are supported", {}, SYSTEM_ROLE),
    (
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        {"param": "messages[0].role", "code": "unsupported_value"},
        SYSTEM_ROLE,
    ),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", {}, SYSTEM_ROLE),
    ("System messages are not allowed", {}, SYSTEM_ROLE),
    ("Unexpected role 'system'", {}, SYSTEM_ROLE),
    ("invalid role: system", {}, SYSTEM_ROLE),
    ("This model does not support system prompts.", {}, SYSTEM_ROLE),
    ("Input should be 'user' or 'assistant'", {}, SYSTEM_ROLE),
    ("role must be one of 'user', 'assistant'", {}, SYSTEM_ROLE),
    ("The system_instruction is not supported", {}, SYSTEM_ROLE),
    ("Messages with role 'system' are not supported.", {}, SYSTEM_ROLE),
    (
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        {"param": "messages[0].role"},
        SYSTEM_ROLE,
    ),
    ('role must be one of ["user", "assistant"]', {}, SYSTEM_ROLE),
    ("Unexpected role 'user' after role 'user'", {}, ALTERNATING_ROLES),
    ("user and assistant messages must be interleaved", {}, ALTERNATING_ROLES),
    ("After the (optional) system message(s), user message(s) should alternate", {}, ALTERNATING_ROLES),
    ("Conversation roles must alternate user/assistant/user/assistant/...", {}, ALTERNATING_ROLES),
    (
        "After the optional system message, conversation roles must alternate user/assistant",
        {},
        ALTERNATING_ROLES,
    ),
    (
        'messages: roles must alternate between "user" and "assistant", but found multiple "user"',
        {},
        ALTERNATING_ROLES,
    ),
    ("Cannot have 2 or more assistant messages at the end of the list.", {}, ALTERNATING_ROLES),
]

NOT_REFUSED = [
    # a value, not a field
    ("temperature must be between 0 and 0.5", {"param": "temperature"}),
    ("Invalid value for 'temperature': 0.7 is greater than the maximum of 0.5", {"param": "temperature"}),
    ("temperature must be 1 or less", {}),
    ("'max_tokens' of 100 is not supported: the maximum is 50", {"param": "max_tokens"}),
    ("top_logprobs must be at most 3", {"param": "top_logprobs"}),
    ("seed must be an integer", {"param": "seed"}),
    ("Requested sample logprobs of 5, which is greater than max allowed: 3", {}),
    # something else
    ("Unsupported file type", {}),
    ("Invalid parameter: temperature must be in the range [0, 0.5]", {"param": "temperature"}),
    ("Not available: try an alternate model", {}),
    ("max_tokens is too large: 100. This model supports at most 50 completion tokens.", {}),
    ("Unknown parameter: 'frequency'", {"param": "frequency"}),
    ("role must be one of 'user', 'assistant', 'system'", {}),
    ("role must be one of 'system', 'user', 'assistant'", {}),
    ("The system is not available right now", {}),
    ("This reasoning model is not available", {}),
    ("the model ByteDance-Seed/Seed-OSS is not supported", {}),
    ("", {}),
]


@pytest.mark.parametrize(("message", "fields", "refused"), REFUSED)
def test_refusals(message: str, fields: dict[str, object], refused: str) -> None:
    """The field or the role is found in the usual forms of an error, in the response and in a stream."""
    error = {"message": message, "type": "invalid_request_error", **fields}
    for body in ({"error": error}, error, [{"error": error}]):
        for status in (400, 422):
            failure = failure_from_response(REQUEST, status, json.dumps(body), {})
            assert (failure.kind, failure.refused) == (FailureKind.BAD_REQUEST, refused)
    assert failure_from_stream_error(REQUEST, error).refused == refused


@pytest.mark.parametrize(("message", "fields"), NOT_REFUSED)
def test_what_is_no_refusal(message: str, fields: dict[str, object]) -> None:
    """A value that is out of range and a field that was not sent are left as they are."""
    assert find_refusal(REQUEST, json.dumps({"error": {"message": message, **fields}})) == ""


@pytest.mark.parametrize(
    ("detail", "refused"),
    [
        (
            [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}],
            "seed",
        ),
        ([{"type": "value_error.extra", "loc": ["body", "temperature"], "msg": "no"}], "temperature"),
        (
            [
                {
                    "type": "less_than_equal",
                    "loc": ["body", "temperature"],
                    "msg": "Input should be less than 1",
                }
            ],
            "",
        ),
        ([{"type": "missing", "loc": ["body", "seed"]}, 7, {"loc": 7}, {"loc": [["a"], None]}], ""),
        ("seed: extra fields not permitted", "seed"),
    ],
)
def test_pydantic_errors(detail: object, refused: str) -> None:
    """Mistral, FastAPI and others send pydantic's list of mistakes."""
    assert failure_from_response(REQUEST, 422, json.dumps({"detail": detail}), {}).refused == refused


def test_text_without_json() -> None:
    """The words of a page count, too."""
    assert find_refusal(REQUEST, "System role not supported") == SYSTEM_ROLE
    assert find_refusal(REQUEST, "400: unknown field seed") == "seed"


def test_what_the_request_does_not_have_is_not_refused() -> None:
    """Without a system message or a seed, an error about it is about something else."""
    plain = Request(REQUEST.endpoint, "m", (Message("user", "hello"),), 0.7, 100)
    for message in ("System role not supported", "Unknown field: seed", "'reasoning' is not supported"):
        assert find_refusal(plain, json.dumps({"message": message})) == ""


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_other_statuses(status: int) -> None:
    """Only a refused request is about its parts."""
    assert failure_from_response(REQUEST, status, "System role not supported", {}).refused == ""


def test_errors_of_a_chat_template() -> None:
    """llama.cpp answers 500 when a template does not accept the roles; of a 500, only that is read."""
    body = json.dumps({"error": {"code": 500, "message": "Jinja Exception: System role not supported"}})
    assert failure_from_response(REQUEST, 500, body, {}).refused == SYSTEM_ROLE
    assert failure_from_response(REQUEST, 500, "unknown field seed", {}).refused == ""


def test_long_errors_are_cut_first() -> None:
    """Only the beginning of an error is searched."""
    assert find_refusal(REQUEST, "x" * 3_900 + " unknown field: seed") == "seed"
    assert find_refusal(REQUEST, "x" * 200_000 + " unknown field: seed") == ""
    assert find_refusal(REQUEST, json.dumps({"message": "<" * 200_000 + " unknown field: seed"})) == ""


SEED = {"message": "Unknown parameter: 'seed'.", "param": "seed", "code": "unknown_parameter"}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": SEED})}}},
        {"error": {"message": json.dumps({"error": SEED}), "code": 400}},
        {"error": {"error": SEED}},
        {"errors": [SEED]},
        {"detail": {"error": SEED}},
        [{"error": SEED}],
    ],
    ids=str,
)
def test_refusals_that_a_gateway_passes_on(body: object) -> None:
    """The error within the gateway's own one is read."""
    assert find_refusal(REQUEST, json.dumps(body)) == "seed"
