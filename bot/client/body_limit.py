"""Limits on what is read of one response: its decoded bytes, and the time for what is no answer.

    connection ─► Content-Encoding, 64 KB at a time ─► limit of this kind of body ─► httpx

httpx itself decodes a piece in one go, and a few megabytes of gzip hold gigabytes. The hook here decodes
instead, so the limits hold for whatever is read afterwards, also by the SDK: streams, JSON, error bodies,
pages. Of an error body or a page, the beginning is enough: it is cut off, while an answer that is too long
raises `BodyError`.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a stream; real answers are far smaller."""
MAX_JSON_BYTES = 3 * 1024 * 1024
"""Of a body that is decoded in one piece: as Python objects it can take 25 times as much."""
MAX_PAGE_BYTES = 64 * 1024
"""Of an error body or a page."""
PAGE_SECONDS = 2.0
"""How long an error body or a page is read: its status is known already."""
ACCEPT_ENCODING = "gzip, deflate"
_PIECE = 64 * 1024

_Decode = Callable[[bytes], Iterator[bytes]]


class BodyError(httpx.HTTPError):
    """A response is longer than its limit, or its Content-Encoding cannot be decoded."""


class _LimitedStream(httpx.AsyncByteStream):
    """A response's body, decoded. Beyond `limit` bytes a page ends, anything else raises `BodyError`.

    What cannot be decoded raises it too, except in an error's body, which ends there: its status counts.
    """

    def __init__(
        self, body: httpx.AsyncByteStream, decode: _Decode, limit: int, *, page: bool, error: bool
    ) -> None:
        self._body, self._decode, self._limit, self._page, self._error = body, decode, limit, page, error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts():
                yield part
        except BodyError:
            if not self._error:
                raise

    async def _parts(self) -> AsyncIterator[bytes]:
        received = decoded = 0
        async for piece in self._pieces():
            received += len(piece)
            for part in self._decode(piece):
                decoded += len(part)
                if max(received, decoded) > self._limit:
                    if self._page:
                        yield part[: self._limit]
                        return
                    raise BodyError(f"more than {self._limit // 2**20} MB received; the rest was discarded")
                yield part
                # One compressed piece can hold many parts: other calls get their turn between them.
                await asyncio.sleep(0)

    async def _pieces(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._body)
        deadline = asyncio.get_running_loop().time() + PAGE_SECONDS if self._page else None
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces, None)
            except TimeoutError:
                return
            if piece is None:
                return
            yield piece

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._body.aclose()


async def limit_body(response: httpx.Response) -> None:
    """Limit a response that has not been read yet: an event hook of httpx."""
    if not isinstance(response.stream, httpx.AsyncByteStream):
        return
    # Some of Python's codecs, which a service could name as the charset, are slow, and JSON is UTF-8.
    response.encoding = "utf-8"
    encodings = response.headers.pop("content-encoding", "").lower().split(",")
    decode = _decoder([name for each in encodings if (name := each.strip()) not in {"", "identity"}])
    kind = media_type(response)
    error = response.status_code >= 300  # noqa: PLR2004 - HTTP's classes
    page = error or kind not in ANSWER_TYPES
    limit = MAX_PAGE_BYTES if page else MAX_BODY_BYTES if kind == "text/event-stream" else MAX_JSON_BYTES
    response.stream = _LimitedStream(response.stream, decode, limit, page=page, error=error)


ANSWER_TYPES = frozenset(
    {"text/event-stream", "application/json", "text/plain", "application/octet-stream", ""}
)
"""Media types that can be an answer; anything else is a page."""


def media_type(response: httpx.Response) -> str:
    """Return a response's media type in lower case, without parameters; the first of several, "" for none."""
    return re.split("[;,]", response.headers.get("content-type", ""), maxsplit=1)[0].strip().lower()


def _decoder(encodings: list[str]) -> _Decode:
    """Return what decodes a body piece by piece, in parts of 64 KB at most."""
    if not encodings:
        return lambda piece: iter((piece,))
    if len(encodings) > 1 or encodings[0] not in {"gzip", "x-gzip", "deflate"}:
        return _refuse(", ".join(encodings)[:40])
    return _Inflater(gzip=encodings[0] != "deflate").decode


def _refuse(encoding: str) -> _Decode:
    def decode(_: bytes) -> Iterator[bytes]:
        raise BodyError(f"the body is encoded as {encoding}, which was not asked for")

    return decode


class _Inflater:
    """Decodes gzip or deflate; of the latter both forms that are in use, with and without zlib's header."""

    def __init__(self, *, gzip: bool) -> None:
        self._beginning = b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """Yield the decoded parts of a piece. Raises BodyError when it is not encoded like that."""
        if self._inflate is None:
            piece = self._beginning = self._beginning + piece
            if len(piece) < 2:  # noqa: PLR2004 - the two bytes of zlib's header
                return
            has_header = piece[0] & 15 == zlib.DEFLATED and int.from_bytes(piece[:2], "big") % 31 == 0
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        full = True
        try:
            while piece or full:
                part = self._inflate.decompress(piece, _PIECE)
                full = len(part) == _PIECE
                piece = self._inflate.unconsumed_tail
                if part:
                    yield part
        except zlib.error as error:
            raise BodyError(f"the compressed body cannot be decoded: {error}") from error
