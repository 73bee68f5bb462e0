"""A limit on the bytes that are read of one response.

Streams have a limit of their own (`bot.client.response_stream`), counted in decoded bytes. This one
also holds for what the SDK reads by itself: error bodies, pages, lists of models.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one response; real answers are far smaller."""


class TooLargeError(httpx.HTTPError):
    """A response is longer than MAX_BODY_BYTES."""


class _LimitedStream(httpx.AsyncByteStream):
    """A response's body that raises `TooLargeError` beyond the limit."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise TooLargeError(
                    f"more than {MAX_BODY_BYTES // 2**20} MB received; the rest was discarded"
                )
            yield piece

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._body.aclose()


async def limit_body(response: httpx.Response) -> None:
    """Limit a response that has not been read yet: an event hook of httpx."""
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _LimitedStream(response.stream)
