"""POST /v1/chat/completions: one turn, answered whole or as a stream.

A stream begins with the first word of the reply, or with the first keep-alive comment. An error
before that has its HTTP status, a later one is sent as an event. When the client disconnects, the
turn is cancelled, and with it all its calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bot.app.turn_budget import TurnBudget
from bot.events import ReplyDelta
from bot.method.mixture import Mixture
from bot.serve.api_errors import ApiError, rate_limited
from bot.serve.limits import Limits, Turns
from bot.serve.request_schema import ChatRequest, parse_request
from bot.serve.request_turn import ServedTurn
from bot.serve.responses import COMMENT, DONE, ResponseBuilder, moa_json, progress_json, server_sent
from bot.serve.served_mixtures import ServedMixtures, with_overrides

if TYPE_CHECKING:
    from bot.app.log import Log
    from bot.messages import Ask

BODY_SECONDS = 15.0
"""How long a whole body may take to arrive."""
BODIES_BYTES = 64 * 2**20
"""How much the bodies that are still arriving may be in all; small ones are read in any case."""
SMALL_BYTES = 2**16
"""A body of so many bytes is small: checking it stalls nothing."""
WRITE_SECONDS = 60.0
"""A client that reads nothing for so long counts as disconnected."""


class ChatCompletions:
    """The route, as an ASGI application."""

    def __init__(
        self,
        mixtures: ServedMixtures,
        ask: Ask,
        log: Log,
        turns: Turns,
        limits: Limits,
        *,
        max_cost: float | None = None,
    ) -> None:
        self.mixtures, self._ask, self._log = mixtures, ask, log
        self._budget = TurnBudget(max_cost)
        self._turns, self._limits = turns, limits
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. ApiError as long as nothing has been sent."""
        # Before the turn is counted: requests that never arrive must not keep others out.
        try:
            body = await self._bodies.read(Request(scope, receive), self._limits.body)
        except ClientDisconnect:
            return
        with self._turns.start() as cancel_token:
            if len(body) > SMALL_BYTES:
                chat_request = await asyncio.to_thread(parse_request, body)
            else:
                chat_request = parse_request(body)
            served = self.mixtures.get(chat_request.model, chat_request.moa)
            mixture = Mixture(with_overrides(served.plan, chat_request), self._ask, served.models)
            turn = ServedTurn(mixture, chat_request, self._log, cancel_token, self._budget)
            answer = (
                self._stream(turn, chat_request, send)
                if chat_request.stream
                else self._whole(turn, chat_request, scope, receive, send)
            )
            await _until_disconnect(answer, receive)

    async def _whole(
        self, turn: ServedTurn, chat_request: ChatRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async with aclosing(turn.events()) as events:
            async for _ in events:
                pass
        reason = turn.finish_reason()
        moa = moa_json(turn.result) if chat_request.moa.include_references else None
        body = ResponseBuilder(chat_request.model).completion(turn.text(), turn.result, reason, moa)
        with suppress(TimeoutError):  # as with a stream
            async with asyncio.timeout(WRITE_SECONDS):
                await _AsciiResponse(body)(scope, receive, send)

    async def _stream(self, turn: ServedTurn, chat_request: ChatRequest, send: Send) -> None:
        stream = EventStream(send, self._limits.keep_alive)
        alive = asyncio.create_task(stream.keep_alive())
        try:
            await self._chunks(turn, chat_request, stream)
        except ApiError as error:
            if not stream.started:
                raise
            # Too late for a status. Without [DONE], so that no client takes a part for the whole.
            await stream.end(server_sent(error.body))
        except TimeoutError:
            # The client does not read: a response left unfinished makes the server close the connection.
            return
        finally:
            alive.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await alive

    async def _chunks(self, turn: ServedTurn, chat_request: ChatRequest, stream: EventStream) -> None:
        responses = ResponseBuilder(chat_request.model, include_usage=chat_request.include_usage)
        begun = False
        async with aclosing(turn.events()) as events:
            async for event in events:
                if isinstance(event, ReplyDelta):
                    if delta := _delta(event):
                        role = {} if begun else {"role": "assistant"}
                        begun = True
                        await stream.write(responses.chunk({**role, **delta}))
                elif chat_request.moa.progress and (news := progress_json(event)):
                    await stream.write(responses.chunk({}, moa={"progress": news}))
        reason = turn.finish_reason()
        moa = moa_json(turn.result) if chat_request.moa.include_references else None
        last = responses.chunk({} if begun else {"role": "assistant", "content": ""}, reason, moa)
        if chat_request.include_usage:
            last += responses.usage_chunk(turn.result.usage)
        await stream.end(last + DONE)


class EventStream:
    """A streamed response. Nothing is sent before the first `write`."""

    def __init__(self, send: Send, silence: float) -> None:
        self._send = send
        self._silence = silence
        self._lock = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()
        self.started = False

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the body, the headers before the first. TimeoutError when they are not read."""
        async with self._lock, asyncio.timeout(WRITE_SECONDS):
            if not self.started:
                await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                self.started = True
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._last = asyncio.get_running_loop().time()

    async def end(self, data: bytes) -> None:
        """Send the last part."""
        await self.write(data, more=False)

    async def keep_alive(self) -> None:
        """Send a comment whenever nothing was sent for too long; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            silent = loop.time() - self._last
            if silent >= self._silence:
                await self.write(COMMENT)
            else:
                await asyncio.sleep(self._silence - silent)


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Without this nginx buffers the whole stream.
    (b"x-accel-buffering", b"no"),
]


class _AsciiResponse(JSONResponse):
    """JSON in ASCII: model text can hold lone surrogates, which UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def _delta(event: ReplyDelta) -> dict[str, str]:
    fields = {"content": event.text, "reasoning_content": event.reasoning}
    return {name: text for name, text in fields.items() if text}


class Bodies:
    """Reads the bodies of requests, with a limit on what is held of those that are still arriving."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, request: Request, limit: int) -> bytes:
        """Return the body, of at most `limit` bytes. ApiError: 408, 413, 415, 429."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "The body has to be of type application/json.", "unsupported_media_type")
        too_large = ApiError(413, f"The body is larger than {limit} bytes.", "body_too_large")
        if int(request.headers.get("content-length", "0")) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS), aclosing(request.stream()) as pieces:
                async for piece in pieces:
                    body += piece
                    self._held += len(piece)
                    if len(body) > limit:
                        raise too_large
                    if self._held > BODIES_BYTES and len(body) > SMALL_BYTES:
                        raise rate_limited("Too many large bodies at once.", "too_many_requests", 1)
        except TimeoutError:
            raise ApiError(
                408, "The body did not arrive in time.", "request_timeout", headers={"Connection": "close"}
            ) from None
        finally:
            self._held -= len(body)
        return bytes(body)


async def _until_disconnect(answer: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run `answer` until it ends or the client disconnects; raises what `answer` raises."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        both = (leaving, answering)
        finished = answering.done()
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    if finished:
        answering.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
