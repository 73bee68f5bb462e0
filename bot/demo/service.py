"""The offline service: listens, and passes each request to its route.

    GET  /v1/models   POST /v1/chat/completions   GET /healthz

and, with inspection, for tests:

    GET, DELETE /demo/requests   GET /demo/connections   POST /demo/behaviour
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

import h11

from bot.demo.behaviour import Behaviour, parse_behaviour
from bot.demo.chat import ChatRoute, check_key
from bot.demo.fault_injection import StatusError, error_body
from bot.demo.http_wire import BadRequestError, Connection, Exchange, HttpRequest
from bot.demo.request_log import RequestLog
from bot.errors import ConfigError, MoaError

if TYPE_CHECKING:
    from types import TracebackType

_CLOSE_TIMEOUT: Final = 1.0

Handler = Callable[[Exchange], Awaitable[None]]


class DemoService:
    """The service; it runs in the current event loop during its `async with` block.

    `port` 0 chooses a free one. `inspect` adds the routes under /demo. Raises MoaError when it cannot
    listen there.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        inspect: bool = False,
    ) -> None:
        self.request_log = RequestLog(enabled=inspect)
        self._host = host
        self._port = port
        self._chat = ChatRoute(behaviour or Behaviour())
        self._started = int(time.time())
        self._connections_made = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._routes: dict[str, dict[str, Handler]] = {
            "/healthz": {"GET": self._healthz},
            "/v1/models": {"GET": self._models},
            "/v1/chat/completions": {"POST": self._completions},
        }
        if inspect:
            self._routes |= {
                "/demo/requests": {"GET": self._requests, "DELETE": self._clear_requests},
                "/demo/connections": {"GET": self._connections},
                "/demo/behaviour": {"POST": self._set_behaviour},
            }

    @property
    def url(self) -> str:
        """The address without `/v1`, which the together SDK adds by itself: `http://127.0.0.1:8011`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """The address for an OpenAI-compatible client: `http://127.0.0.1:8011/v1`."""
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        """Start to listen."""
        try:
            self._server = await asyncio.start_server(
                self._serve_connection, self._host, self._port, backlog=512
            )
        except (OSError, OverflowError) as error:
            raise _cannot_listen(self._host, self._port, error) from error
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, and close all connections."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it closes."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        self.request_log.opened += 1
        self.request_log.open += 1
        self._connections_made += 1
        connection = Connection(self._connections_made, reader, writer)
        inspecting = False
        try:
            while request := await connection.next_request():
                if request.path.startswith("/demo/") and not inspecting:
                    inspecting = True
                    self.request_log.opened -= 1
                    self.request_log.open -= 1
                await self._handle(connection, request)
                if not connection.next_cycle():
                    break
        except BadRequestError as error:
            await _answer_bad_request(connection, error)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self.request_log.open -= not inspecting
            connection.close()
            if task is not None:
                self._tasks.discard(task)

    async def _handle(self, connection: Connection, request: HttpRequest) -> None:
        """Answer one request; a chat request is recorded."""
        exchange = Exchange(connection, request)
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            await connection.run_until_disconnect(self._answer(exchange, self._route(request)))
            return
        record = self.request_log.add(request, connection.number)
        exchange.number = record.number
        finished = False
        try:
            finished = await connection.run_until_disconnect(self._answer(exchange, self._route(request)))
        finally:
            record.finish(cancelled=not finished)

    def _route(self, request: HttpRequest) -> Handler:
        methods = self._routes.get(request.path)
        if methods is None:
            message = f"Unknown path {request.path}; here are {', '.join(self._routes)}."
            return _error_handler(StatusError(404, message, code="unknown_path"))
        if request.method not in methods:
            error = StatusError(405, f"{request.method} is not possible here.", code="method_not_allowed")
            error.headers = {"allow": ", ".join(methods)}
            return _error_handler(error)
        return methods[request.method]

    async def _answer(self, exchange: Exchange, handler: Handler) -> None:
        try:
            await handler(exchange)
        except StatusError as error:
            exchange.headers |= error.headers
            await exchange.reply_json(error.status, error.body)

    async def _healthz(self, exchange: Exchange) -> None:
        await exchange.reply_json(200, {"status": "ok"})

    async def _models(self, exchange: Exchange) -> None:
        behaviour = self._chat.behaviour
        check_key(behaviour.require_key, exchange.request.headers.get("authorization", ""))
        entries: list[dict[str, Any]] = [
            {
                "id": model,
                "object": "model",
                "created": self._started,
                "owned_by": "demo",
                **model_behaviour.facts,
            }
            for model, model_behaviour in behaviour.models.items()
        ]
        await exchange.reply_json(
            200, entries if behaviour.bare_list else {"object": "list", "data": entries}
        )

    async def _completions(self, exchange: Exchange) -> None:
        await self._chat.answer(exchange, exchange.number)

    async def _requests(self, exchange: Exchange) -> None:
        await exchange.reply_json(200, [record.as_json() for record in self.request_log.requests])

    async def _clear_requests(self, exchange: Exchange) -> None:
        self.request_log.requests.clear()
        await exchange.reply_json(200, {"requests": 0})

    async def _connections(self, exchange: Exchange) -> None:
        await exchange.reply_json(200, {"opened": self.request_log.opened, "open": self.request_log.open})

    async def _set_behaviour(self, exchange: Exchange) -> None:
        try:
            behaviour = parse_behaviour(json.loads(exchange.request.body))
        except ConfigError as error:
            raise StatusError(400, error.message, code="invalid_behaviour") from error
        except ValueError as error:
            raise StatusError(400, f"behaviour: not JSON: {error}", code="invalid_behaviour") from error
        self._chat = ChatRoute(behaviour)
        await exchange.reply_json(200, {"models": list(behaviour.models)})


def _error_handler(error: StatusError) -> Handler:
    async def handler(_: Exchange) -> None:
        raise error

    return handler


async def _answer_bad_request(connection: Connection, error: BadRequestError) -> None:
    """Answer what could not be read as a request, and give the client time to read the error."""
    request = HttpRequest("POST", "", {}, b"", 0.0, chunked_reply=True)
    body = error_body(
        str(error), "invalid_request_error", HTTPStatus(error.status).phrase.lower().replace(" ", "_")
    )
    try:
        await Exchange(connection, request).reply_json(error.status, body)
    except (h11.LocalProtocolError, ConnectionError):
        return
    await connection.linger()


def _cannot_listen(host: str, port: int, error: Exception) -> MoaError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return MoaError(f"port {port} on {host} is in use", "choose another with --port; 0 takes a free one")
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return MoaError(f"cannot listen on {host}, port {port}: {reason}", "choose another --host or --port")
