"""Makes chat completions and lists models through the `together` SDK; the only module that imports it.

Any OpenAI-compatible endpoint is reached by its base_url. The SDK builds the request, signs it
and holds the connections; the stream is read by `bot.client.response_stream` as plain dictionaries, because
validating every chunk against the SDK's models costs more than all else and refuses answers that
are good enough. (`client.post` with `cast_to=httpx.Response` is the SDK's documented way to have
the plain response.) SDK-level retries are off: one request is one try here, and what is tried
again is decided in `bot.client.retry`. Redirects are not followed: no key goes where nobody sent it.

    request ─► SDK ─► response ─► reading ─► Delta …, Completion
                └─ whatever is thrown ─► faults ─► Failure
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import httpx
import together

from bot.client import error_mapping
from bot.client.body_limit import TooLargeError, limit_body
from bot.client.completion import LONGEST_CALL, CompletionBuilder
from bot.client.door import Door, watch
from bot.client.model_list import ModelList, read_model_list
from bot.client.response_stream import CONNECT_SECONDS, describe_error, describe_timeout, read
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Endpoint, RateLimitHint, Request

SHARD_CALLS = 16
"""Calls of one HTTP client. httpcore looks at every connection of its pool at every step of a call:
with 64 calls on one client that is half of what a call costs."""


class Provider:
    """Makes completions over connections that stay open for its whole life.

    HTTP clients serve all endpoints, with one TLS context (making one costs 20-40 ms): one of them
    until many calls are under way. An answer that still comes after `longest` seconds is cut off.
    `transport` takes the place of httpx's own, and of any proxy. To be used from one event loop only.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        longest: float = LONGEST_CALL,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._longest = longest
        self._tls = tls
        self._transport = transport
        self._shards: list[_Shard] = []
        self._door = Door()

    async def close(self) -> None:
        """Close all connections."""
        for shard in self._shards:
            await shard.http.aclose()

    async def complete(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Ask once for a completion; the last update is a `Completion` or a `Failure`, no exception."""
        answer = CompletionBuilder(self._longest)
        shard = self._shard()
        shard.busy += 1
        try:
            response = await self._send(request, shard)
            try:
                if seconds := error_mapping.rate_limit_reset(response.headers):
                    yield RateLimitHint(seconds)
                async with aclosing(read(response, request, answer)) as updates:
                    async for update in updates:
                        yield update
            finally:
                await response.aclose()
        except _FAILURES as error:
            yield _failure_of(request, error)
        finally:
            shard.busy -= 1

    async def models(self, request: Request) -> ModelList | Failure:
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
            return _failure_of(request, error)
        said = "the answer is not a list of models"
        return read_model_list(answer) or error_mapping.failure(request, FailureKind.GARBLED, said)

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
        async with self._door.through():
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
        self._shards.append(_Shard(self._tls, self._transport))
        return self._shards[-1]


class _Client(together.AsyncTogether):
    """The SDK's client, told what it runs on: finding that out takes it a thread at its first request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._platform = _PLATFORMS.get(sys.platform, "Unknown")


_PLATFORMS: dict[str, Literal["Linux", "MacOS", "Windows"]] = {
    "linux": "Linux",
    "darwin": "MacOS",
    "win32": "Windows",
}
"""What the SDK calls a platform in its requests' headers."""


class _NoCookies(httpx.Cookies):
    """Takes no cookies: nothing that came with one answer goes along with the next question."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them where they are; looking for them is a fourteenth of what a call costs."""


class _Http(together.DefaultAsyncHttpxClient):
    """The SDK's HTTP client, without cookies."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cookies = _NoCookies()


class _Shard:
    """One HTTP client and the SDK's clients upon it, one for each endpoint and key."""

    def __init__(self, tls: ssl.SSLContext | None, transport: httpx.AsyncBaseTransport | None) -> None:
        # Six models behind one key are six streams at once: the pool must never make one wait.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=300.0)
        timeout = httpx.Timeout(120.0, connect=CONNECT_SECONDS)
        self.busy = 0
        self.http = _Http(
            verify=tls or True,
            limits=limits,
            timeout=timeout,
            event_hooks={"request": [watch], "response": [limit_body]},
            transport=transport,
        )
        self._clients: dict[object, together.AsyncTogether] = {}

    def client(self, endpoint: Endpoint) -> together.AsyncTogether:
        """Return the SDK's client for this endpoint and key."""
        key = (endpoint.base_url, endpoint.key, tuple(sorted(endpoint.headers.items())))
        client = self._clients.get(key)
        if client is None:
            client = _Client(
                api_key=endpoint.key or "none",
                base_url=endpoint.base_url,
                default_headers=endpoint.headers,
                max_retries=0,
                http_client=self.http,
            )
            self._clients[key] = client
        return client


_FAILURES = (together.TogetherError, httpx.HTTPError, httpx.InvalidURL, ValueError, OSError)
"""Whatever the SDK or the wire throws."""


def _failure_of(request: Request, error: Exception) -> Failure:
    """Return what one of the `_FAILURES` means."""
    match error:
        case together.APIStatusError():
            body = error.response.text
            return error_mapping.http_failure(request, error.status_code, body, dict(error.response.headers))
        case TooLargeError():
            return error_mapping.failure(request, FailureKind.GARBLED, describe_error(error))
        case together.APITimeoutError() | httpx.TimeoutException():
            cause = error if isinstance(error, httpx.HTTPError) else error.__cause__
            return error_mapping.failure(request, FailureKind.TIMEOUT, describe_timeout(request, cause))
        case together.APIConnectionError():
            return error_mapping.failure(request, *_connection(error.__cause__ or error))
        case httpx.TransportError():
            return error_mapping.failure(
                request, FailureKind.CUT, f"the connection broke: {describe_error(error)}"
            )
        case _:
            return error_mapping.failure(request, FailureKind.INTERNAL, describe_error(error))


def _timeout(request: Request) -> httpx.Timeout:
    return httpx.Timeout(request.timeout, connect=min(CONNECT_SECONDS, request.timeout))


def _connection(cause: BaseException) -> tuple[FailureKind, str]:
    """Tell a connection that was never made from one that was lost before an answer."""
    if isinstance(cause, httpx.ConnectError):
        return FailureKind.CONNECTION, describe_error(cause)
    if isinstance(cause, httpx.TransportError):
        return FailureKind.CUT, f"the connection was lost before an answer: {describe_error(cause)}"
    return FailureKind.CONNECTION, describe_error(cause)
