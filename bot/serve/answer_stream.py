"""A response that is sent in parts, and kept alive while there is nothing to send.

A stream of events gets comments, which clients skip; a JSON text gets blanks before it, which JSON
allows. Clients and proxies close connections that are silent for long. Once the first part is sent the
status is 200, whatever comes: an error is then sent as the text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import Send

WRITE_SECONDS = 60.0
"""A client that reads nothing for so long counts as disconnected."""
COMMENT = b": the models are thinking\n\n"
BLANK = b" "

Headers = Sequence[tuple[bytes, bytes]]
EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Without this nginx buffers the whole stream.
    (b"x-accel-buffering", b"no"),
)
JSON: Headers = ((b"content-type", b"application/json"), (b"x-accel-buffering", b"no"))


def ascii_json(value: Any) -> bytes:
    """Return JSON in ASCII: model text can hold lone surrogates, which UTF-8 cannot, and ends of lines."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


class AnswerStream:
    """A response in parts. Nothing is sent before the first `write`, or the first silence.

    `opening` is sent before anything else, `filler` after each `silence` in seconds.
    """

    def __init__(
        self, send: Send, silence: float, headers: Headers, filler: bytes, opening: bytes = b""
    ) -> None:
        self._send = send
        self._silence = silence
        self._headers, self._filler, self._opening = headers, filler, opening
        self._lock = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()
        self.started = False

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the body, the headers before the first. TimeoutError when they are not read."""
        async with self._lock, asyncio.timeout(WRITE_SECONDS):
            if not self.started:
                self.started = True
                # What is sent in one part can say how long it is.
                length = [] if more else [(b"content-length", str(len(self._opening + data)).encode())]
                headers = [*self._headers, *length]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                data = self._opening + data
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._last = asyncio.get_running_loop().time()

    async def end(self, data: bytes) -> None:
        """Send the last part."""
        await self.write(data, more=False)

    @asynccontextmanager
    async def kept_alive(self) -> AsyncGenerator[None, None]:
        """Send the filler whenever nothing was sent for too long, while the block runs."""
        filling = asyncio.create_task(self._fill())
        try:
            yield
        finally:
            filling.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await filling

    async def _fill(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            silent = loop.time() - self._last
            if silent >= self._silence:
                await self.write(self._filler)
            else:
                await asyncio.sleep(self._silence - silent)
