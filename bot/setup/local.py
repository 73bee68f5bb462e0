"""Which services listen on this computer: a quick look at the loopback addresses of the settings.

A service counts when it answers GET /models with a list of models in good time. The question is
plain HTTP over a socket, so that the look can be had before anything heavy is loaded.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bot.listing import Listing, read_listing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.settings.endpoints import EndpointConfig

SECONDS = 0.2
LARGEST = 4_000_000


class LocalService(NamedTuple):
    """A service that answered."""

    endpoint: EndpointConfig
    listing: Listing


async def look(endpoints: Iterable[EndpointConfig], seconds: float = SECONDS) -> list[LocalService]:
    """Return the services on this computer that answer within `seconds`, in the order given."""
    near = [endpoint for endpoint in endpoints if endpoint.base_url and endpoint.on_this_computer]
    answers = await asyncio.gather(*(_ask(endpoint.base_url, seconds) for endpoint in near))
    found = zip(near, answers, strict=True)
    return [LocalService(endpoint, listing) for endpoint, listing in found if listing is not None]


async def _ask(base_url: str, seconds: float) -> Listing | None:
    url = urlsplit(base_url)
    if url.scheme != "http" or url.hostname is None:
        return None
    with suppress(OSError, TimeoutError, ValueError, EOFError):
        async with asyncio.timeout(seconds):
            return read_listing(json.loads(await _get(url.hostname, url.port or 80, f"{url.path}/models")))
    return None


async def _get(host: str, port: int, path: str) -> bytes:
    """Return the body of an answer with status 200; ValueError for any other."""
    reader, writer = await asyncio.open_connection(host, port, limit=LARGEST)
    try:
        named = f"[{host}]" if ":" in host else host
        head = f"GET {path} HTTP/1.0\r\nHost: {named}:{port}\r\nAccept: application/json\r\n\r\n"
        writer.write(head.encode("ascii"))
        # HTTP/1.0: the service ends its answer by closing, and sends it in one piece.
        answer, _, body = (await _all(reader)).partition(b"\r\n\r\n")
        if answer[:5] != b"HTTP/" or answer.split(b" ", 2)[1:2] != [b"200"]:
            raise ValueError("not an answer of a service")
        return body
    finally:
        writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    pieces, size = [], 0
    while (piece := await reader.read(1 << 16)) and size <= LARGEST:
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
