"""A session with one MCP server, by its process or by HTTP; the only importer of the SDK with its transport.

Imported when a server is needed: the SDK takes more than a second to import.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import httpx2
from mcp.client.client import Client
from mcp.client.session import ClientSession, IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    Implementation,
    JSONRPCNotification,
    JSONRPCRequest,
    ToolListChangedNotification,
)

from bot.client.tls import tls_context
from bot.settings.mcp_servers import McpServer
from bot.tools.stdio_transport import MAX_MESSAGE, stdio_transport

MAX_UNASKED = 10_000
"""Messages of a server between two answers; one that sends more is ended."""
_CHANGED = "notifications/tools/list_changed"
Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]

# What it logs has texts of servers, and goes to stderr if nothing handles it.
for _name in ("mcp", "httpx2"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


@asynccontextmanager
async def open_session(
    server: McpServer,
    log: Callable[[str], None],
    *,
    changed: Callable[[], None],
    ended: Callable[[str], None],
) -> AsyncIterator[ClientSession]:
    """Start or reach a server, and yield a session with it. `server` has its variables replaced.

    `changed` is called when its list of tools changes, `ended` with a reason when it ends by itself.
    """

    async def on_message(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed()

    transport = _Transport(server, log, ended)
    client = Client(
        transport,
        message_handler=on_message,
        client_info=Implementation(name="moa-bot", version="0"),
        cache=None,
    )
    async with client:
        yield client.session


class _Transport:
    """The streams of a server, without the messages that nobody asked for and nobody needs."""

    def __init__(self, server: McpServer, log: Callable[[str], None], ended: Callable[[str], None]) -> None:
        self._server, self._log, self._ended = server, log, ended
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Streams:
        async with AsyncExitStack() as stack:
            if self._server.command:
                opened = stdio_transport(self._server, self._log, self._ended)
            else:
                client = await stack.enter_async_context(_http_client(self._server))
                opened = streamable_http_client(
                    self._server.url, http_client=client, max_sse_event_size=MAX_MESSAGE
                )
            read, write = await stack.enter_async_context(opened)
            self._stack = stack.pop_all()
        return _Asked(read, self._ended), write

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


class _Asked:
    """A stream of messages without notifications that are not needed, and an end to one that floods."""

    def __init__(self, read: ReadStream[SessionMessage | Exception], ended: Callable[[str], None]) -> None:
        self._read, self._ended = read, ended
        self._unasked = 0

    async def receive(self) -> SessionMessage | Exception:
        while True:
            message = await self._read.receive()
            if self._is_needed(message):
                return message

    async def aclose(self) -> None:
        await self._read.aclose()

    def __aiter__(self) -> _Asked:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while True:
            message = await self._read.__anext__()
            if self._is_needed(message):
                return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def _is_needed(self, message: SessionMessage | Exception) -> bool:
        content = message.message if isinstance(message, SessionMessage) else None
        if isinstance(content, JSONRPCNotification | JSONRPCRequest) or content is None:
            self._unasked += 1
            if self._unasked == MAX_UNASKED:
                self._ended("it sends one message after another that it was not asked for")
        else:
            self._unasked = 0
        if self._unasked > MAX_UNASKED:
            return False
        return not isinstance(content, JSONRPCNotification) or content.method == _CHANGED


def _http_client(server: McpServer) -> httpx2.AsyncClient:
    async def limit(response: httpx2.Response) -> None:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _LimitedStream(response.stream)

    return httpx2.AsyncClient(
        headers=dict(server.headers),
        timeout=httpx2.Timeout(server.timeout, read=None),
        verify=tls_context() if server.url.lower().startswith("https:") else True,
        event_hooks={"response": [limit]},
    )


class _LimitedStream(httpx2.AsyncByteStream):
    """A body of at most MAX_MESSAGE bytes. httpx2.StreamError for a longer one."""

    def __init__(self, stream: object) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_MESSAGE:
                raise httpx2.StreamError(f"its answer has more than {MAX_MESSAGE:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
