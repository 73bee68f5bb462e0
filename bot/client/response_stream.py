"""Reads the response to a request for a completion: bytes in, deltas out, and at the end its outcome.

    bytes ─► EventReader ─► chunks ─► _with_failure ─► CompletionBuilder ─► Delta …, Completion or Failure
      └─ WordTimeout: given up when no word has come for too long, whatever else comes

Server-sent events are read by hand: the SDK's reader gives up a stream at the first byte that is not
UTF-8, and readers that follow the standard drop a last event that no blank line follows. An answer
should survive both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx

from bot.client import error_mapping
from bot.client.body_limit import ANSWER_TYPES, MAX_BODY_BYTES, BodyError, media_type
from bot.client.completion import CompletionBuilder
from bot.client.service_data import read_json
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Request
from bot.text.numbers import duration

CONNECT_SECONDS = 10.0
DRAIN_SECONDS = 0.5
EVENTS_PER_TOKEN, SPARE_EVENTS = 4, 10_000
"""A stream of more events than its tokens can be, and these, is not read on: reading each costs time."""
MAX_EVENT_BYTES = 1024 * 1024
"""Of one event; as Python objects it can take 25 times as much."""
_LINE_OVERHEAD = 64
"""Bytes of memory that a line takes besides its text."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventReader:
    """Reads server-sent events from bytes that are cut anywhere; returns the data of complete events.

    Only `data` fields matter here; the rest of the format is skipped
    (https://html.spec.whatwg.org/multipage/server-sent-events.html).
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._after_return = False
        self._first_line = True
        self._data_size = 0

    @property
    def held(self) -> int:
        """Bytes of memory that the event takes that has not ended yet."""
        return len(self._line) + self._data_size

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that end in `chunk`."""
        if not chunk:
            return []
        if self._after_return:
            # The line ended with the \r of the last chunk; this \n belongs to it.
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r")
        events: list[str] = []
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if self._line:
                self._line += end
                end = bytes(self._line)  # noqa: PLW2901 - the line that this piece completes
                self._line.clear()
            self._add_line(end, events)
        self._line += rest
        return events

    def close(self) -> list[str]:
        """Return the data of an event that the end of the stream left without its blank line."""
        events: list[str] = []
        if self._line:
            self._add_line(bytes(self._line), events)
            self._line.clear()
        self._add_line(b"", events)
        return events

    def _add_line(self, line: bytes, events: list[str]) -> None:
        if self._first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._first_line = False
        if not line:
            self._data_size = 0
            if self._data:
                events.append("\n".join(self._data))
                self._data.clear()
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
            self._data_size += len(value) + _LINE_OVERHEAD


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
        message = error_mapping.error_message(page).message or "nothing readable"
        yield error_mapping.request_failure(
            request, FailureKind.GARBLED, f"not a chat completion but {kind[:80]}: {message}"
        )
        return
    body = response.aiter_bytes()
    failure: Failure | None = None
    pieces = _in_time(body, word_timeout)
    streamed = kind == "text/event-stream"
    chunks = read_chunks(pieces, answer, request.max_tokens) if streamed else _whole_answer(pieces)
    async with aclosing(chunks), aclosing(_with_failure(chunks, request, answer)) as chunks_or_failure:
        async for chunk in chunks_or_failure:
            if isinstance(chunk, Failure):
                failure = chunk
                break
            if delta := answer.add_chunk(chunk):
                yield delta
            word_timeout.update(answer.words)
    if delta := answer.close():
        yield delta
    if failure is None and answer.finish_reason == "content_filter":
        message = "the service's filter ended the answer"
        failure = error_mapping.request_failure(request, FailureKind.CONTENT_FILTER, message)
    if failure is None and answer.repetition:
        failure = error_mapping.request_failure(request, FailureKind.ENDLESS, answer.repetition)
    if failure is None:
        yield answer.completion()
        await _drain(body)
    elif answer.has_text:
        yield answer.completion(failure)
    else:
        yield failure


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


async def _whole_answer(pieces: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, object], None]:
    """Yield the one completion of an answer that was not streamed. Raises GarbledError."""
    yield _json_object(b"".join([piece async for piece in pieces]).decode("utf-8", "replace"))


async def _with_failure(
    chunks: AsyncIterator[dict[str, object]], request: Request, answer: CompletionBuilder
) -> AsyncGenerator[dict[str, object] | Failure, None]:
    """Yield the chunks; what ends them early, an exception or an error event, is yielded as a `Failure`."""
    try:
        async for chunk in chunks:
            if chunk.get("error"):
                yield error_mapping.failure_from_stream_error(request, chunk["error"])
                return
            yield chunk
    except (TimeoutError, httpx.TimeoutException) as error:
        yield error_mapping.request_failure(request, FailureKind.TIMEOUT, describe_timeout(request, error))
    except httpx.TransportError as error:
        # An answer whose end has been announced is whole, however the connection ends.
        if not answer.finished:
            yield error_mapping.request_failure(
                request, FailureKind.CUT, f"the stream broke off: {describe_error(error)}"
            )
    except (GarbledError, BodyError) as error:
        yield error_mapping.request_failure(request, FailureKind.GARBLED, describe_error(error))
    except EndlessError as error:
        yield error_mapping.request_failure(request, FailureKind.ENDLESS, describe_error(error))
    else:
        if not (answer.finished or answer.done):
            message = "the stream ended before the answer did"
            yield error_mapping.request_failure(request, FailureKind.CUT, message)


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read the little that follows `[DONE]`: only then can the connection be used again."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in body:
                pass


def _json_object(event: str) -> dict[str, object]:
    try:
        data = read_json(event)
    except ValueError:
        raise GarbledError(f"the service sent something that is not JSON: {event[:80]}") from None
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
