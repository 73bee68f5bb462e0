"""Who may ask, and how much at once: the bearer key, the Host header, and the turns under way.

The gate stands before every route but /healthz. On this computer's own address no key is needed;
then a page in a browser must not be able to ask either, so the Host header has to name this
computer (a rebound name does not), and the body has to be declared as JSON (`app` sees to that),
which no page can send to another origin without being asked first.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.method.mixture import CancelToken
from bot.serve.api_errors import ApiError, busy, stopping

OPEN = frozenset({"/healthz"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service takes: bytes of a body, turns at once; and its times in seconds.

    `keep_alive` is the longest silence of a stream, `grace` the time that turns get to end when
    the service stops.
    """

    body: int = 8 * 2**20
    turns: int = 64
    keep_alive: float = 5.0
    grace: float = 10.0


class AuthMiddleware:
    """ASGI middleware: refuses who has not the key or asks under another name."""

    def __init__(self, app: ASGIApp, *, key: str | None, host: str) -> None:
        self._app = app
        self._key = key
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or raise ApiError."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            headers = Headers(scope=scope)
            if self._key is not None:
                self._check_key(headers.get("authorization", ""), self._key)
            else:
                self._check_host(headers.get("host", ""))
        await self._app(scope, receive, send)

    def _check_key(self, authorization: str, key: str) -> None:
        scheme, _, token = authorization.partition(" ")
        same = hmac.compare_digest(token.strip().encode(), key.encode())
        if scheme.lower() != "bearer" or not same:
            said = "The API key is not valid." if authorization else "No API key was sent."
            raise ApiError(401, said, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _check_host(self, header: str) -> None:
        name = header.rsplit(":", 1)[0] if not header.endswith("]") else header
        if name.lower() != self._host.lower() and not is_loopback(name):
            message = "This service answers under a name of this computer only."
            raise ApiError(403, message, "unknown_host")


class Turns:
    """The turns under way: no more than so many, and none once the service stops."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[CancelToken] = set()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Return when none is under way."""
        await self._idle.wait()

    @contextmanager
    def one(self) -> Iterator[CancelToken]:
        """Count a turn while the block runs. ApiError: 429 when there are too many, 503 at the end."""
        if self._closing:
            raise stopping()
        if len(self._running) >= self._most:
            raise busy(f"More than {self._most} requests at once.", "too_many_requests", 1)
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
        """Take no more turns."""
        self._closing = True

    def cut(self) -> None:
        """End the turns that are under way."""
        for cancel_token in self._running:
            cancel_token.stop()


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this computer's own, reachable from nowhere else."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
