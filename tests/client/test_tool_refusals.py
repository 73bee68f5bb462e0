"""How services say that a model cannot call tools, and that the model is then asked without them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from bot.client.adapt import RequestAdapter
from bot.client.error_mapping import failure_from_response
from bot.messages import Adapted, CallUpdate, Completion, Endpoint, Message, Request

TOOLS = {"tools": [{"type": "function", "function": {"name": "web_search"}}]}
REQUEST = Request(
    Endpoint("test", "http://service.example/v1"), "a/model", (Message("user", "hi"),), 0.7, 100, extra=TOOLS
)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools"),
        (500, "tools param requires --jinja flag"),
        (400, "Unsupported param: tools"),
        (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        ),
        (404, "No endpoints found that support tool use. To learn more about provider routing, visit: …"),
        (400, "`tool calling` is not supported with this model"),
        (400, "`tools` is not supported with this model"),
        (400, "This model does not support function calling"),
        (422, "Function calling is not enabled for a/model"),
        (400, "deepseek-reasoner does not support Function Calling"),
        (400, "tool use is not supported by this model."),
        (400, "This model doesn't support tool use in streaming mode."),
        (400, "The model does not have tool calling capabilities: tool calls are not allowed"),
    ],
)
def test_a_model_that_cannot_call_tools(status: int, message: str) -> None:
    """It is asked again without tools, which is said; further requests leave them out at once."""
    sent: list[Request] = []

    async def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
        sent.append(request)
        if "tools" not in request.endpoint.rejects:
            yield failure_from_response(request, status, json.dumps({"error": {"message": message}}), {})
        else:
            yield Completion("fine")

    async def work() -> list[list[CallUpdate]]:
        adapter = RequestAdapter(ask)
        return [[update async for update in adapter(REQUEST)] for _ in range(2)]

    first, second = asyncio.run(work())
    assert isinstance(first[0], Adapted)
    assert "a/model is asked without tools" in first[0].text
    assert [first[-1], second] == [Completion("fine"), [Completion("fine")]]
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "The model a/model does not exist"),
        (400, "tools[0].function.name: invalid, must match ^[a-zA-Z0-9_-]{1,64}$"),
        (400, "tool_calls must be followed by tool messages"),
        (400, "Too many tools: at most 64 are supported"),
        (429, "tool use is not supported at this rate"),
        (400, "messages: the content must not be empty"),
    ],
)
def test_other_errors_are_no_refusal_of_tools(status: int, message: str) -> None:
    """A mistake in the request, or a model that is not there, leaves the tools in."""
    body = json.dumps({"error": {"message": message}})
    assert failure_from_response(REQUEST, status, body, {}).refused != "tools"


def test_without_tools_nothing_is_refused() -> None:
    """A request that offers none cannot have them refused."""
    plain = Request(REQUEST.endpoint, "a/model", REQUEST.messages, 0.7, 100)
    body = json.dumps({"error": {"message": "a/model does not support tools"}})
    assert failure_from_response(plain, 400, body, {}).refused == ""
