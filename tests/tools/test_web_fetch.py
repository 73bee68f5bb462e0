"""web_fetch: what it reads, and what it never asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import httpx
import pytest

from bot.settings.web import WebConfig
from bot.tools.addresses import is_public
from bot.tools.result import ToolError, ToolResult
from bot.tools.web_fetch import WebFetch

PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
PRIVATE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "203.0.113.9",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001::1", "2001:db8::1", "3fff::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "5f00::1", "100::1", "", "localhost",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    """Neither this computer's, nor its network's, nor what leads there by another way of writing it."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, OTHER, "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "172.32.0.1"],
)
def test_public_addresses(address: str) -> None:
    """What the internet routes, also an IPv4 address inside an IPv6 one."""
    assert is_public(address)


class Site:
    """Hosts by name, each with its addresses (a list of answers: one look-up each), and pages by URL."""

    def __init__(self, hosts: Mapping[str, list[str] | list[list[str]]], pages: Mapping[str, Any]) -> None:
        self.hosts, self.pages = {name: list(answers) for name, answers in hosts.items()}, pages
        self.asked: list[tuple[str, str]] = []
        self.looked_up: list[str] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        answers: Any = self.hosts.get(host)
        if answers is None:
            raise OSError
        return answers.pop(0) if isinstance(answers[0], list) else answers

    def answer(self, request: httpx.Request) -> httpx.Response:
        url = f"{request.url.scheme}://{request.headers['host']}{request.url.raw_path.decode()}"
        self.asked.append((request.url.host, url))
        if request.url.scheme == "https":
            assert request.extensions["sni_hostname"] == request.headers["host"].partition(":")[0]
        page = self.pages[url]
        if page is None:
            raise httpx.ConnectError("refused")
        if isinstance(page, httpx.Response):
            return page
        if page.startswith(("http", "//", "/")):
            return httpx.Response(302, headers={"location": page})
        return httpx.Response(200, text=page)

    def fetch(self, url: object, config: WebConfig | None = None) -> ToolResult:
        async def run() -> ToolResult:
            transport = httpx.MockTransport(self.answer)
            fetch = WebFetch(config or WebConfig(), resolve=self.resolve, transport=transport)
            return await fetch.run({"url": url})

        return asyncio.run(run())

    def error(self, url: object, config: WebConfig | None = None) -> str:
        with pytest.raises(ToolError) as raised:
            self.fetch(url, config)
        return str(raised.value)


def test_the_checked_address_is_asked() -> None:
    """A name is looked up once for each request, and the request goes to an address of that answer."""
    site = Site(
        {"a.example": [[PUBLIC], ["127.0.0.1"]], "b.example": ["10.0.0.7", OTHER]},
        {"https://a.example/": "//b.example/x?y#z", "https://b.example/x?y": "found"},
    )
    result = site.fetch("https://a.example#top")
    assert (result.text, [source.url for source in result.sources]) == ("found", ["https://b.example/x?y"])
    assert site.asked == [(PUBLIC, "https://a.example/"), (OTHER, "https://b.example/x?y")]
    assert site.looked_up == ["a.example", "b.example"]
    assert "not a public address" in site.error("https://a.example")


def test_the_next_address_is_asked_when_one_does_not_answer() -> None:
    """A network without IPv6 reaches a host that has both."""
    site = Site({"a.example": [OTHER, PUBLIC]}, {"http://a.example/": "found"})
    answer = site.answer

    def only_ipv4(request: httpx.Request) -> httpx.Response:
        if request.url.host == OTHER:
            raise httpx.ConnectError("no route")
        return answer(request)

    site.answer = only_ipv4  # type: ignore[method-assign]
    assert site.fetch("http://a.example").text == "found"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:8080/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/",
        "http://[::ffff:169.254.169.254]/", "http://internal.example/", "//localhost/", "https://metadata.example/",
    ],
)  # fmt: skip
def test_a_redirect_to_what_is_not_public(target: str) -> None:
    """It is refused before anything is sent there."""
    hosts = {
        "a.example": [PUBLIC],
        "127.0.0.1": ["127.0.0.1"],
        "169.254.169.254": ["169.254.169.254"],
        "::1": ["::1"],
        "::ffff:169.254.169.254": ["::ffff:169.254.169.254"],
        "localhost": ["127.0.0.1", "::1"],
        "internal.example": ["192.168.0.1", "fd00::1"],
        "metadata.example": ["169.254.169.254"],
    }
    site = Site(hosts, {"http://a.example/": target})
    assert "not a public address" in site.error("http://a.example/")
    assert [address for address, _ in site.asked] == [PUBLIC]


