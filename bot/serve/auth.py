"""Who may ask, and how much at once: the bearer key, the Host header, and the turns in progress.

Every route but /healthz is checked. On a loopback address no key is needed, but a web page in a
browser must not be able to ask either. So the Host header has to name this computer, which stops
DNS rebinding, and the body has to be declared as JSON (`chat_completions` checks that), which a
page cannot send to another origin without a CORS preflight.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.method.mixture import CancelToken
from bot.serve.api_errors import ApiError, rate_limited, service_stopping
from bot.settings.endpoints import is_loopback

_PUBLIC_PATHS = frozenset({"/healthz"})


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest body in bytes, the most turns at once, and two times in seconds.

    `keep_alive` is the longest silence of a stream; `grace` is how long turns may go on when the
    service stops.
    """

    body: int = 8 * 2**20
    turns: int = 64
    keep_alive: float = 5.0
    grace: float = 10.0


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
        if name.lower() != self._host.lower() and not is_loopback(name):
            message = "This service answers under a name of this computer only."
            raise ApiError(403, message, "unknown_host")


class Turns:
    """The turns in progress: a limited number, and no new ones once the service stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[CancelToken] = set()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Return when no turn is in progress."""
        await self._idle.wait()

    @contextmanager
    def start(self) -> Iterator[CancelToken]:
        """Count a turn while the block runs. ApiError: 429 at the limit, 503 once the service stops."""
        if self._closing:
            raise service_stopping()
        if len(self._running) >= self._limit:
            raise rate_limited(f"More than {self._limit} requests at once.", "too_many_requests", 1)
        cancel_token = CancelToken()
        self._running.add(cancel_token)
        self._idle.clear()
        try:
            yield cancel_token
        finally:
            self._running.discard(cancel_token)
            if not self._running:
                self._idle.set()

    def close(self) -> None:
        """Start no more turns."""
        self._closing = True

    def cancel_all(self) -> None:
        """Cancel the turns in progress."""
        for cancel_token in self._running:
            cancel_token.stop()
