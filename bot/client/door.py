"""A door through which requests leave one by one, so that the first does not wait for the last.

To make a request and write it takes a few steps of the event loop. Calls that begin together would
take them in turns, and all leave when all are made; here one is on its way before the next begins.
Nobody holds the door while he waits for the network: a call that has to connect steps aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpx

_ON_ITS_WAY = ("connect_tcp.started", "connect_unix_socket.started", "send_request_headers.complete")
"""Ends of the names of httpcore's trace events after which the rest is waiting."""


class Door:
    """Lets one call at a time make its request and write it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        """Hold the door until the request that is made in the block is on its way, or the block ends."""
        await self._lock.acquire()
        passing = _Passing(self._lock)
        before = _PASSING.set(passing)
        try:
            yield
        finally:
            _PASSING.reset(before)
            passing.leave()


class _Passing:
    """A call on its way through the door."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock: asyncio.Lock | None = lock
        self._extensions: dict[str, Any] = {}

    def watch(self, request: httpx.Request) -> None:
        """Have httpcore tell what it does for this request."""
        self._extensions = request.extensions = {**request.extensions, "trace": self.trace}

    def leave(self) -> None:
        """Let the next one in, once, and hear no more of the request."""
        self._extensions.pop("trace", None)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def trace(self, event: str, _: dict[str, Any]) -> None:
        """Take note of what httpcore does for the request."""
        if event.endswith(_ON_ITS_WAY):
            self.leave()


_PASSING: ContextVar[_Passing | None] = ContextVar("passing", default=None)


async def watch(request: httpx.Request) -> None:
    """Have the request tell when it is on its way: an event hook of httpx."""
    passing = _PASSING.get()
    if passing is not None:
        passing.watch(request)
