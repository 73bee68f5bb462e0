"""The tool `web_search`: titles, addresses and excerpts of pages, from the search service of the settings.

searxng   a SearXNG server of one's own, whose JSON format is on
tavily, brave, exa   services with a key, which stands in the environment
ddgs      DuckDuckGo and others, without a key; slower, and refused now and then
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from bot.errors import KeyMissingError
from bot.settings.credentials import clean_key
from bot.settings.web import DDGS, WebConfig
from bot.text.sanitise import one_line
from bot.tool_use import Tool, ToolSource
from bot.tools.child import EXTRA, is_installed, run_script
from bot.tools.result import ToolError, ToolResult, text_argument
from bot.tools.web_client import SECONDS, Page, proxy_for, proxy_transport, request

RESULTS, MAX_RESULTS = 5, 20
_LONGEST_QUERY = 400  # characters; Brave takes no more
_LONGEST_EXCERPT = 1000
_TAG = re.compile(r"</?[a-z][^>]{0,200}>", re.IGNORECASE)

TOOL = Tool(
    "web_search",
    "Search the web. Returns titles, URLs and excerpts; web_fetch gets a whole page.",
    {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to search for."},
            "n": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_RESULTS,
                "description": "How many results.",
            },
        },
        "required": ["query"],
    },
    read_only=True,
)


@dataclass(frozen=True, slots=True)
class _Hit:
    title: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class _Search:
    """A service's request. `body` None: a GET with `params`."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class _Service:
    """A search service: its address, how it is asked (address, key, query, n), and where its results are."""

    url: str
    ask: Callable[[str, str, str, int], _Search]
    path: tuple[str, ...]
    text: tuple[str, ...]


_SERVICES = {
    "searxng": _Service(
        "",
        lambda url, _, query, __: _Search(f"{url}/search", {"q": query, "format": "json"}),
        ("results",),
        ("content",),
    ),
    "tavily": _Service(
        "https://api.tavily.com",
        lambda url, key, query, n: _Search(
            f"{url}/search",
            headers={"Authorization": f"Bearer {key}"},
            body={"query": query, "max_results": n},
        ),
        ("results",),
        ("content",),
    ),
    "brave": _Service(
        "https://api.search.brave.com",
        lambda url, key, query, n: _Search(
            f"{url}/res/v1/web/search",
            {"q": query, "count": str(n)},
            {"X-Subscription-Token": key, "Accept": "application/json"},
        ),
        ("web", "results"),
        ("description",),
    ),
    "exa": _Service(
        "https://api.exa.ai",
        lambda url, key, query, n: _Search(
            f"{url}/search",
            headers={"x-api-key": key},
            body={
                "query": query,
                "numResults": n,
                "contents": {"text": {"maxCharacters": _LONGEST_EXCERPT}},
            },
        ),
        ("results",),
        ("text", "summary"),
    ),
}


class WebSearch:
    """Searches with the service that the settings name. `transport` sends the requests."""

    def __init__(
        self,
        config: WebConfig,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config, self._transport, self._environ = config, transport, environ

    @property
    def service(self) -> str:
        """The service that searches."""
        return self._config.search_service(self._environ)

    def problem(self) -> str:
        """Return why it cannot be used, "" when it can."""
        try:
            self._key()
        except ToolError as error:
            return str(error)
        return f"ddgs is not installed: {EXTRA}" if self.service == DDGS and not is_installed("ddgs") else ""

    async def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return the results for `query`. ToolError when there are none."""
        query = one_line(text_argument(arguments, "query"))[:_LONGEST_QUERY]
        n = _number(arguments.get("n", RESULTS))
        if problem := self.problem():
            raise ToolError(problem)
        try:
            async with asyncio.timeout(SECONDS):
                hits, size = await (self._ddgs(query, n) if self.service == DDGS else self._ask(query, n))
        except TimeoutError:
            raise ToolError(f"{self.service}: no answer within {SECONDS:.0f} s") from None
        if not hits:
            raise ToolError(f"{self.service} found nothing")
        text = "\n\n".join(
            f"{number}. {hit.title}\n{hit.url}\n{hit.text}".rstrip()
            for number, hit in enumerate(hits, start=1)
        )
        return ToolResult(text, tuple(ToolSource(hit.url, hit.title) for hit in hits), size)

    def _key(self) -> str:
        variable = self._config.key_variable(self.service)
        try:
            key = clean_key(self._environ.get(variable, ""), variable) if variable else ""
        except KeyMissingError as error:
            raise ToolError(error.message) from None
        if variable and not key:
            raise ToolError(f"{self.service} needs a key: {variable} is not set")
        return key or ""

    async def _ask(self, query: str, n: int) -> tuple[list[_Hit], int]:
        service = _SERVICES[self.service]
        asked = service.ask(self._config.search_url or service.url, self._key(), query, n)
        transport = self._transport or proxy_transport()
        try:
            page = await request(
                transport,
                "GET" if asked.body is None else "POST",
                asked.url,
                headers=asked.headers,
                params=asked.params or None,
                json=asked.body,
            )
        except ToolError as error:
            raise ToolError(f"{self.service}: {error}") from None
        finally:
            if self._transport is None:
                await transport.aclose()
        return _hits(self._read(page, service.path), service.text, n), len(page.content)

    def _read(self, page: Page, path: tuple[str, ...]) -> list[Any]:
        if page.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            what = "its JSON format is off" if self.service == "searxng" else "the key was refused"
            raise ToolError(f"{self.service}: {what} (HTTP {page.status})")
        if page.status != HTTPStatus.OK:
            raise ToolError(f"{self.service}: HTTP {page.status}")
        try:
            found = json.loads(page.content)
            for name in path:
                found = found.get(name, {})
        except (ValueError, AttributeError, RecursionError):
            raise ToolError(f"{self.service}: its answer cannot be read") from None
        return found if isinstance(found, list) else []

    async def _ddgs(self, query: str, n: int) -> tuple[list[_Hit], int]:
        proxy = proxy_for("https://duckduckgo.com/")
        answer = await run_script("search_ddgs.py", {"query": query, "n": n, "proxy": proxy})
        if "results" not in answer:
            raise ToolError(f"ddgs: {answer.get('error', 'it failed')}")
        return _hits(answer["results"], ("text",), n), len(json.dumps(answer["results"]))


def _number(value: object) -> int:
    try:
        return min(max(int(str(value)), 1), MAX_RESULTS)
    except ValueError:
        raise ToolError("n: expected a whole number") from None


def _hits(found: list[Any], texts: tuple[str, ...], n: int) -> list[_Hit]:
    """Return the results that have an address of the web, without the markup of excerpts."""
    hits = []
    for entry in found:
        url = entry.get("url") if isinstance(entry, dict) else None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            text = next((entry[name] for name in texts if isinstance(entry.get(name), str)), "")
            hits.append(_Hit(_plain(str(entry.get("title") or url)), one_line(url), _plain(text)))
    return hits[:n]


def _plain(text: str) -> str:
    return one_line(html.unescape(_TAG.sub("", text)))[:_LONGEST_EXCERPT]
