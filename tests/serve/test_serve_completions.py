"""The older completions, and pages in a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bot.errors import UsageError
from bot.serve.server import ListenAddress

Make = Callable[..., Any]
PAGE = "http://localhost:3000"


def post(app: Any, **fields: Any) -> Any:
    async def work() -> Any:
        async with app.client() as client:
            return await client.post("/v1/completions", json={"model": "moa", "prompt": "why?", **fields})

    return asyncio.run(work())


@pytest.mark.parametrize("prompt", ["why?", ["why?"]])
def test_a_whole_completion(make: Make, prompt: Any) -> None:
    """The prompt is the user's message, the reply a text."""
    app = make()
    answer = post(app, prompt=prompt, max_tokens=7, stop=["never"])
    body = answer.json()
    choice = {"index": 0, "text": "the reply", "logprobs": None, "finish_reason": "stop"}
    assert (answer.status_code, body["object"], body["choices"]) == (200, "text_completion", [choice])
    assert body["usage"]["total_tokens"] == 12
    assert app.ask.to("a")[0].messages[-1].content == "why?"
    assert app.ask.to("judge")[0].max_tokens == 7


def test_a_streamed_completion(make: Make) -> None:
    """Chunks of text, the finish reason, and the tokens on request."""
    lines = post(make(), stream=True, stream_options={"include_usage": True}).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    *chunks, last = (json.loads(line.removeprefix("data: ")) for line in lines[:-2])
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "the reply"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)
    assert last["moa"]["usage"]["total_tokens"] == 38
    assert not any("moa" in chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": ["a", "b"]}, "prompt", "unsupported_parameter"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_parameter"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_parameter"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": None}, "prompt", "invalid_value"),
        ({"echo": True}, "echo", "unsupported_parameter"),
        ({"best_of": 2}, "best_of", "unsupported_parameter"),
        ({"logprobs": 1}, "logprobs", "unsupported_parameter"),
    ],
)
def test_what_is_refused(make: Make, fields: dict[str, Any], param: str, code: str) -> None:
    """A 400 names the field."""
    answer = post(make(), **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)


@pytest.mark.parametrize(
    ("cors", "allowed"), [((PAGE,), PAGE), ((), None), (("http://other",), None), (("*",), "*")]
)
def test_a_page_in_a_browser(make: Make, cors: tuple[str, ...], allowed: str | None) -> None:
    """The browser is told before it asks, without a key, and with every answer: also that of an error."""

    async def look() -> None:
        async with make(cors=cors, key="secret" if "*" in cors else None).client() as client:
            asks = {
                "Origin": PAGE,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
                "Access-Control-Request-Private-Network": "true",
            }
            before = await client.options("/v1/chat/completions", headers=asks)
            assert (before.status_code == 200) is (allowed is not None)
            assert before.headers.get("access-control-allow-origin") == allowed
            if allowed:
                assert "content-type" in before.headers["access-control-allow-headers"]
                assert before.headers["access-control-allow-private-network"] == "true"
            answer = await client.get("/v1/nothing", headers={"Origin": PAGE})
            assert answer.headers.get("access-control-allow-origin") == allowed

    asyncio.run(look())


@pytest.mark.parametrize("origin", ["*", "localhost", "http://localhost/page", "http://a b", ""])
def test_what_is_no_origin(origin: str) -> None:
    """All pages are let in with a key only; an origin has no path."""
    with pytest.raises(UsageError, match="--cors"):
        ListenAddress("127.0.0.1", 0, None, (origin,)).check()


def test_origins() -> None:
    """With a key, all pages; without one, those that are named."""
    ListenAddress("127.0.0.1", 0, "secret", ("*",)).check()
    ListenAddress("127.0.0.1", 0, None, (PAGE, "chrome-extension://abc", "http://[::1]:3000")).check()
