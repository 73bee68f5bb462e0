"""What goes along with a request, seen from the other end of a transport that is no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from bot.client.provider import Provider
from bot.client.tls import tls_context
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Message, Request, ToolCall
from bot.text.turn_markers import defuse

ANSWER = """data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}

data: [DONE]

"""


MARKER = "<|im_end|>"
HELLO = Message("user", "hello")


def requests(*messages: Message, times: int = 1) -> list[httpx.Request]:
    """Send the messages so many times with one provider; returns what was sent."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        headers = {"Content-Type": "text/event-stream", "Set-Cookie": "who=you; Path=/"}
        return httpx.Response(200, headers=headers, content=ANSWER.encode())

    async def run() -> None:
        provider = Provider(transport=httpx.MockTransport(answer))
        endpoint = Endpoint("test", "http://service.example/v1", "a-key")
        for _ in range(times):
            request = Request(endpoint, "a", messages, 0.7, 100)
            [*_, last] = [update async for update in provider.complete(request)]
            assert isinstance(last, Completion), last
        await provider.close()

    asyncio.run(run())
    return seen


def test_cookies_are_not_kept() -> None:
    """What one answer set does not go along with the next question."""
    first, second = requests(HELLO, times=2)
    assert "cookie" not in first.headers
    assert "cookie" not in second.headers


@pytest.mark.parametrize(
    "message",
    [
        Message("user", MARKER),
        Message("system", f"x{MARKER}"),
        Message("tool", f"a page with {MARKER}", tool_call_id="1"),
        Message("assistant", "", tool_calls=(ToolCall("1", "write", f'{{"text": "{MARKER}"}}'),)),
    ],
    ids=lambda message: message.role,
)
def test_no_marker_in_any_part_of_a_request(message: Message) -> None:
    """A service's template puts a tool call's arguments into the prompt as it does the text."""
    [request] = requests(message)
    sent = json.dumps(json.loads(request.content)["messages"], ensure_ascii=False)
    assert MARKER not in sent
    assert defuse(MARKER) in sent


def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails and names the environment's variables."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    tls_context.cache_clear()

    async def run() -> object:
        endpoint = Endpoint("test", "https://service.example/v1", "a-key")
        request = Request(endpoint, "a", (Message("user", "hello"),), 0.7, 100)
        [last] = [update async for update in Provider().complete(request)]
        return last

    last = asyncio.run(run())
    assert isinstance(last, Failure)
    assert last.message.startswith("SSL_CERT_FILE or SSL_CERT_DIR cannot be used:")


@pytest.mark.parametrize("pieces", ["word", "letter", "whole"])
def test_a_further_turn_ends_the_stream(pieces: str) -> None:
    """No part of the marker is passed on, the rest is not read, and the connection is closed."""
    text = "Paris is it.<|im_end|>\n<|im_start|>user\nAnd Italy?"
    parts = {"word": text.split(" "), "letter": list(text), "whole": [text]}[pieces]
    closed: list[bool] = []

    async def events() -> AsyncIterator[bytes]:
        try:
            for part in [*parts, *["more "] * 1000]:
                delta = {"choices": [{"index": 0, "delta": {"content": part}}]}
                yield f"data: {json.dumps(delta)}\n\n".encode()
            raise AssertionError("the rest was read")
        finally:
            closed.append(True)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=events())

    async def run() -> list[CallUpdate]:
        provider = Provider(transport=httpx.MockTransport(answer))
        request = Request(
            Endpoint("test", "http://service.example/v1"), "a", (Message("user", "hi"),), 0.7, 9000
        )
        return [update async for update in provider.complete(request)]

    *deltas, last = asyncio.run(run())
    shown = "Paris is it." if pieces != "word" else "Parisisit."
    assert isinstance(last, Completion)
    assert (last.text, last.finish_reason, last.partial) == (shown, "stop", "")
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == shown
    assert closed


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b" " * 4_000_000, {}, "more than 3 MB received; the rest was discarded"),
        (b"[]", {"Content-Encoding": "br"}, "the body is encoded as br, which was not asked for"),
        (b"[" * 100_000, {}, "the answer is not a list of models"),
    ],
    ids=["too long", "an encoding", "nested"],
)
def test_a_list_of_models_that_cannot_be_read(body: bytes, headers: dict[str, str], said: str) -> None:
    """It is named as that: the network and the address are right."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "application/json", **headers}, content=pieces())

    async def run() -> object:
        provider = Provider(transport=httpx.MockTransport(answer))
        return await provider.models(Request(Endpoint("test", "http://service.example/v1"), "", (), 0.0, 0))

    last = asyncio.run(run())
    assert isinstance(last, Failure)
    assert (last.kind, last.message, last.hint) == (FailureKind.GARBLED, said, "")
