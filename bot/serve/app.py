"""The service as an ASGI application: its routes, and errors in the form of the OpenAI API.

GET /healthz    GET /v1/models    GET /v1/models/ID
POST /v1/chat/completions    POST /v1/completions    POST /v1/responses    GET and DELETE /v1/responses/ID
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.serve.api_errors import ApiError
from bot.serve.auth import AuthMiddleware
from bot.serve.chat_json import read_chat
from bot.serve.completions_api import read_completion
from bot.serve.responses_routes import Responses
from bot.serve.served_mixtures import ServedMixtures
from bot.serve.turn_route import Service, TurnRoute


def make_app(service: Service, *, key: str | None, host: str, cors: Sequence[str] = ()) -> Starlette:
    """Return the application. `key` is the bearer key, if one is required; `host` is where it listens.

    Pages from the origins in `cors` may use it in a browser.
    """
    models, responses = _Models(service.mixtures), Responses(service.responses)
    return Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/v1/models", models.list_all, methods=["GET"]),
            Route("/v1/models/{model:path}", models.get_one, methods=["GET"]),
            Route("/v1/chat/completions", TurnRoute(service, read_chat), methods=["POST"]),
            Route("/v1/completions", TurnRoute(service, read_completion), methods=["POST"]),
            Route("/v1/responses", TurnRoute(service, responses.read), methods=["POST"]),
            Route("/v1/responses/{response}", responses.get, methods=["GET"]),
            Route("/v1/responses/{response}", responses.delete, methods=["DELETE"]),
            Route("/v1/responses/{response}/input_items", responses.items, methods=["GET"]),
        ],
        # A browser asks whether it may before it sends the key: CORS comes first.
        middleware=[*_cors(cors), Middleware(AuthMiddleware, key=key, host=host)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _bug},
    )


def _cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
            allow_private_network=True,
        )
    ]


class _Models:
    """The routes that list models."""

    def __init__(self, mixtures: ServedMixtures) -> None:
        self._mixtures = mixtures
        self._created = int(time.time())

    async def list_all(self, request: Request) -> Response:  # noqa: ARG002 - a route's parameter
        """Return all of them, the served mixture first."""
        return JSONResponse({"object": "list", "data": self._entries()})

    async def get_one(self, request: Request) -> Response:
        """Return one by its id."""
        for entry in self._entries():
            if entry["id"] == request.path_params["model"]:
                return JSONResponse(entry)
        raise ApiError(404, "There is no such model here.", "model_not_found", "model")

    def _entries(self) -> list[dict[str, Any]]:
        return [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": "moa-bot",
                "description": description,
                # The together SDK requires the type of every model.
                "type": "chat",
            }
            for name, description in self._mixtures.entries()
        ]


async def _healthz(request: Request) -> Response:  # noqa: ARG001 - a route's parameter
    return JSONResponse({"status": "ok"})


async def _api_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler's parameters
    assert isinstance(error, ApiError)  # noqa: S101 - it is registered for these
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path, or a method that it does not support."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    where = f"{request.method} {request.url.path}"
    message = f"{where}: there is no such route." if error.status_code == 404 else f"{where}: {error.detail}."  # noqa: PLR2004 - HTTP's own number
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return ApiError(error.status_code, message, code, headers=dict(error.headers or {})).response()


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler's parameters
    """Answer after a bug of ours; the traceback is in the server's own output, not in the answer."""
    message = "This is a bug in moa-bot itself; its output has the details."
    return ApiError(500, message, "internal_error").response()
