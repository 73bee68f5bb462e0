"""Which services listen on this computer: a quick look at the loopback addresses of the settings.

A service counts when it answers GET /models with a list of models in good time. The question is
plain HTTP over a socket, so that the look can be had before anything heavy is loaded. No key is
sent. Nobody looks unless models of this computer are asked for, a list of all models, a check-up,
or a way to begin without a key.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bot.client.model_list import ModelList, read_model_list
from bot.settings.endpoints import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.settings.endpoints import EndpointConfig

SECONDS = 0.2
LARGEST = 4_000_000
OLLAMA, OLLAMA_PORT = "ollama", 11434


class LocalService(NamedTuple):
    """A service that answered. `tags` is what it says of its models beyond the list, decoded from JSON."""

    endpoint: EndpointConfig
    model_list: ModelList
    tags: object = None


async def look(
    endpoints: Iterable[EndpointConfig], seconds: float | None = None, *, tags: bool = False
) -> list[LocalService]:
    """Return the services on this computer that answer within `seconds` (`SECONDS`), in the order given.

    Two names of one address are one service. With `tags`, Ollama is also asked how large its
    models are and of which family.
    """
    seconds = SECONDS if seconds is None else seconds
    near: dict[str, EndpointConfig] = {}
    for endpoint in endpoints:
        if endpoint.base_url and endpoint.on_this_computer and endpoint.name != LOCAL:
            near.setdefault(endpoint.base_url, endpoint)
    found = await asyncio.gather(*(_service(endpoint, seconds, tags=tags) for endpoint in near.values()))
    return [service for service in found if service is not None]


async def _service(endpoint: EndpointConfig, seconds: float, *, tags: bool) -> LocalService | None:
    url = urlsplit(endpoint.base_url)
    if url.scheme != "http" or url.hostname is None:
        return None
    host, port = url.hostname, url.port or 80
    ollama = tags and (endpoint.name == OLLAMA or port == OLLAMA_PORT)
    answer, more = await asyncio.gather(
        _ask(host, port, f"{url.path}/models", seconds),
        _ask(host, port, f"{url.path.removesuffix('/v1')}/api/tags", seconds) if ollama else _nothing(),
    )
    model_list = read_model_list(answer)
    return None if model_list is None else LocalService(endpoint, model_list, more)


async def _nothing() -> object:
    return None


async def _ask(host: str, port: int, path: str, seconds: float) -> object:
    """Return what is answered, decoded from JSON; None when nothing useful is, in time."""
    with suppress(OSError, TimeoutError, ValueError, EOFError):
        async with asyncio.timeout(seconds):
            answer: object = json.loads(await _get(host, port, path))
            return answer
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
