"""Reads the bodies of requests, within limits of size and time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from starlette.requests import Request

from bot.serve.api_errors import ApiError, rate_limited

BODY_SECONDS = 15.0
"""How long a whole body may take to arrive."""
BODIES_BYTES = 64 * 2**20
"""How much the bodies that are still arriving may be in all; small ones are read in any case."""
SMALL_BYTES = 2**16
"""A body of so many bytes is small: checking it stalls nothing."""


class Bodies:
    """Reads the bodies of requests, with a limit on what is held of those that are still arriving."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, request: Request, limit: int) -> bytes:
        """Return the body, of at most `limit` bytes. ApiError: 408, 413, 415, 429."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "The body has to be of type application/json.", "unsupported_media_type")
        too_large = ApiError(413, f"The body is larger than {limit} bytes.", "body_too_large")
        if int(request.headers.get("content-length", "0")) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS), aclosing(request.stream()) as pieces:
                async for piece in pieces:
                    body += piece
                    self._held += len(piece)
                    if len(body) > limit:
                        raise too_large
                    if self._held > BODIES_BYTES and len(body) > SMALL_BYTES:
                        raise rate_limited("Too many large bodies at once.", "too_many_requests", 1)
        except TimeoutError:
            raise ApiError(
                408, "The body did not arrive in time.", "request_timeout", headers={"Connection": "close"}
            ) from None
        finally:
            self._held -= len(body)
        return bytes(body)
