"""Connections: proxies of every kind, certificates, IPv6, and what happens when a connection is dead."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import certifi
import httpx
import pytest

from bot.client.network import DEAD_SECONDS, NetworkTransport, socket_options
from bot.client.provider import Provider
from bot.client.proxies import NetworkSettingError, Proxies, proxies_of
from bot.client.retry import Retrier
from bot.client.tls import certificate_problem, tls_context, trust_store
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Endpoint, Message, Request

ANSWER = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()


class Server:
    """Answers every request with a completion, as a service or in a proxy's place.

    `lines` are the requests' first lines, and the addresses that a SOCKS client asked for; a connection
    whose number (from 1) is in `dead` answers once and then no more.
    """

    def __init__(self, *dead: int) -> None:
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.address = ""
        self._dead = dead
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1") -> AsyncGenerator[Server, None]:
        server = await asyncio.start_server(self._serve, host, 0)
        name, port = server.sockets[0].getsockname()[:2]
        self.address = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            first = await reader.readexactly(1)
            if first == b"\x05":
                self.lines.append(f"SOCKS {await accept_socks(reader, writer)}")
                first = b""
            while True:
                await self._read_request(reader, first)
                first = b""
                length = len(ANSWER)
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                )
                writer.write(head.encode() + ANSWER)
                if number in self._dead:
                    await asyncio.Event().wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _read_request(self, reader: asyncio.StreamReader, first: bytes) -> None:
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
        line, *headers = head.split("\r\n")
        self.lines.append(line)
        lengths = [each.partition(":")[2] for each in headers if each.lower().startswith("content-length:")]
        self.bodies.append(await reader.readexactly(int(lengths[0])))


async def accept_socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Accept a SOCKS 5 connection (RFC 1928) whose first byte is read; returns where it is to go."""
    [methods] = await reader.readexactly(1)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
    host = await reader.readexactly(length)
    port = int.from_bytes(await reader.readexactly(2))
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    families = {1: socket.AF_INET, 4: socket.AF_INET6}
    return f"{socket.inet_ntop(families[kind], host) if kind in families else host.decode()}:{port}"


def request(base_url: str, prompt: str = "hello", *, own: bool = False) -> Request:
    endpoint = Endpoint("test", base_url, "a-key", own=own)
    return Request(endpoint, "m", (Message("user", prompt),), 0.7, 100, timeout=20.0)


async def ask(provider: Provider, asked: Request) -> CallUpdate:
    return [update async for update in provider.complete(asked)][-1]


async def ask_once(asked: Request) -> CallUpdate:
    provider = Provider()
    try:
        return await ask(provider, asked)
    finally:
        await provider.close()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away the proxies and certificates of the environment in which the tests run."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks"])
