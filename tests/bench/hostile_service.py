"""A service that answers each model with bytes of its own: what no honest service sends."""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: "
EVENTS = OK + b"text/event-stream\r\n\r\n"
JSON = OK + b"application/json\r\n\r\n"
GZIP_JSON = OK + b"application/json\r\nContent-Encoding: gzip\r\n\r\n"
GZIP_PAGE = OK + b"text/html\r\nContent-Encoding: gzip\r\n\r\n"


def refusal(status: int, body: object, *, encoding: bytes = b"") -> bytes:
    """The head and body of a refusal; with an encoding, the head only."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = b"text/html" if data.startswith(b"<") else b"application/json"
    head = b"HTTP/1.1 %d No\r\nConnection: close\r\nContent-Type: %s\r\n" % (status, kind)
    return head + (b"Content-Encoding: " + encoding + b"\r\n\r\n" if encoding else b"\r\n" + data)


def event(delta: dict[str, object], finish: str | None = None) -> bytes:
    """An event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def answer(text: str) -> bytes:
    """A good answer."""
    return EVENTS + event({"content": text}, "stop") + b"data: [DONE]\n\n"


def bomb(block: bytes, size: int = 6_000_000) -> bytes:
    """So many bytes of gzip that hold gigabytes of `block`."""
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    head = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(block * (2**24 // len(block))) + compressor.flush(zlib.Z_FULL_FLUSH)
    return head + again * (size // len(again))


Answer = tuple[bytes, bytes, float]
"""What is sent at once; what is sent again and again after it (b"": nothing), and the seconds between."""


@contextmanager
def serving(answers: dict[str, Answer], otherwise: Callable[[str], bytes]) -> Iterator[str]:
    """Serve the answers by the name of the model; yields the address."""
    loop, address = asyncio.new_event_loop(), asyncio.Queue[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            model = json.loads(body)["model"] if body else ""
            async for piece in _pieces(answers.get(model) or (otherwise(model), b"", 0.0)):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def start() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address.put_nowait(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield asyncio.run_coroutine_threadsafe(address.get(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _pieces(given: Answer) -> AsyncIterator[bytes]:
    at_once, again, pause = given
    yield at_once
    for piece in repeat(again) if again else ():
        await asyncio.sleep(pause)
        yield piece
