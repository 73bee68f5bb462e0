"""The service as an ASGI application: its routes, and errors in the form of the OpenAI API.

GET /healthz    GET /v1/models    GET /v1/models/ID    POST /v1/chat/completions
"""

from __future__ import annotations

import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.serve.api_errors import ApiError
from bot.serve.auth import AuthMiddleware
from bot.serve.chat_completions import Chat
from bot.serve.served_mixtures import ServedMixtures


def make_app(chat: Chat, *, key: str | None, host: str) -> Starlette:
    """Return the application. `key` is asked for, if there is one; `host` is where it listens."""
    models = _Models(chat.mixtures)
    return Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/v1/models", models.listed, methods=["GET"]),
            Route("/v1/models/{model:path}", models.one, methods=["GET"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ],
        middleware=[Middleware(_Errors), Middleware(AuthMiddleware, key=key, host=host)],
        exception_handlers={HTTPException: _http_error, Exception: _bug},
    )


class _Errors:
    """Answers what the gate refuses: it stands outside of Starlette's own handling of exceptions."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except ApiError as error:
            await error_response(error)(scope, receive, send)


class _Models:
    """The list of models."""

    def __init__(self, mixtures: ServedMixtures) -> None:
        self._mixtures = mixtures
        self._since = int(time.time())

    async def listed(self, request: Request) -> Response:  # noqa: ARG002 - a route's parameter
        """Return all of them, the served mixture first."""
        return JSONResponse({"object": "list", "data": self._entries()})

    async def one(self, request: Request) -> Response:
        """Return one by its id."""
        chat_request = request.path_params["model"]
        for entry in self._entries():
            if entry["id"] == chat_request:
                return JSONResponse(entry)
        raise ApiError(404, "There is no such model here.", "model_not_found", "model")

    def _entries(self) -> list[dict[str, Any]]:
        return [
            {
                "id": name,
                "object": "model",
                "created": self._since,
                "owned_by": "moa-bot",
                "description": description,
                # The together SDK asks every model for its kind.
                "type": "chat",
            }
            for name, description in self._mixtures.listed()
        ]


async def _healthz(request: Request) -> Response:  # noqa: ARG001 - a route's parameter
    return JSONResponse({"status": "ok"})


def error_response(error: ApiError) -> Response:
    """Return a refusal as a response."""
    return JSONResponse(error.body, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path, or a method that it has not."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    where = f"{request.method} {request.url.path}"
    message = f"{where}: there is no such route." if error.status_code == 404 else f"{where}: {error.detail}."  # noqa: PLR2004 - HTTP's own number
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return error_response(ApiError(error.status_code, message, code, headers=dict(error.headers or {})))


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler's parameters
    """Answer after a mistake of ours; what it was stands in the server's own output, not here."""
    return error_response(
        ApiError(500, "This is a mistake in moa-bot itself; see its output.", "internal_error")
    )
