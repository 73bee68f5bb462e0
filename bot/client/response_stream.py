"""Reads the response to a request for a completion: bytes in, deltas out, and at the end its outcome.

bytes ─► EventReader ─► chunks ─► _with_failure ─► CompletionBuilder ─► Delta …, Completion or Failure
└─ WordTimeout: given up when no word has come for too long, whatever else comes
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx

from bot.client import error_mapping
from bot.client.body_limit import ANSWER_TYPES, MAX_BODY_BYTES, MAX_JSON_BYTES, BodyError, media_type
from bot.client.completion import CompletionBuilder
from bot.client.error_body import error_message
from bot.client.event_reader import BYTE_ORDER_MARK, EventReader
from bot.client.service_data import read_json
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Request
from bot.text.numbers import duration

CONNECT_SECONDS = 10.0
DRAIN_SECONDS = 0.5
END_SECONDS = 5.0
"""How long the usage and the end of a stream are waited for once the answer is over."""
EVENTS_PER_TOKEN, SPARE_EVENTS = 4, 10_000
"""A stream of more events than its tokens can be, and these, is not read on: reading each costs time."""
MAX_EVENT_BYTES = 1024 * 1024
"""Of one event; as Python objects it can take 25 times as much."""
EMPTY_BODY = "the service sent an empty body"
_JSON_STARTS, _STREAM_STARTS = (b"{", b"["), (b"data:", b"event:", b"id:", b"retry:", b":")
_ERROR_FIELDS = frozenset(
    {"message", "detail", "error_msg", "error_message", "errorMessage", "error_code", "Message"}
)
"""Fields of an error that stands alone; no chunk of an answer has them."""


class WordTimeout:
    """The time until which a word of answer or thinking has to come: `seconds` after the last one.

    Whatever else comes (headers, comments, blanks, empty deltas) does not put it off.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._words = seconds, 0
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds

    def update(self, words: int) -> None:
        """Begin anew if the number of words has grown."""
        if words > self._words:
            self._words, self._deadline = words, self._loop.time() + self._seconds

    def shorten(self, seconds: float) -> None:
        """Wait no longer than so long from now."""
        self._deadline = min(self._deadline, self._loop.time() + seconds)

    def limit(self) -> asyncio.Timeout:
        """Return a block that ends with TimeoutError when the time is over."""
        return asyncio.timeout_at(self._deadline)


class GarbledError(Exception):
    """The response is not a chat completion."""


class EndlessError(Exception):
    """The response has no end, and perhaps no text either: a stream of keep-alives."""


async def read_response(
    response: httpx.Response, request: Request, answer: CompletionBuilder, word_timeout: WordTimeout
) -> AsyncGenerator[CallUpdate, None]:
    """Read the response to its end; yields deltas and then the completion or the failure."""
    kind = media_type(response)
    if kind not in ANSWER_TYPES:
        page = (await response.aread()).decode("utf-8", "replace")
        nothing = "nothing readable" if page.strip() else EMPTY_BODY
        message = error_message(page).message or nothing
        yield error_mapping.request_failure(
            request, FailureKind.GARBLED, f"not a chat completion but {kind[:80]}: {message}"
        )
        return
    body = response.aiter_bytes()
    failure: Failure | None = None
    pieces = _in_time(body, word_timeout)
    chunks = _read_either(pieces, answer, request.max_tokens, streamed=kind == "text/event-stream")
    async with aclosing(chunks), aclosing(_with_failure(chunks, request, answer)) as chunks_or_failure:
        async for chunk in chunks_or_failure:
            if isinstance(chunk, Failure):
                failure = chunk
                break
            if delta := answer.add_chunk(chunk):
                yield delta
            word_timeout.update(answer.words)
            if answer.finished:
                word_timeout.shorten(END_SECONDS)
    if delta := answer.close(ended_well=failure is None):
        yield delta
    failure = failure or _bad_end(request, answer)
    if failure is None:
        yield answer.completion()
        await _drain(body, answer)
    elif answer.has_text:
        yield answer.completion(failure)
    else:
        yield failure


def _bad_end(request: Request, answer: CompletionBuilder) -> Failure | None:
    """Return why an answer that the service ended properly is none, or not a whole one; None if it is."""
    if answer.refusal:
        return error_mapping.request_failure(request, FailureKind.REFUSED, answer.refusal)
    if answer.finish_reason == "content_filter":
        message = "the service's filter ended the answer"
        return error_mapping.request_failure(request, FailureKind.CONTENT_FILTER, message)
    if answer.repetition:
        return error_mapping.request_failure(request, FailureKind.ENDLESS, answer.repetition)
    return None


async def read_chunks(
    body: AsyncIterator[bytes], answer: CompletionBuilder, max_tokens: int
) -> AsyncGenerator[dict[str, object], None]:
    """Yield the chunks of a streamed answer, up to `[DONE]`.

    Raises GarbledError for what is not a chunk and when the answer is too large, EndlessError
    when it never ends.
    """
    reader, size, events = EventReader(), 0, 0
    most_events = max_tokens * EVENTS_PER_TOKEN + SPARE_EVENTS
    async for piece in body:
        size += len(piece)
        for event in reader.feed(piece):
            if event.startswith("[DONE]"):
                answer.done = True
                return
            events += 1
            if events > most_events:
                raise EndlessError(f"{events:,} events came, more than {max_tokens:,} tokens can be")
            yield _json_object(event)
        if reader.held > MAX_EVENT_BYTES:
            raise GarbledError(f"an event of more than {MAX_EVENT_BYTES // 2**20} MB came")
        if size > MAX_BODY_BYTES:
            raise GarbledError(f"more than {MAX_BODY_BYTES // 2**20} MB received; the rest was discarded")
        if reason := answer.over_limit(max_tokens):
            raise EndlessError(reason)
    for event in reader.close():
        if event.startswith("[DONE]"):
            answer.done = True
        else:
            yield _json_object(event)


