"""The tool `web_fetch`: the readable text of a page, a PDF or a text file on the web.

URL ─► addresses of its host ─► those that are public ─► a request to one of them ─┬─► text
 ▲                                                                                 │
 └───────────────────────── a redirect, at most REDIRECTS ─────────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.message import Message
from fnmatch import fnmatchcase

import httpx

from bot.settings.web import WebConfig
from bot.text.sanitise import one_line
from bot.tool_use import Tool, ToolSource
from bot.tools.addresses import Resolve, is_public, resolve
from bot.tools.document_text import Kind, read_document
from bot.tools.result import ToolError, ToolResult, text_argument
from bot.tools.web_client import SECONDS, Page, direct_transport, proxy_for, proxy_transport, request

REDIRECTS = 5
_AT_ONCE = 4
"""Documents that are read at the same time, each by a process."""
_LONGEST_URL = 4000
_LAST_PORT = 65535
_TEXT_TYPES = frozenset(
    {"", "application/json", "application/xml", "application/javascript", "application/yaml"}
)

TOOL = Tool(
    "web_fetch",
    "Get the readable text of a web page, a PDF or a text file by its URL.",
    {
        "type": "object",
        "properties": {"url": {"type": "string", "description": "An http or https URL."}},
        "required": ["url"],
    },
    read_only=True,
)


class WebFetch:
    """Fetches pages. `resolve` looks up names; `transport` sends requests without a proxy."""

    def __init__(
        self,
        config: WebConfig,
        *,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config, self._resolve, self._transport = config, resolve, transport
        self._readers = asyncio.Semaphore(_AT_ONCE)

    async def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return the text at `url`. ToolError when there is none."""
        url = text_argument(arguments, "url")
        try:
            async with asyncio.timeout(SECONDS):
                final, page = await self._follow(url)
                return await self._text(final, page)
        except TimeoutError:
            raise ToolError(f"no answer within {SECONDS:.0f} s") from None

    async def _follow(self, text: str) -> tuple[httpx.URL, Page]:
        url = _checked_url(text)
        for _ in range(REDIRECTS + 1):
            page = await self._request(url)
            location = page.headers.get("location", "") if 300 <= page.status < 400 else ""  # noqa: PLR2004 - redirects
            if not location:
                return url, page
            try:
                target = url.join(location)
            except (httpx.InvalidURL, UnicodeError):
                raise ToolError("it redirects to an address that is none") from None
            url = _checked_url(str(target))
        raise ToolError(f"it redirects more than {REDIRECTS} times")

    async def _request(self, url: httpx.URL) -> Page:
        """Send a request to an address that was checked, in the name of the URL's host."""
        addresses = await self._addresses(url)
        headers = {"Accept": "text/html, application/pdf, text/*;q=0.9, */*;q=0.5"}
        if self._transport is None and proxy_for(str(url)):
            # The proxy looks the name up once more: what it may reach is its own matter.
            transport = proxy_transport()
            try:
                return await request(transport, "GET", str(url), headers=headers)
            finally:
                await transport.aclose()
        transport = self._transport or direct_transport()
        failed = ToolError("cannot be reached")
        try:
            for address in addresses:
                target = url.copy_with(host=address)
                named = {**headers, "Host": url.netloc.decode("ascii")}
                try:
                    return await request(
                        transport, "GET", str(target), headers=named, sni=url.raw_host.decode()
                    )
                except ToolError as error:
                    failed = error
        finally:
            if self._transport is None:
                await transport.aclose()
        raise failed

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Return the addresses of a URL's host that may be asked. ToolError when there are none."""
        host = url.raw_host.decode("ascii")
        try:
            found = await self._resolve(host, url.port or (443 if url.scheme == "https" else 80))
        except OSError:
            raise ToolError(f"{host}: no such host") from None
        if self._config.allow_private or _allowed(host, self._config.allow_hosts):
            return found
        public = [address for address in found if is_public(address)]
        if not public:
            raise ToolError(
                f"{host} is not a public address, and is not asked (config.toml: [web] allow_hosts allows it)"
            )
        return public

    async def _text(self, url: httpx.URL, page: Page) -> ToolResult:
        if page.status >= 400:  # noqa: PLR2004 - errors
            raise ToolError(f"HTTP {page.status} {httpx.codes.get_reason_phrase(page.status)}".strip())
        content_type = Message()
        content_type["content-type"] = page.headers.get("content-type", "")
        kind = content_type.get_content_type() if page.headers.get("content-type") else ""
        charset = content_type.get_content_charset() or ""
        reader = _reader(kind, page)
        if reader is None:
            text, title = _decode(page.content, charset, kind), ""
        else:
            if reader == "pdf" and page.cut:
                raise ToolError("a PDF of more than 5 MB")
            async with self._readers:
                document = await read_document(reader, page.content, url=str(url), charset=charset)
            if document.error:
                raise ToolError(document.error)
            text, title = document.text, one_line(document.title)
        if not text.strip():
            raise ToolError("it has no readable text")
        if page.cut:
            text += "\n\n(Only the first 5 MB were read.)"
        heading = f"{title}\n\n" if title and not text.lstrip("# ").startswith(title) else ""
        return ToolResult(heading + text, (ToolSource(str(url), title),), len(page.content))


def _checked_url(text: str) -> httpx.URL:
    """Return a URL that can be asked, without its fragment. ToolError for another."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise ToolError("url: expected an http or https URL") from None
    if (
        url.scheme not in {"http", "https"}
        or not url.host
        or (url.port or 0) > _LAST_PORT
        or len(text) > _LONGEST_URL
    ):
        raise ToolError("url: expected an http or https URL")
    if url.userinfo:
        raise ToolError("url: expected a URL without user and password")
    return url.copy_with(fragment=None)


def _allowed(host: str, patterns: tuple[str, ...]) -> bool:
    name = host.rstrip(".").lower()
    return any(fnmatchcase(name, pattern.lower().rstrip(".")) for pattern in patterns)


def _reader(kind: str, page: Page) -> Kind | None:
    """Return which reader a document needs, None for plain text. ToolError for what has no text."""
    if kind == "application/pdf" or page.content.startswith(b"%PDF-"):
        return "pdf"
    if kind in {"text/html", "application/xhtml+xml"}:
        return "html"
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
        start = page.content[:1000].lstrip().lower()
        return "html" if not kind and start.startswith((b"<!doctype html", b"<html")) else None
    raise ToolError(f"it is {one_line(kind)}, not text")


def _decode(content: bytes, charset: str, kind: str) -> str:
    if b"\0" in content[:1000] and not charset:
        raise ToolError(f"it is {one_line(kind) or 'binary data'}, not text")
    try:
        return content.decode(charset or "utf-8-sig", "replace")
    except LookupError:
        return content.decode("utf-8-sig", "replace")
