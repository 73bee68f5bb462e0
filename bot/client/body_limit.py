"""A ceiling over every response: whatever a service sends, so much of it is read and no more.

Streams have a limit of their own (`bot.client.provider`), counted in what was decoded. This one holds for
all that the SDK reads by itself as well: error bodies, pages, lists of models.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes of one response that are read; no honest answer is near it."""


class TooLargeError(httpx.HTTPError):
    """A response went on after the ceiling."""


class _LimitedStream(httpx.AsyncByteStream):
    """A response's body that ends in `TooLargeError` where it goes on for too long."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise TooLargeError(f"more than {MAX_BODY_BYTES // 2**20} MB came; the rest was not read")
            yield piece

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._body.aclose()


async def limit_body(response: httpx.Response) -> None:
    """Put the ceiling over a response that has not been read yet: an event hook of httpx."""
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _LimitedStream(response.stream)
