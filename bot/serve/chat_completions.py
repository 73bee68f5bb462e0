"""POST /v1/chat/completions: a request's turn, answered whole or as a stream.

A stream begins with the first word of the reply, or with the first comment that keeps it alive;
what fails before that has an HTTP status of its own, what fails later comes as an event with the
same error. When the client leaves, the turn is cancelled, and with it every call it has open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bot.events import ReplyDelta
from bot.method.mixture import Mixture
from bot.serve.api_errors import ApiError
from bot.serve.auth import Limits, Turns
from bot.serve.request_schema import ChatRequest, parse_request
from bot.serve.request_turn import Turn
from bot.serve.responses import COMMENT, DONE, ResponseBuilder, moa_json, progress_json, server_sent
from bot.serve.served_mixtures import ServedMixtures, with_overrides

if TYPE_CHECKING:
    from bot.app.log import Log
    from bot.messages import Ask

BODY_SECONDS = 60.0
"""For a whole body to arrive."""
WRITE_SECONDS = 60.0
"""A client that takes nothing for so long is taken for gone."""


class Chat:
    """The route, as an ASGI application."""

    def __init__(self, mixtures: ServedMixtures, ask: Ask, log: Log, turns: Turns, limits: Limits) -> None:
        self.mixtures, self._ask, self._log = mixtures, ask, log
        self._turns, self._limits = turns, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. ApiError as long as nothing is sent."""
        with self._turns.one() as cancel_token:
            chat_request = parse_request(await read_body(Request(scope, receive), self._limits.body))
            made = self.mixtures.find(chat_request.model, chat_request.moa)
            mixture = Mixture(with_overrides(made.plan, chat_request), self._ask, made.models)
            turn = Turn(mixture, chat_request, self._log, cancel_token)
            answer = (
                self._stream(turn, chat_request, send)
                if chat_request.stream
                else self._whole(turn, chat_request, scope, receive, send)
            )
            await _while_there(answer, receive)

    async def _whole(
        self, turn: Turn, chat_request: ChatRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async with aclosing(turn.events()) as events:
            async for _ in events:
                pass
        reason = turn.finish_reason()
        moa = moa_json(turn.result) if chat_request.moa.include_references else None
        body = ResponseBuilder(chat_request.model).completion(turn.text(), turn.result, reason, moa)
        await _Ascii(body)(scope, receive, send)

    async def _stream(self, turn: Turn, chat_request: ChatRequest, send: Send) -> None:
        wire = Wire(send, self._limits.keep_alive)
        alive = asyncio.create_task(wire.keep_alive())
        try:
            await self._chunks(turn, chat_request, wire)
        except ApiError as error:
            if not wire.started:
                raise
            # Too late for a status. No [DONE]: nobody must take what came for the whole.
            await wire.end(server_sent(error.body))
        except TimeoutError:
            # The client takes nothing any more: left unfinished, the connection is dropped.
            return
        finally:
            alive.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await alive

    async def _chunks(self, turn: Turn, chat_request: ChatRequest, wire: Wire) -> None:
        responses = ResponseBuilder(chat_request.model, include_usage=chat_request.include_usage)
        begun = False
        async with aclosing(turn.events()) as events:
            async for event in events:
                if isinstance(event, ReplyDelta):
                    if delta := _delta(event):
                        role = {} if begun else {"role": "assistant"}
                        begun = True
                        await wire.write(responses.chunk({**role, **delta}))
                elif chat_request.moa.progress and (news := progress_json(event)):
                    await wire.write(responses.chunk({}, moa={"progress": news}))
        reason = turn.finish_reason()
        moa = moa_json(turn.result) if chat_request.moa.include_references else None
        last = responses.chunk({} if begun else {"role": "assistant", "content": ""}, reason, moa)
        if chat_request.include_usage:
            last += responses.usage_chunk(turn.result.usage)
        await wire.end(last + DONE)


class Wire:
    """The way back to the client of a stream. Nothing is sent before the first `write`."""

    def __init__(self, send: Send, silence: float) -> None:
        self._send = send
        self._silence = silence
        self._lock = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()
        self.started = False

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the body, the headers before the first. TimeoutError when nobody takes it."""
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
    # nginx would otherwise gather the stream and pass it on in one piece.
    (b"x-accel-buffering", b"no"),
]


class _Ascii(JSONResponse):
    """JSON in ASCII: model text can hold lone surrogates, which UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        import json

        return json.dumps(content, separators=(",", ":")).encode("ascii")


def _delta(event: ReplyDelta) -> dict[str, str]:
    fields = {"content": event.text, "reasoning_content": event.reasoning}
    return {name: text for name, text in fields.items() if text}


async def read_body(request: Request, most: int) -> bytes:
    """Return the body, at most so many bytes of it. ApiError: 413, 415, 408."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "The body has to be of type application/json.", "unsupported_media_type")
    too_large = ApiError(413, f"The body is larger than {most} bytes.", "body_too_large")
    if int(request.headers.get("content-length", "0")) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS), aclosing(request.stream()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, "The body did not arrive in time.", "request_timeout") from None
    return bytes(body)


async def _while_there(answer: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run `answer` as long as the client is there; what it raises is raised."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        both = (leaving, answering)
        over = answering.done()
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    if over:
        answering.result()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