async def _in_time(body: AsyncIterator[bytes], word_timeout: WordTimeout) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body. Raises TimeoutError when no word has come for too long."""
    while True:
        async with word_timeout.limit():
            piece = await anext(body, None)
        if piece is None:
            return
        yield piece


async def _read_either(
    pieces: AsyncIterator[bytes], answer: CompletionBuilder, max_tokens: int, *, streamed: bool
) -> AsyncGenerator[dict[str, object], None]:
    """Yield the chunks of an answer, streamed or whole: its beginning counts more than its type.

    `streamed` is what the type says. Raises as `read_chunks` does.
    """
    beginning = b""
    async for piece in pieces:
        beginning = (beginning + piece).removeprefix(BYTE_ORDER_MARK).lstrip()
        if len(beginning) >= max(map(len, _STREAM_STARTS)):
            break
    whole = beginning.startswith(_JSON_STARTS) if streamed else not beginning.startswith(_STREAM_STARTS)
    all_pieces = _chained(beginning, pieces)
    chunks = _whole_answer(all_pieces) if whole else read_chunks(all_pieces, answer, max_tokens)
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def _chained(first: bytes, others: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in others:
        yield piece


async def _whole_answer(pieces: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, object], None]:
    """Yield the one completion of an answer that was not streamed. Raises GarbledError."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > MAX_JSON_BYTES:  # of what is labelled as a stream
            raise GarbledError(f"more than {MAX_JSON_BYTES // 2**20} MB received; the rest was discarded")
    if not body.strip():
        raise GarbledError(EMPTY_BODY)
    yield _json_object(body.decode("utf-8", "replace"))


async def _with_failure(
    chunks: AsyncIterator[dict[str, object]], request: Request, answer: CompletionBuilder
) -> AsyncGenerator[dict[str, object] | Failure, None]:
    """Yield the chunks; what ends them early, an exception or an error event, is yielded as a `Failure`."""
    try:
        async for chunk in chunks:
            if error := _error_in(chunk):
                yield error_mapping.failure_from_stream_error(request, error)
                return
            yield chunk
            if answer.ended_by_marker:
                return
    except (TimeoutError, httpx.TransportError) as error:
        # An answer whose end has been announced is whole, however the stream ends.
        if not answer.finished:
            yield _broken_off(request, error)
    except (GarbledError, BodyError) as error:
        yield error_mapping.request_failure(request, FailureKind.GARBLED, describe_error(error))
    except EndlessError as error:
        yield error_mapping.request_failure(request, FailureKind.ENDLESS, describe_error(error))
    else:
        if not (answer.finished or answer.done):
            message = "the stream ended before the answer did"
            yield error_mapping.request_failure(request, FailureKind.CUT, message)


def _broken_off(request: Request, error: Exception) -> Failure:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return error_mapping.request_failure(request, FailureKind.TIMEOUT, describe_timeout(request, error))
    message = f"the stream broke off: {describe_error(error)}"
    return error_mapping.request_failure(request, FailureKind.CUT, message)


def _error_in(chunk: dict[str, object]) -> object:
    """Return the error that a chunk reports, in whatever place; None when it reports none."""
    if error := chunk.get("error") or chunk.get("errors"):
        return error[0] if isinstance(error, list) else error
    choices = chunk.get("choices")
    if not choices:
        status = chunk.get("base_resp")  # MiniMax
        is_error = "error" in (chunk.get("object"), chunk.get("type")) or (
            isinstance(status, dict) and status.get("status_code") not in (0, None)
        )
        return chunk if is_error or ("usage" not in chunk and chunk.keys() & _ERROR_FIELDS) else None
    choice = choices[0] if isinstance(choices, list) else None
    if not isinstance(choice, dict):
        return None
    return choice.get("error") or ({"message": ""} if choice.get("finish_reason") == "error" else None)


async def _drain(body: AsyncIterator[bytes], answer: CompletionBuilder) -> None:
    """Read the little that follows `[DONE]`: only then can the connection be used again."""
    if answer.ended_by_marker:
        return  # the connection is closed, or the model would go on
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in body:
                pass


def _json_object(event: str) -> dict[str, object]:
    try:
        data = read_json(event)
    except ValueError:
        raise GarbledError(f"the service sent something that is not JSON: {event[:80]}") from None
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # Google sends an error like that
    if not isinstance(data, dict):
        raise GarbledError(f"the service sent something that is not a chunk: {event[:80]}")
    return data


def describe_timeout(request: Request, cause: object) -> str:
    """Return what a timeout means: no connection, or no word of an answer."""
    if isinstance(cause, httpx.ConnectTimeout):
        host = httpx.URL(request.endpoint.base_url).host
        return f"no connection to {host} within {_limit(connect_seconds(request))}"
    return f"no word for {_limit(request.timeout)}"


def connect_seconds(request: Request) -> float:
    """Return how long a connection may take: a little less than the first word, so that it is named."""
    return min(CONNECT_SECONDS, 0.9 * request.timeout)


def describe_error(error: BaseException) -> str:
    """Return an exception's message, or its class's name when it has none."""
    return str(error) or type(error).__name__


def _limit(seconds: float) -> str:
    return duration(int(seconds) if seconds == int(seconds) else seconds)
