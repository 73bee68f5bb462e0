"""Makes chat completions and lists models through the `together` SDK; the only module that imports it.

Any OpenAI-compatible endpoint is reached by its base_url. The SDK builds the request, signs it
and holds the connections; the stream is read by `bot.client.response_stream` as plain dictionaries,
because validating every chunk against the SDK's models costs more than all else and refuses answers
that are good enough. (`client.post` with `cast_to=httpx.Response` is the SDK's documented way to
get the plain response.) The SDK's retries are off: one request is one attempt here, and
`bot.client.retry` decides what is tried again. Redirects are not followed, so that no key reaches an
address that the user did not configure.

    Request ─► SDK ─► response ─► response_stream ─► Delta …, Completion
                └─ any exception ─► error_mapping ─► Failure
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import together

from bot.client import error_mapping
from bot.client.body_limit import ACCEPT_ENCODING, BodyError, limit_body
from bot.client.completion import LONGEST_CALL, CompletionBuilder
from bot.client.model_list import ModelList, read_model_list
from bot.client.network import NetworkTransport
from bot.client.proxies import NetworkSettingError, proxies_of
from bot.client.refusals import CACHE_CONTROL
from bot.client.response_stream import (
    CONNECT_SECONDS,
    WordTimeout,
    connect_seconds,
    describe_error,
    describe_timeout,
    read_response,
)
from bot.client.server_facts import add_server_facts
from bot.client.service_data import read_json
from bot.client.tls import tls_context
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Endpoint, Message, RateLimitHint, Request
from bot.text.turn_markers import defuse

_FACTS_SECONDS = 3.0
"""How long a server may take to say more of its models than is in its list."""


class Provider:
    """Makes completions over connections that stay open for its whole life.

    One HTTP client serves all endpoints. An answer that is not complete after `longest` seconds is
    cut off. `transport` replaces the connections, and any proxy. To be used from one event loop only.
    """

    def __init__(
        self, *, longest: float = LONGEST_CALL, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._longest, self._transport = longest, transport
        self._http: httpx.AsyncClient | None = None
        self._clients: dict[object, together.AsyncTogether] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()

    async def complete(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Ask once for a completion; the last update is a `Completion` or a `Failure`, no exception."""
        answer = CompletionBuilder(self._longest, turn_markers=request.endpoint.turn_markers)
        word_timeout = WordTimeout(request.timeout)
        try:
            async with word_timeout.limit():
                response = await self._send(request)
            try:
                if seconds := error_mapping.rate_limit_reset(response.headers):
                    yield RateLimitHint(seconds)
                async with aclosing(read_response(response, request, answer, word_timeout)) as updates:
                    async for update in updates:
                        yield update
            finally:
                await response.aclose()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever goes wrong costs this call only
            yield _failure_from_exception(request, error)

    async def models(self, request: Request) -> ModelList | Failure:
        """Return the models that the request's endpoint serves; asked once, no exception."""
        try:
            async with asyncio.timeout(request.timeout):
                response = await self._client(request.endpoint).get(
                    "/models",
                    cast_to=httpx.Response,
                    options={"timeout": _timeout(request), "follow_redirects": False},
                )
        except Exception as error:  # noqa: BLE001 - as in `complete`
            return _failure_from_exception(request, error)
        model_list = None
        with suppress(ValueError):
            model_list = read_model_list(read_json(response.text))
        if model_list is not None and model_list.server:
            return await add_server_facts(model_list, partial(self._ask_server, request))
        said = "the answer is not a list of models"
        return model_list or error_mapping.request_failure(request, FailureKind.GARBLED, said)

    async def _ask_server(self, request: Request, path: str, body: Mapping[str, object] | None) -> object:
        """Ask a path beside the OpenAI API, without the key; None when there is no useful answer."""
        assert self._http is not None  # noqa: S101 - the list came through it
        url = f"{request.endpoint.base_url.rstrip('/').removesuffix('/v1')}{path}"
        with suppress(httpx.HTTPError, BodyError, TimeoutError, ValueError):
            async with asyncio.timeout(_FACTS_SECONDS):
                response = await self._http.request("GET" if body is None else "POST", url, json=body)
            if response.status_code == httpx.codes.OK:
                return read_json(response.text)
        return None

    async def _send(self, request: Request) -> httpx.Response:
        endpoint = request.endpoint
        body: dict[str, object] = {
            "model": request.model,
            "messages": [_message(message, endpoint) for message in request.messages],
            "temperature": request.temperature,
            endpoint.max_tokens_field: request.max_tokens,
            "stream": True,
            **({} if request.seed is None else {"seed": request.seed}),
            **request.extra,
        }
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if request.cache_key and endpoint.cache_key_field:
            body[endpoint.cache_key_field] = request.cache_key
        if request.cache_key and endpoint.cache_key_header:
            headers[endpoint.cache_key_header] = request.cache_key
        accepted = {name: value for name, value in body.items() if name not in endpoint.rejects}
        response: object = await self._client(endpoint).post(
            "/chat/completions",
            cast_to=httpx.Response,
            # The SDK's JSON encoder refuses lone surrogates, which pasted text can hold.
            content=json.dumps(accepted).encode(),
            options={
                "timeout": _timeout(request),
                "follow_redirects": False,
                "headers": headers,
            },
            stream=True,
            stream_cls=together.AsyncStream[object],
        )
        # The SDK's types say something else; this is what `cast_to` asked for.
        assert isinstance(response, httpx.Response)  # noqa: S101
        return response

    def _client(self, endpoint: Endpoint) -> together.AsyncTogether:
        """Return the SDK's client for this endpoint and key; all of them share one HTTP client."""
        if self._http is None:
            self._transport = self._transport or NetworkTransport(
                proxies_of(os.environ), _LIMITS, tls_context
            )
            self._http = _http_client(self._transport)
        if endpoint.own and isinstance(self._transport, NetworkTransport):
            self._transport.send_directly(endpoint.base_url)
        key = (endpoint.base_url, endpoint.key, tuple(sorted(endpoint.headers.items())))
        if key not in self._clients:
            self._clients[key] = together.AsyncTogether(
                api_key=endpoint.key or "none",
                base_url=endpoint.base_url,
                default_headers=endpoint.headers,
                max_retries=0,
                http_client=self._http,
            )
        return self._clients[key]


