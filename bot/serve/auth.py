"""Who may ask: the bearer key and the Host header.

Every route but /healthz is checked. On a loopback address no key is needed, but a web page in a
browser must not be able to ask either. So the Host header has to name this computer, which stops
DNS rebinding, and the body has to be declared as JSON (`request_body` checks that), which a
page cannot send to another origin without a CORS preflight.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.serve.api_errors import ApiError
from bot.settings.endpoints import is_loopback

_PUBLIC_PATHS = frozenset({"/healthz"})
_CONTAINERS = frozenset({"host.docker.internal", "host.containers.internal"})
"""This computer's names in containers. Their domain is reserved: no page can be served under them."""


class AuthMiddleware:
    """ASGI middleware: answers 401 without the right key, and 403 under another host name."""

    def __init__(self, app: ASGIApp, *, key: str | None, host: str) -> None:
        self._app = app
        self._key = key
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with an error."""
        try:
            if scope["type"] == "http" and scope["path"] not in _PUBLIC_PATHS:
                self._check(Headers(scope=scope))
        except ApiError as error:
            await error.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        if self._key is not None:
            self._check_key(headers.get("authorization", ""), self._key)
        else:
            self._check_host(headers.get("host", ""))

    def _check_key(self, authorization: str, key: str) -> None:
        scheme, _, token = authorization.partition(" ")
        same = hmac.compare_digest(token.strip().encode(), key.encode())
        if scheme.lower() != "bearer" or not same:
            message = "The API key is not valid." if authorization else "No API key was sent."
            raise ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _check_host(self, header: str) -> None:
        name = header.rsplit(":", 1)[0] if not header.endswith("]") else header
        own = {self._host.lower(), *_CONTAINERS}
        if name.lower() not in own and not is_loopback(name):
            message = "This service answers under a name of this computer only."
            raise ApiError(403, message, "unknown_host")
