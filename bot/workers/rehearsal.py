"""One call to a service of our own, before the workers are forked: what it leaves behind they share.

The fork server imports this module where nobody waits for an answer yet. A process's first call
fills caches, specialises code and writes to pages that every worker would otherwise write for
itself: 2 MB less a worker (`tests/bench/turns.py` measures them). It takes 5-9 ms, which is why a
question on the command line goes without it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bot.client.provider import Provider
from bot.messages import Completion, Endpoint, Message, Request
from bot.workers import preload  # first of all: it sees to what is imported, and what is not
from bot.workers.worker import tls

SECONDS = 1.0
"""The longest it may take."""
_ANSWER = b"""HTTP/1.1 200 OK\r
Content-Type: text/event-stream\r
Connection: close\r
\r
data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "here"}}]}

data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}

data: [DONE]

"""


async def rehearse() -> bool:
    """Ask a service that listens on this machine only, for this one call; returns whether it answered."""
    import httpx

    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        # A transport of its own: no proxy is to hear of this.
        provider = Provider(tls(), transport=httpx.AsyncHTTPTransport(verify=tls()))
        endpoint = Endpoint("rehearsal", f"http://{host}:{port}/v1")
        request = Request(endpoint, "none", (Message("user", "?"),), 0.7, 1, timeout=SECONDS)
        updates = [update async for update in provider.complete(request)]
        await provider.close()
    return any(isinstance(update, Completion) for update in updates)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.write(_ANSWER)
    writer.close()


def main() -> None:
    """Rehearse; whatever goes wrong here will go wrong in a worker too, and be told there."""
    with suppress(Exception):
        asyncio.run(asyncio.wait_for(rehearse(), SECONDS))
    preload.share()


main()