@pytest.mark.parametrize("target", ["http://a.example/", "/", "/again"])
def test_a_redirect_for_ever(target: str) -> None:
    """It ends after five."""
    site = Site({"a.example": [PUBLIC]}, {"http://a.example/": target, "http://a.example/again": "/again"})
    assert "redirects more than 5 times" in site.error("http://a.example/")
    assert len(site.asked) == 6


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://a.example/", "http://", "javascript:1", "http://[x/"]
)
def test_a_redirect_to_no_web_address(target: str) -> None:
    """It is an error."""
    page = httpx.Response(301, headers={"location": target})
    assert site_with(page).error("http://a.example/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "a.example", "", 7, None, "http://", "http:///x", "ftp://a.example", "http://[::1",
        "http://user:word@a.example/", "http://a.example:99999/", "http://\x00/",
        "http://a.example/" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_web_address(url: object) -> None:
    """It is an error of the argument, and nothing is looked up."""
    site = Site({}, {})
    assert site.error(url).startswith("url: ")
    assert site.looked_up == []


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "LOCALHOST."])
def test_other_ways_to_write_this_computer(host: str) -> None:
    """The system's own look-up turns them into its address, which is refused."""

    async def run() -> None:
        await WebFetch(WebConfig(), transport=httpx.MockTransport(lambda _: pytest.fail("asked"))).run(
            {"url": f"http://{host}/"}
        )

    with pytest.raises(ToolError, match=r"not a public address|no such host"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("config", "allowed"),
    [
        (WebConfig(allow_private=True), True),
        (WebConfig(allow_hosts=("wiki.lan",)), True),
        (WebConfig(allow_hosts=("*.lan",)), True),
        (WebConfig(allow_hosts=("lan", "other.lan")), False),
    ],
)
def test_allowed_hosts(config: WebConfig, *, allowed: bool) -> None:
    """Hosts of the settings are asked whatever their addresses are; their redirects are checked as any."""
    pages = {"http://wiki.lan/": "found", "http://wiki.lan/away": "http://10.0.0.1/"}
    site = Site({"wiki.lan": ["10.0.0.9"], "10.0.0.1": ["10.0.0.1"]}, pages)
    if allowed:
        assert site.fetch("http://wiki.lan", config).text == "found"
    else:
        assert "not a public address" in site.error("http://wiki.lan", config)
    if not config.allow_private:
        assert "not a public address" in site.error("http://wiki.lan/away", config)
        assert "10.0.0.1" not in [address for address, _ in site.asked]


def site_with(page: object) -> Site:
    return Site({"a.example": [PUBLIC]}, {"http://a.example/": page})


def response(content: bytes, kind: str = "text/plain", status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=content, headers={"content-type": kind, **headers})


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (response(b"", status=404), "HTTP 404 Not Found"),
        (response(b"x", status=503), "HTTP 503"),
        (response(b"\x89PNG", "image/png"), "image/png, not text"),
        (response(b"PK\0\0", "application/zip"), "application/zip, not text"),
        (response(b"a\0b"), "not text"),
        (response(b"  \n"), "no readable text"),
        (
            httpx.Response(200, stream=httpx.ByteStream(b"x"), headers={"content-encoding": "br"}),
            "compression",
        ),
        (None, "cannot be reached: refused"),
    ],
)
def test_pages_without_text(page: object, said: str) -> None:
    """Each says what it is instead."""
    assert said in site_with(page).error("http://a.example/")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (response("größe".encode("latin-1"), "text/plain; charset=latin-1"), "größe"),
        (response("größe".encode(), "text/markdown"), "größe"),
        (response("größe".encode(), "text/plain; charset=no-such"), "größe"),
        (response(b'{"a": 1}', "application/json"), '{"a": 1}'),
        (response(b"<a/>", "application/atom+xml"), "<a/>"),
        (httpx.Response(200, content=b"plain"), "plain"),
    ],
)
def test_texts(page: httpx.Response, text: str) -> None:
    """Text files are returned as they are, in their encoding."""
    assert site_with(page).fetch("http://a.example/").text == text


def test_a_site_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is limited as a whole, however often a little comes."""

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0)
                yield b"."

    monkeypatch.setattr("bot.tools.web_fetch.SECONDS", 0.01)
    assert "no answer within" in site_with(httpx.Response(200, stream=Endless())).error("http://a.example/")


def test_large_text() -> None:
    """Only the first 5 MB are read, and that is said."""
    result = site_with(response(b"x" * 6_000_000)).fetch("http://a.example/")
    assert result.bytes == 5_000_000
    assert result.text.endswith("(Only the first 5 MB were read.)")


@pytest.fixture
def local_site() -> Iterator[tuple[str, dict[str, tuple[str, bytes]]]]:
    """A site on this computer: its address, and its pages by path."""
    pages: dict[str, tuple[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = pages[self.path]
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}", pages
        server.shutdown()
        thread.join()


PAGE = b"""<!doctype html>
<html><head><title>On &lt;cats&gt;</title></head><body><nav>Home About Login</nav>
<article><h1>Cats</h1>
<p>Cats purr at a frequency between 25 and 150 hertz, which many people find calming.</p>
<p>Researchers say that a second paragraph helps to find what is readable in a page.</p></article>
<script>alert("no")</script></body></html>"""


@pytest.mark.slow
def test_pages_and_pdfs(local_site: tuple[str, dict[str, tuple[str, bytes]]]) -> None:
    """Over the network, read in a process: a page's article and title, a PDF's text; broken ones say so."""
    url, pages = local_site
    pages["/page"] = ("text/html; charset=utf-8", PAGE)
    pages["/file.pdf"] = ("application/octet-stream", pdf("Cats purr."))
    pages["/broken.pdf"] = ("application/pdf", b"%PDF-1.7 nothing")
    pages["/deep"] = ("text/html", b"<div>" * 500_000)

    async def run() -> list[ToolResult | BaseException]:
        fetch = WebFetch(WebConfig(allow_hosts=("localhost",)))
        return await asyncio.gather(
            *(fetch.run({"url": url + path}) for path in ("/page", "/file.pdf", "/broken.pdf", "/deep")),
            return_exceptions=True,
        )

    page, file, broken, deep = asyncio.run(run())
    assert isinstance(page, ToolResult)
    assert page.sources[0].title in {"On <cats>", "Cats"}
    assert "frequency between 25 and 150 hertz" in page.text
    assert "alert" not in page.text
    assert isinstance(file, ToolResult)
    assert file.text == "[page 1]\nCats purr."
    assert "cannot be read" in str(broken)
    assert isinstance(deep, ToolError)


def pdf(text: str) -> bytes:
    """A PDF of one page with a line of text."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    page = writer.add_blank_page(200, 200)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = stream
    file = BytesIO()
    writer.write(file)
    return file.getvalue()
