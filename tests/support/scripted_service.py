"""A service whose responses are scripted, read as the program reads them: no process, no socket, no SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from bot.client import error_mapping
from bot.client.body_limit import limit_body
from bot.client.completion import LONGEST_CALL, CompletionBuilder
from bot.client.response_stream import WordTimeout, read_response
from bot.messages import CallUpdate, Request

EVENTS = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@dataclass
class Response:
    """A response: `pieces` of its body, each after `pause` seconds, `repeat` without an end."""

    pieces: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=lambda: EVENTS)
    status: int = 200
    pause: float = 0.0
    repeat: bool = False

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        for _ in count() if self.repeat else range(1):
            for piece in self.pieces:
                await asyncio.sleep(self.pause)
                yield piece


def event(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


def stream(*texts: str) -> Response:
    """A stream of these texts, which ends well."""
    return Response([*(event({"content": text}) for text in texts), event({}, "stop"), b"data: [DONE]\n\n"])


def whole(message: Mapping[str, Any], finish: str = "stop", **more: Any) -> Response:
    """An answer in one JSON body."""
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    return Response([json.dumps(body).encode()], JSON)


class ScriptedService:
    """A way to ask: every model's responses in order, the last one again and again."""

    def __init__(self, responses: Mapping[str, Response | Sequence[Response]]) -> None:
        self._responses = {
            name: list(each) if isinstance(each, list | tuple) else [each] for name, each in responses.items()
        }
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        self.requests.append(request)
        left = self._responses[request.model]
        scripted = left.pop(0) if len(left) > 1 else left[0]
        response = httpx.Response(scripted.status, headers=scripted.headers, content=scripted.body())
        await limit_body(response)
        if scripted.status >= 300:
            await response.aread()
            headers = dict(response.headers)
            yield error_mapping.failure_from_response(request, scripted.status, response.text, headers)
            return
        answer = CompletionBuilder(LONGEST_CALL, asyncio.get_running_loop().time)
        async for update in read_response(response, request, answer, WordTimeout(request.timeout)):
            yield update


def asked(ask: Callable[[Request], AsyncGenerator[CallUpdate, None]], request: Request) -> Any:
    """Return the coroutine of one call: all its updates."""

    async def run() -> list[CallUpdate]:
        return [update async for update in ask(request)]

    return run()
