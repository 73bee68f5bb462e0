"""Makes chat completions and lists models through the `together` SDK; the only module that imports it.

Any OpenAI-compatible endpoint is reached by its base_url. The SDK builds the request, signs it
and holds the connections; the stream is read here, chunk by chunk as plain dictionaries, because
validating every chunk against the SDK's models costs more than all else and refuses answers that
are good enough. (`client.post` with `cast_to=httpx.Response` is the SDK's documented way to have
the plain response.) SDK-level retries are off: one request is one try here, and what is tried
again is decided in `bot.retry`. Redirects are not followed: no key goes where nobody sent it.

    request ─► SDK ─► bytes ─► sse ─► chunks ─► _Answer ─► Delta …, Completion
                └─ whatever is thrown ─► faults ─► Failure
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from time import monotonic

import httpx
import together

from bot import faults
from bot.ceiling import LARGEST_REPLY, TooLargeError, cap
from bot.errors import Failure, FailureKind
from bot.listing import Listing, read_listing
from bot.logprobs import TopLogprobs, top_logprobs
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Pace, Request, Usage
from bot.sse import EventReader
from bot.thinking import ThinkSplitter, split_thinking

CONNECT_SECONDS = 10.0
SHARD_CALLS = 16
"""Calls of one HTTP client. httpcore looks at every connection of its pool at every step of a call:
with 64 calls on one client that is half of what a call costs."""
DRAIN_SECONDS = 0.5
LONGEST_CALL = 1800.0
"""Seconds after which an answer that still comes is cut off: some models never stop."""
CHARACTERS_PER_TOKEN = 32
SPARE_CHARACTERS = 10_000
"""An answer longer than its tokens can be (and some) is not one that `max_tokens` was heeded for."""


class Provider:
    """Makes completions over connections that stay open for its whole life.

    HTTP clients serve all endpoints, with one TLS context (making one costs 20-40 ms): one of them
    until many calls are under way. An answer that still comes after `longest` seconds is cut off.
    To be used from one event loop only.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, longest: float = LONGEST_CALL) -> None:
        self._longest = longest
        self._tls = tls
        self._shards: list[_Shard] = []

    async def close(self) -> None:
        """Close all connections."""
        for shard in self._shards:
            await shard.http.aclose()

    async def complete(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Ask once for a completion; the last update is a `Completion` or a `Failure`, no exception."""
        answer = _Answer(self._longest)
        shard = self._shard()
        shard.busy += 1
        try:
            response = await self._send(request, shard)
            try:
                if seconds := faults.pace(response.headers):
                    yield Pace(seconds)
                async with aclosing(_read(response, request, answer)) as updates:
                    async for update in updates:
                        yield update
            finally:
                await response.aclose()
        except _FAILURES as error:
            yield _told(request, error)
        finally:
            shard.busy -= 1

    async def models(self, request: Request) -> Listing | Failure:
        """Return the models that the request's endpoint serves; asked once, no exception."""
        try:
            answer = (
                await self._shard()
                .client(request.endpoint)
                .get(
                    "/models",
                    cast_to=object,
                    options={"timeout": _timeout(request), "follow_redirects": False},
                )
            )
        except _FAILURES as error:
            return _told(request, error)
        said = "the answer is not a list of models"
        return read_listing(answer) or faults.failure(request, FailureKind.GARBLED, said)

    async def _send(self, request: Request, shard: _Shard) -> httpx.Response:
        endpoint = request.endpoint
        body: dict[str, object] = {
            "model": request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": request.temperature,
            endpoint.max_tokens_field: request.max_tokens,
            "stream": True,
            **({} if request.seed is None else {"seed": request.seed}),
            **request.extra,
        }
        accepted = {name: value for name, value in body.items() if name not in endpoint.rejects}
        response: object = await shard.client(endpoint).post(
            "/chat/completions",
            cast_to=httpx.Response,
            # The SDK's JSON encoder refuses lone surrogates, which pasted text can hold.
            content=json.dumps(accepted).encode(),
            options={
                "timeout": _timeout(request),
                "follow_redirects": False,
                "headers": {"Content-Type": "application/json", "Accept": "text/event-stream"},
            },
            stream=True,
            stream_cls=together.AsyncStream[object],
        )
        # Whatever the SDK's types promise, this is what `cast_to` asked for.
        assert isinstance(response, httpx.Response)  # noqa: S101
        return response

    def _shard(self) -> _Shard:
        """Return the first client with room: its idle connections are used again before new ones are made."""
        for shard in self._shards:
            if shard.busy < SHARD_CALLS:
                return shard
        self._shards.append(_Shard(self._tls))
        return self._shards[-1]


class _Shard:
    """One HTTP client and the SDK's clients upon it, one for each endpoint and key."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        # Six models behind one key are six streams at once: the pool must never make one wait.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=300.0)
        timeout = httpx.Timeout(120.0, connect=CONNECT_SECONDS)
        self.busy = 0
        self.http = together.DefaultAsyncHttpxClient(
            verify=tls or True, limits=limits, timeout=timeout, event_hooks={"response": [cap]}
        )
        self._clients: dict[object, together.AsyncTogether] = {}

    def client(self, endpoint: Endpoint) -> together.AsyncTogether:
        """Return the SDK's client for this endpoint and key."""
        key = (endpoint.base_url, endpoint.key, tuple(sorted(endpoint.headers.items())))
        client = self._clients.get(key)
        if client is None:
            client = together.AsyncTogether(
                api_key=endpoint.key or "none",
                base_url=endpoint.base_url,
                default_headers=endpoint.headers,
                max_retries=0,
                http_client=self.http,
            )
            self._clients[key] = client
        return client


class _Answer:
    """What has come of one answer: text and thinking apart, usage, how it ended."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._started = monotonic()
        self._splitter = ThinkSplitter()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._first: float | None = None
        self._characters = 0
        self._top: TopLogprobs = ()
        self.usage = Usage()
        self.finish: str | None = None
        self.done = False

    def take(self, chunk: dict[str, object]) -> Delta | None:
        """Take in one chunk (or one whole completion); return what is new in it, if anything is."""
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = _usage(usage)
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return None
        choice = choices[0]
        if isinstance(finish := choice.get("finish_reason"), str):
            self.finish = finish
        self._top = self._top or top_logprobs(choice)
        said = choice.get("delta") or choice.get("message")
        if not isinstance(said, dict):
            return None
        content, thought = said.get("content"), said.get("reasoning") or said.get("reasoning_content")
        text, thinking = self._splitter.feed(content) if isinstance(content, str) and content else ("", "")
        if isinstance(thought, str):
            thinking = thought + thinking
        return self._add(text, thinking)

    def close(self) -> Delta | None:
        """Return what the splitter held back."""
        return self._add(*self._splitter.close())

    def endless(self, max_tokens: int) -> str:
        """Say why the answer has to be cut off, "" while it has not."""
        if self._characters > max_tokens * CHARACTERS_PER_TOKEN + SPARE_CHARACTERS:
            return f"{self._characters:,} characters came, more than {max_tokens:,} tokens can be"
        if monotonic() - self._started > self._longest:
            return f"it was not over after {self._longest / 60:.0f} minutes"
        return ""

    @property
    def ended(self) -> bool:
        """Whether the service has said that the answer is over."""
        return self.finish is not None

    @property
    def started(self) -> bool:
        """Whether a word of the answer itself has come."""
        return bool(self._text)

    def completion(self, broken: Failure | None = None) -> Completion:
        """Return the answer as it stands; `broken` is what cut it off."""
        text = "".join(self._text)
        reasoning = "".join(self._reasoning)
        if not reasoning:
            text, reasoning = split_thinking(text)
        return Completion(
            text=text,
            reasoning=reasoning,
            usage=self.usage,
            finish_reason=self.finish,
            first_token=self._first,
            seconds=monotonic() - self._started,
            partial=broken.describe() if broken else "",
            broken=broken.kind if broken else None,
            top_logprobs=self._top,
        )

    def _add(self, text: str, thinking: str) -> Delta | None:
        if not (text or thinking):
            return None
        if self._first is None:
            self._first = monotonic() - self._started
        self._characters += len(text) + len(thinking)
        if text:
            self._text.append(text)
        if thinking:
            self._reasoning.append(thinking)
        return Delta(text, thinking)


async def _read(
    response: httpx.Response, request: Request, answer: _Answer
) -> AsyncGenerator[CallUpdate, None]:
    """Read the response to its end; yields deltas and then the completion or the failure."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"text/event-stream", "application/json", ""}:
        page = (await response.aread()).decode("utf-8", "replace")
        said = faults.error_message(page)[0] or "nothing readable"
        yield faults.failure(request, FailureKind.GARBLED, f"not a chat completion but {kind}: {said}")
        return
    body = response.aiter_bytes()
    broken: Failure | None = None
    chunks = _events(body, answer, request.max_tokens) if kind == "text/event-stream" else _whole(response)
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
        broken = faults.failure(request, FailureKind.CONTENT_FILTER, said)
    if broken is None:
        yield answer.completion()
        await _drain(body)
    elif answer.started:
        yield answer.completion(broken)
    else:
        yield broken


async def _guarded(
    chunks: AsyncIterator[dict[str, object]], request: Request, answer: _Answer
) -> AsyncGenerator[dict[str, object] | Failure, None]:
    """Pass the chunks on; whatever stops them early comes as a last `Failure`."""
    try:
        async for chunk in chunks:
            if chunk.get("error"):
                yield faults.stream_error(request, chunk["error"])
                return
            yield chunk
    except httpx.TimeoutException as error:
        yield faults.failure(request, FailureKind.TIMEOUT, _timeout_words(request, error))
    except httpx.TransportError as error:
        # An answer that has said it is over is whole, however rudely the connection ends.
        if not answer.ended:
            yield faults.failure(request, FailureKind.CUT, f"the stream broke off: {_words(error)}")
    except (_GarbledError, TooLargeError) as error:
        yield faults.failure(request, FailureKind.GARBLED, _words(error))
    except _EndlessError as error:
        yield faults.failure(request, FailureKind.ENDLESS, _words(error))
    else:
        if not (answer.ended or answer.done):
            yield faults.failure(request, FailureKind.CUT, "the stream ended before the answer did")


class _GarbledError(Exception):
    """What came is not a chat completion."""


class _EndlessError(Exception):
    """What comes has no end, and perhaps not even a word in it: a stream of keep-alives."""


async def _whole(response: httpx.Response) -> AsyncGenerator[dict[str, object], None]:
    """Yield the one completion of an answer that was not streamed."""
    yield _object((await response.aread()).decode("utf-8", "replace"))


async def _events(
    body: AsyncIterator[bytes], answer: _Answer, max_tokens: int
) -> AsyncGenerator[dict[str, object], None]:
    """Yield the chunks of a streamed answer, up to `[DONE]`.

    Raises _GarbledError for what is not a chunk and when the answer is too large, _EndlessError
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
        if size > LARGEST_REPLY:
            raise _GarbledError(f"more than {LARGEST_REPLY // 2**20} MB came; the rest was not read")
        if endless := answer.endless(max_tokens):
            raise _EndlessError(endless)
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
        raise _GarbledError(f"the service sent something that is not JSON: {event[:80]}") from None
    if not isinstance(data, dict):
        raise _GarbledError(f"the service sent something that is not a chunk: {event[:80]}")
    return data


def _usage(usage: dict[str, object]) -> Usage:
    def tokens(value: object) -> int | None:
        return value if isinstance(value, int) and value >= 0 else None

    details = usage.get("completion_tokens_details")
    reasoning = (
        details.get("reasoning_tokens") if isinstance(details, dict) else usage.get("reasoning_tokens")
    )
    return Usage(
        tokens(usage.get("prompt_tokens")), tokens(usage.get("completion_tokens")), tokens(reasoning)
    )


_FAILURES = (together.TogetherError, httpx.HTTPError, httpx.InvalidURL, ValueError, OSError)
"""Whatever the SDK or the wire throws."""


def _told(request: Request, error: Exception) -> Failure:
    """Return what one of the `_FAILURES` means."""
    match error:
        case together.APIStatusError():
            body = error.response.text
            return faults.refusal(request, error.status_code, body, dict(error.response.headers))
        case TooLargeError():
            return faults.failure(request, FailureKind.GARBLED, _words(error))
        case together.APITimeoutError() | httpx.TimeoutException():
            cause = error if isinstance(error, httpx.HTTPError) else error.__cause__
            return faults.failure(request, FailureKind.TIMEOUT, _timeout_words(request, cause))
        case together.APIConnectionError():
            return faults.failure(request, *_connection(error.__cause__ or error))
        case httpx.TransportError():
            return faults.failure(request, FailureKind.CUT, f"the connection broke: {_words(error)}")
        case _:
            return faults.failure(request, FailureKind.INTERNAL, _words(error))


def _timeout(request: Request) -> httpx.Timeout:
    return httpx.Timeout(request.timeout, connect=min(CONNECT_SECONDS, request.timeout))


def _timeout_words(request: Request, cause: object) -> str:
    if isinstance(cause, httpx.ConnectTimeout):
        return f"no connection to {_host(request)} within {min(CONNECT_SECONDS, request.timeout):g} s"
    return f"nothing came for {request.timeout:g} s"


def _connection(cause: BaseException) -> tuple[FailureKind, str]:
    """Tell a connection that was never made from one that was lost before an answer."""
    if isinstance(cause, httpx.ConnectError):
        return FailureKind.CONNECTION, _words(cause)
    if isinstance(cause, httpx.TransportError):
        return FailureKind.CUT, f"the connection was lost before an answer: {_words(cause)}"
    return FailureKind.CONNECTION, _words(cause)


def _host(request: Request) -> str:
    return httpx.URL(request.endpoint.base_url).host


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
