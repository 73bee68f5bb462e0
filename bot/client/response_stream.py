"""Reads the response to a request for a completion: bytes in, deltas out, and at the end what came of it.

bytes ─► sse ─► chunks ─► guarded ─► Answer ─► Delta …, then Completion or Failure
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx

from bot.client import error_mapping
from bot.client.body_limit import MAX_BODY_BYTES, TooLargeError
from bot.client.completion import CompletionBuilder
from bot.client.sse import EventReader
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Request

CONNECT_SECONDS = 10.0
DRAIN_SECONDS = 0.5


async def read(
    response: httpx.Response, request: Request, answer: CompletionBuilder
) -> AsyncGenerator[CallUpdate, None]:
    """Read the response to its end; yields deltas and then the completion or the failure."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"text/event-stream", "application/json", ""}:
        page = (await response.aread()).decode("utf-8", "replace")
        said = error_mapping.error_message(page)[0] or "nothing readable"
        yield error_mapping.request_failure(
            request, FailureKind.GARBLED, f"not a chat completion but {kind}: {said}"
        )
        return
    body = response.aiter_bytes()
    broken: Failure | None = None
    chunks = events(body, answer, request.max_tokens) if kind == "text/event-stream" else _whole(response)
    async with aclosing(chunks), aclosing(_guarded(chunks, request, answer)) as guarded:
        async for chunk in guarded:
            if isinstance(chunk, Failure):
                broken = chunk
                break
            if delta := answer.take(chunk):
                yield delta
    if delta := answer.close():
        yield delta
    if broken is None and answer.finish == "content_filter":
        said = "the service's filter ended the answer"
        broken = error_mapping.request_failure(request, FailureKind.CONTENT_FILTER, said)
    if broken is None:
        yield answer.completion()
        await _drain(body)
    elif answer.started:
        yield answer.completion(broken)
    else:
        yield broken


async def _guarded(
    chunks: AsyncIterator[dict[str, object]], request: Request, answer: CompletionBuilder
) -> AsyncGenerator[dict[str, object] | Failure, None]:
    """Pass the chunks on; whatever stops them early comes as a last `Failure`."""
    try:
        async for chunk in chunks:
            if chunk.get("error"):
                yield error_mapping.failure_from_stream_error(request, chunk["error"])
                return
            yield chunk
    except httpx.TimeoutException as error:
        yield error_mapping.request_failure(request, FailureKind.TIMEOUT, describe_timeout(request, error))
    except httpx.TransportError as error:
        # An answer that has said it is over is whole, however rudely the connection ends.
        if not answer.ended:
            yield error_mapping.request_failure(
                request, FailureKind.CUT, f"the stream broke off: {describe_error(error)}"
            )
    except (GarbledError, TooLargeError) as error:
        yield error_mapping.request_failure(request, FailureKind.GARBLED, describe_error(error))
    except EndlessError as error:
        yield error_mapping.request_failure(request, FailureKind.ENDLESS, describe_error(error))
    else:
        if not (answer.ended or answer.done):
            yield error_mapping.request_failure(
                request, FailureKind.CUT, "the stream ended before the answer did"
            )


class GarbledError(Exception):
    """What came is not a chat completion."""


class EndlessError(Exception):
    """What comes has no end, and perhaps not even a word in it: a stream of keep-alives."""


async def _whole(response: httpx.Response) -> AsyncGenerator[dict[str, object], None]:
    """Yield the one completion of an answer that was not streamed."""
    yield _object((await response.aread()).decode("utf-8", "replace"))


async def events(
    body: AsyncIterator[bytes], answer: CompletionBuilder, max_tokens: int
) -> AsyncGenerator[dict[str, object], None]:
    """Yield the chunks of a streamed answer, up to `[DONE]`.

    Raises GarbledError for what is not a chunk and when the answer is too large, EndlessError
    when it never ends.
    """
    reader, size = EventReader(), 0
    async for piece in body:
        size += len(piece)
        for event in reader.feed(piece):
            if event.startswith("[DONE]"):
                answer.done = True
                return
            yield _object(event)
        if size > MAX_BODY_BYTES:
            raise GarbledError(f"more than {MAX_BODY_BYTES // 2**20} MB came; the rest was not read")
        if endless := answer.endless(max_tokens):
            raise EndlessError(endless)
    for event in reader.close():
        if event.startswith("[DONE]"):
            answer.done = True
        else:
            yield _object(event)


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read the little that follows `[DONE]`: only then can the connection be used again."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in body:
                pass


def _object(event: str) -> dict[str, object]:
    try:
        data = json.loads(event)
    except (ValueError, RecursionError):
        raise GarbledError(f"the service sent something that is not JSON: {event[:80]}") from None
    if not isinstance(data, dict):
        raise GarbledError(f"the service sent something that is not a chunk: {event[:80]}")
    return data


def describe_timeout(request: Request, cause: object) -> str:
    """Return what a timeout means: no connection, or silence."""
    if isinstance(cause, httpx.ConnectTimeout):
        return f"no connection to {_host(request)} within {min(CONNECT_SECONDS, request.timeout):g} s"
    return f"nothing came for {request.timeout:g} s"


def _host(request: Request) -> str:
    return httpx.URL(request.endpoint.base_url).host


def describe_error(error: BaseException) -> str:
    """Return what an exception says, its name where it says nothing."""
    return str(error) or type(error).__name__
