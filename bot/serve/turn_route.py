"""A route that answers with a turn, whole or as a stream: what all APIs have in common.

    body ─► Api.read ─► TurnRequest ─► ServedTurn ─► events ─► Writer ─► AnswerStream
                          └─► Writer

An answer begins with the first word of the reply, or after the first silence. An error before that has
its HTTP status, a later one is sent as a part of the answer. When the client disconnects, the turn is
cancelled, and with it all its calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from bot.app.turn_budget import TurnBudget
from bot.method.mixture import Mixture
from bot.serve.answer_stream import BLANK, COMMENT, EVENTS, JSON, AnswerStream, ascii_json
from bot.serve.api_errors import ApiError
from bot.serve.limits import Limits, Turns
from bot.serve.request_body import SMALL_BYTES, Bodies
from bot.serve.request_turn import ServedTurn
from bot.serve.served_mixtures import ServedMixtures, with_overrides
from bot.store.responses import ResponseStore
from bot.tool_use import PermittedTools

if TYPE_CHECKING:
    from bot.app.known_models import KnownModels
    from bot.app.log import Log
    from bot.events import Event
    from bot.messages import Ask
    from bot.method.plan import Plan
    from bot.serve.turn_request import TurnRequest

Json = dict[str, Any]


class Writer(Protocol):
    """Makes the answer to one request, in the form of its API."""

    def opening(self) -> bytes:
        """Return how a stream begins."""

    def part(self, event: Event) -> bytes:
        """Return what is sent of an event in a stream, b"" for nothing."""

    def end(self, turn: ServedTurn) -> bytes:
        """Return how a stream ends. ApiError when there is no reply, or only a part of one."""

    def error(self, error: ApiError) -> bytes:
        """Return how a stream ends that has begun and has no reply."""

    def whole(self, turn: ServedTurn) -> Json:
        """Return the answer that is not streamed. ApiError as `end`."""


Read = Callable[[bytes], tuple["TurnRequest", Writer]]
"""Reads the body of a request in an API's form. ApiError (400) names the field that is wrong."""


@dataclass(frozen=True, slots=True)
class Service:
    """What all routes share."""

    mixtures: ServedMixtures
    ask: Ask
    log: Log
    turns: Turns
    limits: Limits
    budget: TurnBudget = field(default_factory=lambda: TurnBudget(None))
    bodies: Bodies = field(default_factory=Bodies)
    responses: ResponseStore = field(default_factory=lambda: ResponseStore(None))
    tools: PermittedTools | None = None
    learn_vision: Callable[[Plan, KnownModels], Awaitable[None]] | None = None


class TurnRoute:
    """The route of one API, as an ASGI application."""

    def __init__(self, service: Service, read: Read) -> None:
        self._service, self._read = service, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. ApiError as long as nothing has been sent."""
        service = self._service
        # Before the turn is counted: requests that never arrive must not keep others out.
        try:
            body = await service.bodies.read(Request(scope, receive), service.limits.body)
        except ClientDisconnect:
            return
        with service.turns.start() as cancel_token:
            # A schema can take long to check.
            if len(body) > SMALL_BYTES or b"schema" in body:
                request, writer = await asyncio.to_thread(self._read, body)
            else:
                request, writer = self._read(body)
            served = service.mixtures.get(request.model, request.moa)
            if request.conversation.images and service.learn_vision:
                await service.learn_vision(served.plan, served.models)
            plan = with_overrides(served.plan, request)
            mixture = Mixture(plan, service.ask, served.models, tools=service.tools)
            turn = ServedTurn(mixture, request, service.log, cancel_token, service.budget)
            answer = self._stream if request.stream else self._whole
            await _until_disconnect(answer(turn, writer, send), receive)

    async def _whole(self, turn: ServedTurn, writer: Writer, send: Send) -> None:
        stream = AnswerStream(send, self._service.limits.keep_alive, JSON, BLANK)

        async def answer() -> None:
            async with stream.kept_alive(), aclosing(turn.events()) as events:
                async for _ in events:
                    pass
            await stream.end(ascii_json(writer.whole(turn)))

        # Too late for a status: the error is told as the body, with what would have been its status.
        await _send(answer(), stream, lambda error: ascii_json(error.body_with_status))

    async def _stream(self, turn: ServedTurn, writer: Writer, send: Send) -> None:
        stream = AnswerStream(send, self._service.limits.keep_alive, EVENTS, COMMENT, writer.opening())

        async def answer() -> None:
            async with stream.kept_alive(), aclosing(turn.events()) as events:
                async for event in events:
                    if part := writer.part(event):
                        await stream.write(part)
            await stream.end(writer.end(turn))

        await _send(answer(), stream, writer.error)


async def _send(
    answer: Coroutine[Any, Any, None], stream: AnswerStream, error_text: Callable[[ApiError], bytes]
) -> None:
    """Send an answer. ApiError as long as nothing has been sent."""
    try:
        try:
            await answer
        except ApiError as error:
            if not stream.started:
                raise
            await stream.end(error_text(error))
    except TimeoutError:
        # The client does not read: a response left unfinished makes the server close the connection.
        return


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