@pytest.mark.parametrize(
    ("no_proxy", "own", "direct"),
    [("", False, False), ("10.0.0.0/8,::1", False, False), ("127.0.0.0/8", False, True), ("", True, True)],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_through_a_proxy(
    scheme: str,
    no_proxy: str,
    own: bool,  # noqa: FBT001 - a column of the table
    direct: bool,  # noqa: FBT001 - as above
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests go through the proxy, but not to what NO_PROXY names, nor to our own services."""

    async def run() -> tuple[CallUpdate, Server, Server]:
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(Server().running())
            proxy = await stack.enter_async_context(Server().running(host))
            monkeypatch.setenv("HTTP_PROXY", f"{scheme}://{proxy.address}")
            monkeypatch.setenv("no_proxy", no_proxy)
            return await ask_once(request(f"http://{service.address}/v1", own=own)), service, proxy

    last, service, proxy = asyncio.run(run())
    assert isinstance(last, Completion), last
    assert (len(service.lines), bool(proxy.lines)) == ((1, False) if direct else (0, True))
    if not direct:
        expected = f"POST http://{service.address}/v1/" if scheme == "http" else f"SOCKS {service.address}"
        assert proxy.lines[0].startswith(expected)


@pytest.mark.parametrize("value", ["what", "socks4://h:1", "http://::1:80"])
def test_a_proxy_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails with one line that names the variable, and is not sent again."""
    monkeypatch.setenv("HTTP_PROXY", value)

    async def run() -> list[CallUpdate]:
        provider = Provider()
        try:
            ask = Retrier(provider.complete)
            return [update async for update in ask(request("http://127.0.0.1:9/v1"))]
        finally:
            await provider.close()

    [last] = asyncio.run(run())
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.SETTING
    assert last.message.startswith("HTTP_PROXY is not the address of a proxy")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("service", ["http", "https"])
def test_a_proxy_that_cannot_be_reached(scheme: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is named, without its password."""
    monkeypatch.setenv(f"{service}_proxy", f"{scheme}://me:secret@127.0.0.1:1")
    last = asyncio.run(ask_once(request(f"{service}://127.0.0.1:9/v1")))
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.CONNECTION
    assert last.message.startswith(f"through the proxy {scheme}://127.0.0.1:1: ")
    assert "secret" not in last.message


def test_an_ipv6_service() -> None:
    """A base_url with an IPv6 address in brackets is asked as it is."""

    async def run() -> tuple[CallUpdate, list[str]]:
        async with Server().running("::1") as service:
            return await ask_once(request(f"http://{service.address}/v1")), service.lines

    last, lines = asyncio.run(run())
    assert isinstance(last, Completion), last
    assert lines == ["POST /v1/chat/completions HTTP/1.1"]


def test_nul_characters_are_left_out() -> None:
    """They are in no request, and all other characters are."""

    async def run() -> list[bytes]:
        async with Server().running() as service:
            await ask_once(request(f"http://{service.address}/v1", "a\0b\x01\n\0"))
            return service.bodies

    [body] = asyncio.run(run())
    assert json.loads(body)["messages"] == [{"role": "user", "content": "ab\x01\n"}]


@pytest.mark.parametrize("jump", [0.0, 3600.0, -3600.0])
def test_idle_connections_after_a_sleep(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wall clock has jumped ahead, idle connections are closed: they may be dead."""
    wall_clock = time.time

    async def run() -> tuple[list[CallUpdate], int]:
        async with Server(*([1] if jump > 0 else [])).running() as service:
            provider = Provider()
            try:
                first = await ask(provider, request(f"http://{service.address}/v1"))
                monkeypatch.setattr(time, "time", lambda: wall_clock() + jump)
                second = await ask(provider, request(f"http://{service.address}/v1"))
                return [first, second], service.connections
            finally:
                await provider.close()

    outcomes, connections = asyncio.run(run())
    assert all(isinstance(each, Completion) for each in outcomes), outcomes
    assert connections == (2 if jump > 0 else 1)


def test_a_stream_goes_on_over_a_jump_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only idle connections are closed: an answer that is being read is read to its end."""
    wall_clock = time.time

    async def run() -> tuple[bytes, httpx.Response]:
        async with Server().running() as service:
            transport = NetworkTransport(Proxies(), httpx.Limits(), tls_context)
            url = f"http://{service.address}/v1"
            try:
                first = await transport.handle_async_request(httpx.Request("POST", url, content=b"x"))
                monkeypatch.setattr(time, "time", lambda: wall_clock() + 60)
                second = await transport.handle_async_request(httpx.Request("POST", url, content=b"x"))
                return await first.aread(), second
            finally:
                await transport.aclose()

    body, second = asyncio.run(run())
    assert body == ANSWER
    assert second.status_code == httpx.codes.OK


def test_tcp_notices_a_dead_peer_by_itself() -> None:
    """Connections ask for a sign of life, and are given up after ten seconds without one."""

    async def run() -> dict[int, int]:
        async with Server().running() as service:
            transport = NetworkTransport(Proxies(), httpx.Limits(), tls_context)
            try:
                asked = httpx.Request("POST", f"http://{service.address}/v1", content=b"x")
                response = await transport.handle_async_request(asked)
                connection = response.extensions["network_stream"].get_extra_info("socket")
                return {
                    number: connection.getsockopt(level, number)
                    for level, number, _ in socket_options()
                    if level == socket.IPPROTO_TCP
                }
            finally:
                await transport.aclose()

    found = asyncio.run(run())
    assert found == {
        number: value for level, number, value in socket_options() if level == socket.IPPROTO_TCP
    }
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in socket_options()
    assert DEAD_SECONDS <= 10
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert found[socket.TCP_USER_TIMEOUT] <= 10_000


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("SSL_CERT_FILE", "/no/such/file", "No such file or directory"),
        ("SSL_CERT_FILE", "{folder}", "directory"),
        ("SSL_CERT_FILE", "{folder}/empty.pem", "no certificate in PEM format is in it"),
        ("SSL_CERT_FILE", "{folder}/text.pem", "no certificate in PEM format is in it"),
        ("SSL_CERT_FILE", "{folder}/broken.pem", "a certificate in it cannot be read"),
        ("SSL_CERT_FILE", "{folder}/cut.pem", "a certificate in it cannot be read"),
        ("SSL_CERT_DIR", "/no/such/folder", "no such folder"),
        ("SSL_CERT_DIR", "{folder}/text.pem", "no such folder"),
    ],
)
def test_certificates_that_cannot_be_used(
    variable: str, value: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the variable and the path; the call is not sent again. http needs no certificates."""
    (tmp_path / "empty.pem").write_bytes(b"")
    (tmp_path / "text.pem").write_bytes(b"# no certificate\n\xff\x00")
    marks = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
    (tmp_path / "broken.pem").write_text(marks, encoding="ascii")
    bundle = Path(certifi.where()).read_text(encoding="utf-8")
    (tmp_path / "cut.pem").write_text(bundle[:-300], encoding="utf-8")
    value = value.format(folder=tmp_path)
    monkeypatch.setenv(variable, value)

    async def run() -> tuple[list[CallUpdate], CallUpdate]:
        async with Server().running() as service:
            provider = Provider()
            try:
                ask_again = Retrier(provider.complete)
                updates = [update async for update in ask_again(request("https://127.0.0.1:9/v1"))]
                return updates, await ask(provider, request(f"http://{service.address}/v1"))
            finally:
                await provider.close()

    [failure], plain = asyncio.run(run())
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.SETTING
    assert f"{variable}={value}: " in failure.message
    assert problem in failure.message
    assert "\n" not in failure.message
    assert isinstance(plain, Completion)
    assert problem in certificate_problem({variable: value})


def test_which_certificates_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of SSL_CERT_FILE alone, where it is set; else the system's."""
    assert "system" in trust_store({}) or "certifi" in trust_store({})
    one = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----\n")
    file = tmp_path / "one.pem"
    file.write_text(one[0] + one[1], encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert len(tls_context().get_ca_certs()) == 1
    assert trust_store({"SSL_CERT_FILE": str(file)}) == f"SSL_CERT_FILE={file}"
    assert certificate_problem({"SSL_CERT_FILE": str(file)}) == ""
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert len(tls_context().get_ca_certs()) != 1


def test_a_setting_error_is_no_error_of_the_connection() -> None:
    """The transport raises it as it is."""
    transport = NetworkTransport(proxies_of({"HTTP_PROXY": "what"}), httpx.Limits(), tls_context)
    with pytest.raises(NetworkSettingError):
        asyncio.run(transport.handle_async_request(httpx.Request("GET", "http://a.example/")))
