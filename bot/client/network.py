"""The connections under all requests: through which proxy, with which certificates, and when they are dead.

    request ─► NetworkTransport ─► httpx.AsyncHTTPTransport of its proxy, or the direct one
                   │ before each request: has this computer slept? ─► idle connections are closed

While a computer sleeps, its clocks for timeouts stand still, and connections die without a word: the next
request over such a connection would wait for an answer until its timeout. An idle one is closed after a
sleep; one in use is noticed by TCP itself, which asks for a sign of life (at the latest in DEAD_SECONDS).
The request then fails with a lost connection and is sent again.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from functools import cache

import httpx

from bot.client.proxies import Proxies, without_password

DEAD_SECONDS = 9
"""After so long without a sign of life from the other computer, a connection is given up."""
_FIRST_PROBE, _PROBE_INTERVAL = 3, 2
JUMP_SECONDS = 5.0
"""The wall clock is ahead by more than this: the computer slept."""

SocketOption = tuple[int, int, int]
MakeContext = Callable[[], ssl.SSLContext]
"""Returns the TLS context; called when a connection needs one."""


@cache
def socket_options() -> tuple[SocketOption, ...]:
    """Return the options that make TCP notice a dead connection, as far as this system has them."""
    wanted = (
        ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
        ("TCP_KEEPIDLE", socket.IPPROTO_TCP, _FIRST_PROBE),
        ("TCP_KEEPALIVE", socket.IPPROTO_TCP, _FIRST_PROBE),  # macOS' name
        ("TCP_KEEPINTVL", socket.IPPROTO_TCP, _PROBE_INTERVAL),
        ("TCP_KEEPCNT", socket.IPPROTO_TCP, (DEAD_SECONDS - _FIRST_PROBE) // _PROBE_INTERVAL),
        # For what was sent and not acknowledged; in milliseconds.
        ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, (DEAD_SECONDS - 1) * 1000),
    )
    options: list[SocketOption] = []
    with socket.socket() as probe:
        for name, level, value in wanted:
            number = getattr(socket, name, None)
            if number is None:
                continue
            try:
                probe.setsockopt(level, number, value)
            except OSError:  # a kernel that knows the name only
                continue
            options.append((level, number, value))
    return tuple(options)


class NetworkTransport(httpx.AsyncBaseTransport):
    """Sends each request directly or through its proxy, over connections that stay open.

    Raises NetworkSettingError for a variable of the environment that cannot be used.
    """

    def __init__(self, proxies: Proxies, limits: httpx.Limits, tls_context: MakeContext) -> None:
        self._proxies, self._limits, self._tls_context = proxies, limits, tls_context
        self._direct: set[str] = set()
        self._transports: dict[tuple[str | None, bool], httpx.AsyncHTTPTransport] = {}
        self._asleep = _seconds_asleep()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request."""
        asleep = _seconds_asleep()
        if asleep - self._asleep > JUMP_SECONDS:
            self._asleep = asleep
            await self._close_idle_connections()
        self._asleep = asleep
        proxy = self._proxy_for(request.url)
        try:
            return await self._transport(request.url, proxy).handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if proxy is None:
                raise
            # The service may well be there: what cannot be reached is named.
            message = f"through the proxy {without_password(proxy)}: {str(error) or type(error).__name__}"
            raise httpx.ConnectError(message, request=request) from error

    def send_directly(self, base_url: str) -> None:
        """Use no proxy for this service, whatever the environment says."""
        self._direct.add(_origin(httpx.URL(base_url)))

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _proxy_for(self, url: httpx.URL) -> str | None:
        return None if _origin(url) in self._direct else self._proxies.proxy_for(str(url))

    def _transport(self, url: httpx.URL, proxy: str | None) -> httpx.AsyncHTTPTransport:
        key = (proxy, url.scheme == "https")
        if key not in self._transports:
            secure = url.scheme == "https" or (proxy or "").startswith("https:")
            # Without TLS no certificates are needed, and a mistake in their setting does no harm.
            context = self._tls_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._transports[key] = httpx.AsyncHTTPTransport(
                verify=context,
                limits=self._limits,
                proxy=self._proxy(proxy) if proxy else None,
                socket_options=socket_options(),
            )
        return self._transports[key]

    def _proxy(self, address: str) -> httpx.Proxy:
        context = self._tls_context() if address.startswith("https:") else None
        return httpx.Proxy(address, ssl_context=context)

    async def _close_idle_connections(self) -> None:
        for transport in self._transports.values():
            # httpx has no public way to its pool; the pool's own interface is httpcore's public one.
            for connection in transport._pool.connections:  # noqa: SLF001
                if connection.is_idle():
                    await connection.aclose()


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _seconds_asleep() -> float:
    """Return the seconds by which the wall clock is ahead of the one that stands still in sleep."""
    return time.time() - time.monotonic()