def _message(message: Message, endpoint: Endpoint) -> dict[str, object]:
    """Return a message as the API has it."""
    content = _content(message, endpoint)
    body: dict[str, object] = {"role": message.role, "content": content}
    if message.tool_calls:
        # An assistant that only calls has no content: "" is refused by some services.
        body["content"] = content or None
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": defuse(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        body["tool_call_id"] = message.tool_call_id
    return body


def _content(message: Message, endpoint: Endpoint) -> str | list[dict[str, object]]:
    """Return a message's text, as a list of parts where it has images or carries a cache mark."""
    # A NUL means nothing to a model, and services that are written in C end the text there.
    text = defuse(message.content.replace("\0", ""))
    marked = message.cache_mark and CACHE_CONTROL not in endpoint.rejects
    if not marked and not message.images:
        return text
    parts: list[dict[str, object]] = [{"type": "text", "text": text}] if text or not message.images else []
    parts += [{"type": "image_url", "image_url": {"url": image.url}} for image in message.images]
    if marked:
        parts[-1][CACHE_CONTROL] = {"type": "ephemeral"}
    return parts


# Six models behind one key are six streams at once: none may wait for a connection.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=300.0)


def _http_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return together.DefaultAsyncHttpxClient(
        timeout=httpx.Timeout(120.0, connect=CONNECT_SECONDS),
        event_hooks={"response": [limit_body]},
        headers={"Accept-Encoding": ACCEPT_ENCODING},
        transport=transport,
        # No cookie is kept: nothing that came with one answer goes along with the next request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _failure_from_exception(request: Request, error: Exception) -> Failure:
    """Return what an exception of the SDK, of the connection or of our own code means."""
    match error:
        case together.APIStatusError():
            response = error.response
            return error_mapping.failure_from_response(
                request, error.status_code, response.text, dict(response.headers)
            )
        case BodyError():
            kind, message = FailureKind.GARBLED, describe_error(error)
        case TimeoutError() | together.APITimeoutError() | httpx.TimeoutException():
            cause = error.__cause__ if isinstance(error, together.APITimeoutError) else error
            kind, message = FailureKind.TIMEOUT, describe_timeout(request, cause)
        case together.APIConnectionError():
            kind, message = _connection(error.__cause__ or error)
        case httpx.TransportError():
            kind, message = FailureKind.CUT, f"the connection broke: {describe_error(error)}"
        case together.TogetherError() | httpx.HTTPError() | httpx.InvalidURL() | ValueError() | OSError():
            kind, message = FailureKind.INTERNAL, describe_error(error)
        case _:
            return error_mapping.internal_failure(request, error)
    return error_mapping.request_failure(request, kind, message)


def _timeout(request: Request) -> httpx.Timeout:
    # Only connecting has a limit of its own; `WordTimeout` ends everything else.
    return httpx.Timeout(None, connect=connect_seconds(request))


def _connection(cause: BaseException) -> tuple[FailureKind, str]:
    """Return whether a connection was never made or was lost before an answer, and the message."""
    if isinstance(cause, NetworkSettingError):
        return FailureKind.SETTING, str(cause)
    if isinstance(cause, BodyError):
        return FailureKind.GARBLED, describe_error(cause)
    if isinstance(cause, httpx.ConnectError):
        return FailureKind.CONNECTION, describe_error(cause)
    if isinstance(cause, httpx.TransportError):
        return FailureKind.CUT, f"the connection was lost before an answer: {describe_error(cause)}"
    return FailureKind.CONNECTION, describe_error(cause)
