"""HTTP for the tools: the environment's proxies and certificates, a limit of time and of bytes."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from bot.client.network import NetworkTransport
from bot.client.proxies import NetworkSettingError, Proxies, proxies_of
from bot.client.tls import tls_context
from bot.tools.result import ToolError

MAX_BYTES = 5_000_000
SECONDS = 20.0
USER_AGENT = "moa-bot (+https://github.com/moa-bot/moa-bot)"
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
# A connection is to an address, not a name: another name's request must not be sent over it.
_LIMITS = httpx.Limits(max_keepalive_connections=0)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. `content` has at most MAX_BYTES; `cut` says that there was more."""

    status: int
    headers: httpx.Headers
    content: bytes
    cut: bool = False


def direct_transport() -> httpx.AsyncBaseTransport:
    """Return a transport that uses no proxy."""
    return NetworkTransport(Proxies(), _LIMITS, _tls)


def proxy_transport() -> httpx.AsyncBaseTransport:
    """Return a transport that uses the environment's proxies."""
    return NetworkTransport(proxies_of(os.environ), _LIMITS, _tls)


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL. ToolError when it cannot be used."""
    try:
        return proxies_of(os.environ).proxy_for(url)
    except NetworkSettingError as error:
        raise ToolError(str(error)) from None


def _tls() -> ssl.SSLContext:
    try:
        return tls_context()
    except NetworkSettingError as error:
        raise ToolError(str(error)) from None


async def request(
    transport: httpx.AsyncBaseTransport,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    json: object = None,
    sni: str = "",
) -> Page:
    """Send one request; redirects are not followed. ToolError when there is no answer.

    The server's certificate must be that of `sni`, if that is not "", instead of the URL's host.
    """
    # What could decompress to more than a machine has in one step is not asked for, and refused.
    sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate", **(headers or {})}
    made = httpx.Request(
        method,
        url,
        headers=sent,
        params=params,
        json=json,
        extensions={
            "timeout": httpx.Timeout(SECONDS).as_dict(),
            **({"sni_hostname": sni} if sni else {}),
        },
    )
    try:
        response = await transport.handle_async_request(made)
        response.request = made
        try:
            return await _read(response)
        finally:
            await response.aclose()
    except httpx.TimeoutException:
        raise ToolError("no answer in time") from None
    except httpx.HTTPError as error:
        raise ToolError(f"cannot be reached: {error or type(error).__name__}") from None


async def _read(response: httpx.Response) -> Page:
    if response.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
        raise ToolError("its compression is not supported")
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            return Page(response.status_code, response.headers, bytes(content[:MAX_BYTES]), cut=True)
    return Page(response.status_code, response.headers, bytes(content))
