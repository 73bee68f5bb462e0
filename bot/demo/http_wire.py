"""HTTP/1.1 on one connection, with h11.

    Connection   one TCP connection; h11 parses the requests; kept alive over many of them
    Exchange     one request on it, and the methods that answer it

By hand, and not with Starlette, for three reasons. Faults break the connection of the chat route in
ways that an ASGI server does not allow: RST, a close in the middle of a chunked body, no answer at all,
chunks of a single byte. The inspection routes report when a client disconnected. And the service
starts with the program: importing h11 takes a quarter of the time of Starlette and uvicorn.

h11 writes headers and ends; the chunks between are framed here, because a streamed token must cost
little.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import h11

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

MAX_BODY: Final = 64 * 2**20
"""The largest body of a request in bytes; a larger one is answered with 413."""

READ_SIZE: Final = 2**18
_DRAIN_ABOVE: Final = 2**16
_LINGER_SECONDS: Final = 2.0


class BadRequestError(Exception):
    """A request that is not HTTP (`status` 400) or too large (413)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request: path without query, header names in lower case, `time` of arrival.

    `time` is in seconds of the monotonic clock, taken when the head was read.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    time: float
    chunked_reply: bool


class Connection:
    """One TCP connection from a client; connections are numbered from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.writer = writer
        self.http = h11.Connection(h11.SERVER)
        self._reader = reader
        self._reading: asyncio.Task[bytes] | None = None

    async def next_request(self) -> HttpRequest | None:
        """Return the next request; None when the client has closed. Raises BadRequestError."""
        try:
            head = await self._event()
            if not isinstance(head, h11.Request):
                return None
            arrived = time.monotonic()
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            if int(headers.get("content-length", 0)) > MAX_BODY:
                raise BadRequestError(413, f"The body is larger than {MAX_BODY} bytes.")
            body = await self._body()
        except h11.RemoteProtocolError as error:
            raise BadRequestError(400, f"Not a request in HTTP/1.1: {error}") from error
        return HttpRequest(
            method=head.method.decode("latin-1"),
            path=head.target.decode("latin-1").partition("?")[0],
            headers=headers,
            body=body,
            time=arrived,
            chunked_reply=head.http_version != b"1.0",
        )

    async def run_until_disconnect(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work`, and cancel it when the client disconnects; returns whether it ended by itself."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                reading = self._start_reading()
                await asyncio.wait({task, reading}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    task.result()
                    return True
                data = self._take_read()
                if not data:
                    return False
                # A pipelined request; h11 keeps it until the next cycle.
                self.http.receive_data(data)
        except ConnectionError:
            return False
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    # It failed on the closed connection at the same moment, which means the same.
                    task.exception()

    def next_cycle(self) -> bool:
        """Prepare for another request; False when the connection has to be closed."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False

    async def linger(self) -> None:
        """Let the client read an error before the close: discard what it still sends, for a while."""
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                while True:
                    await asyncio.wait({self._start_reading()})
                    if not self._take_read():
                        return
        except (OSError, TimeoutError):
            return

    def close(self) -> None:
        """Stop reading, and close once everything written has been sent."""
        if self._reading is not None and not self._reading.cancel():
            self._take_read()
        self.writer.close()

    async def _body(self) -> bytes:
        if self.http.they_are_waiting_for_100_continue:
            continue_reply = self.http.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.writer.write(continue_reply or b"")
        parts: list[bytes] = []
        size = 0
        while isinstance(event := await self._event(), h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MAX_BODY:
                raise BadRequestError(413, f"The body is larger than {MAX_BODY} bytes.")
        return b"".join(parts)

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]  # h11 types its two sentinels as classes
            await asyncio.wait({self._start_reading()})
            self.http.receive_data(self._take_read())

    def _start_reading(self) -> asyncio.Task[bytes]:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(READ_SIZE))
        return self._reading

    def _take_read(self) -> bytes:
        """Return what was read; b"" when the client closed or reset the connection."""
        task, self._reading = self._reading, None
        return b"" if task is None or task.exception() is not None else task.result()


class Exchange:
    """A request and the methods that answer it.

    `number` is the number of a chat request. `piece_size` splits the body into chunks of so many bytes.
    """

    def __init__(self, connection: Connection, request: HttpRequest) -> None:
        self.connection = connection
        self.request = request
        self.piece_size: int | None = None
        self.headers: dict[str, str] = {}
        self.started = False
        self.number = 0
        self._http = connection.http
        self._writer = connection.writer
        self._chunked = request.chunked_reply

    async def reply(self, status: int, content_type: str, body: bytes) -> None:
        """Send a whole answer."""
        if self.piece_size is not None and body:
            await self.start(status, content_type)
            await self.write(body)
            await self.end()
            return
        self.started = True
        head = self._head(status, content_type, ("content-length", str(len(body))))
        content = b"" if self.request.method == "HEAD" else self._http.send(h11.Data(data=body))
        self._writer.write(head + (content or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        await self._writer.drain()

    async def reply_json(self, status: int, value: object) -> None:
        """Answer with a JSON body."""
        await self.reply(status, "application/json", json.dumps(value).encode())

    async def start(self, status: int, content_type: str) -> None:
        """Send the headers of an answer whose length is not known yet."""
        self.started = True
        framing = ("transfer-encoding", "chunked") if self._chunked else ("connection", "close")
        self._writer.write(self._head(status, content_type, framing))
        await self._writer.drain()

    async def write(self, data: bytes) -> None:
        """Send bytes of the body as one chunk (or in pieces)."""
        if not data:
            # An empty chunk would end the body.
            return
        if self.piece_size is None:
            self._writer.write(self._frame(data))
        else:
            for start in range(0, len(data), self.piece_size):
                self._writer.write(self._frame(data[start : start + self.piece_size]))
                # So that the piece is sent by itself, not together with the next.
                await asyncio.sleep(0)
        if self._writer.transport.get_write_buffer_size() > _DRAIN_ABOVE or self._writer.is_closing():
            await self._writer.drain()

    async def end(self, last: bytes = b"") -> None:
        """Send the last bytes and the end of the body.

        In one write, so that a client that closes after the last bytes has received the end, too.
        """
        if last and self.piece_size is not None:
            await self.write(last)
            last = b""
        self._writer.write(
            (self._frame(last) if last else b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )
        await self._writer.drain()

    async def flush(self) -> None:
        """Wait until everything written has been passed to the system."""
        transport = self._writer.transport
        transport.set_write_buffer_limits(high=0)
        await self._writer.drain()
        transport.set_write_buffer_limits()

    def disconnect(self, *, reset: bool) -> None:
        """Close the connection at once, with RST or with FIN."""
        transport = self._writer.transport
        if not reset:
            self._writer.close()
            return
        # Linger on, for 0 seconds, makes the close an RST; on Windows the struct has two shorts.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()

    def _frame(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _head(self, status: int, content_type: str, framing: tuple[str, str]) -> bytes:
        headers = [("content-type", content_type), ("server", "moa-bot-demo"), framing, *self.headers.items()]
        reason = HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
        response = h11.Response(
            status_code=status,
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            reason=reason.encode(),
        )
        return self._http.send(response) or b""


_STATUSES: Final = frozenset(status.value for status in HTTPStatus)
