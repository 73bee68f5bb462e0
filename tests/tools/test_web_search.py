"""web_search: each service is asked its way, with its key, and its results have their addresses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.errors import ConfigError
from bot.settings.files import Section
from bot.settings.web import WebConfig, read_web
from bot.tools.result import ToolError, ToolResult
from bot.tools.web_search import WebSearch

KEY = "a-secret-key-0815"
HITS = [
    {"title": "On <b>cats</b>", "url": "https://a.example/1", "content": "They &amp; purr\x1b[2J.\nYes."},
    {"title": "", "url": "http://b.example/2", "content": None},
    {"title": "no link", "url": "javascript:alert(1)"},
    {"title": "no address"},
    "no result",
]


def search(
    config: WebConfig, answer: Any, environ: dict[str, str] | None = None, **arguments: object
) -> tuple[ToolResult, httpx.Request]:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    tool = WebSearch(config, transport=httpx.MockTransport(handle), environ=environ or {})
    return asyncio.run(tool.run({"query": " what do\ncats do ", **arguments})), asked[0]


def renamed(text: str) -> list[Any]:
    hits = [hit for hit in HITS if isinstance(hit, dict)]
    return [{text if key == "content" else key: value for key, value in hit.items()} for hit in hits]


SERVICES = {
    "searxng": (
        WebConfig(search_url="https://s.example"), {"results": HITS},
        "https://s.example/search?q=what+do+cats+do&format=json", None, None,
    ),
    "tavily": (
        WebConfig(), {"results": HITS}, "https://api.tavily.com/search",
        ("authorization", f"Bearer {KEY}"), {"query": "what do cats do", "max_results": 3},
    ),
    "brave": (
        WebConfig(), {"web": {"results": renamed("description")}},
        "https://api.search.brave.com/res/v1/web/search?q=what+do+cats+do&count=3",
        ("x-subscription-token", KEY), None,
    ),
    "exa": (
        WebConfig(), {"results": renamed("text")}, "https://api.exa.ai/search", ("x-api-key", KEY),
        {"query": "what do cats do", "numResults": 3, "contents": {"text": {"maxCharacters": 1000}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_services(name: str) -> None:
    """Each is asked as its documentation says; results are numbered plain text with addresses."""
    config, answer, url, header, body = SERVICES[name]
    result, request = search(config, answer, {f"{name.upper()}_API_KEY": KEY}, n=3)
    assert str(request.url).replace("%20", "+") == url
    assert (json.loads(request.content) if body else request.content) == (body or b"")
    assert header is None or request.headers[header[0]] == header[1]
    assert result.text == (
        "1. On cats\nhttps://a.example/1\nThey & purr. Yes.\n\n2. http://b.example/2\nhttp://b.example/2"
    )
    assert [(source.url, source.title) for source in result.sources] == [
        ("https://a.example/1", "On cats"),
        ("http://b.example/2", "http://b.example/2"),
    ]


@pytest.mark.parametrize(
    ("config", "environ", "service"),
    [
        (WebConfig(), {}, "ddgs"),
        (WebConfig(), {"BRAVE_API_KEY": KEY, "EXA_API_KEY": KEY}, "brave"),
        (WebConfig(search="exa"), {"BRAVE_API_KEY": KEY}, "exa"),
        (WebConfig(search_url="https://s.example"), {"BRAVE_API_KEY": KEY}, "searxng"),
        (WebConfig(search="ddgs"), {"TAVILY_API_KEY": KEY}, "ddgs"),
        (WebConfig(search="tavily", search_url="https://own.example"), {}, "tavily"),
    ],
)
def test_which_service(config: WebConfig, environ: dict[str, str], service: str) -> None:
    """The one that is named, else the first that has what it needs."""
    assert WebSearch(config, environ=environ).service == service


@pytest.mark.parametrize(
    ("answer", "environ", "said"),
    [
        (httpx.Response(401, text=KEY), {"TAVILY_API_KEY": KEY}, "tavily: the key was refused (HTTP 401)"),
        (httpx.Response(429), {"TAVILY_API_KEY": KEY}, "tavily: HTTP 429"),
        (httpx.Response(302, headers={"location": "/"}), {"TAVILY_API_KEY": KEY}, "tavily: HTTP 302"),
        (httpx.Response(200, text="<html>"), {"TAVILY_API_KEY": KEY}, "tavily: its answer cannot be read"),
        (httpx.Response(200, json=[1]), {"TAVILY_API_KEY": KEY}, "tavily: its answer cannot be read"),
        ({"results": []}, {"TAVILY_API_KEY": KEY}, "tavily found nothing"),
        ({"results": 7}, {"TAVILY_API_KEY": KEY}, "tavily found nothing"),
        ({}, {}, "tavily needs a key: TAVILY_API_KEY is not set"),
        ({}, {"TAVILY_API_KEY": "two words"}, "TAVILY_API_KEY: not a key"),
    ],
)
def test_failures(answer: Any, environ: dict[str, str], said: str) -> None:
    """Each says what is wrong, and never the key."""
    with pytest.raises(ToolError) as raised:
        search(WebConfig(search="tavily"), answer, environ)
    assert str(raised.value).startswith(said)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(("n", "results"), [(1, 1), ("2", 2), (0, 1), (1000, 20)])
def test_number_of_results(n: object, results: int) -> None:
    """Between 1 and 20, also of a service that returns more."""
    many = {"results": [{"title": "t", "url": f"https://a.example/{index}"} for index in range(50)]}
    result, _ = search(WebConfig(search_url="https://s.example"), many, n=n)
    assert len(result.sources) == results


@pytest.mark.parametrize("arguments", [{"query": ""}, {"query": 7}, {"n": "many"}])
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    """They are errors that name the argument."""
    with pytest.raises(ToolError, match=r"^(query|n): expected"):
        search(WebConfig(search_url="https://s.example"), {}, **arguments)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"serach": "exa"}, "unknown key"),
        ({"search": "google"}, "expected"),
        ({"search": "searxng"}, "search_url: missing"),
        ({"search_url": "s.example"}, "search_url"),
        ({"key_env": KEY}, "key_env"),
        ({"allow_hosts": "a"}, "a list of texts"),
        ({"allow_private": "yes"}, "true or false"),
    ],
)
def test_wrong_settings(table: dict[str, object], problem: str) -> None:
    """A mistake in [web] names the key, and never repeats what may be a key of a service."""
    with pytest.raises(ConfigError) as raised:
        read_web(Section(Path("config.toml"), table, "web"))
    assert problem in raised.value.message
    assert KEY not in raised.value.message
