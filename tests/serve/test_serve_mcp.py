"""The mixture as an MCP server, asked by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from fake_models import failed
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from running import LIMIT

from bot.cli.mcp import typer_app
from bot.demo.process import DemoProcess
from bot.errors import UsageError
from bot.serve.limits import Limits
from bot.serve.mcp_server import _mended
from bot.serve.mcp_tools import mcp_server

Make = Callable[..., Any]
UPSTREAM_KEY = "very-secret-key-4711"
REPLY = "the reply, in seven words or so"
KEY = "a-long-and-random-bearer-key"
FUSED = json.dumps({"unique": [{"claim": "only a says so", "answer": 1}]})


def talk(app: Any, work: Callable[[Client], Awaitable[Any]]) -> Any:
    """Return what `work` returns with a client of this application's server."""

    async def run() -> Any:
        async with Client(mcp_server(app.service, {"compare": "COMPARE"})) as client:
            return await work(client)

    return asyncio.run(run())


def call(app: Any, name: str = "ask_panel", **arguments: Any) -> Any:
    return talk(app, lambda client: client.call_tool(name, arguments))


def test_what_is_offered(make: Make) -> None:
    """Two tools that only read, and each preset that can run as a resource."""

    async def look(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["ask_panel", "compare"]
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        assert tools[0].input_schema["required"] == ["question"]
        resources = (await client.list_resources()).resources
        uris = [str(each.uri) for each in resources]
        assert uris[:2] == ["moa://presets/moa", "moa://presets/default"]
        assert "moa://presets/preset:moa" in uris
        [contents] = (await client.read_resource("moa://presets/moa")).contents
        described = json.loads(contents.text)  # type: ignore[union-attr]  # it is text
        assert (described["references"], described["aggregator"]) == ([["a", "b"]], "judge")
        for uri in ("moa://presets/nothing", "moa://presets/", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="no such resource"):
                await client.read_resource(uri)

    talk(make(), look)


def test_ask_panel(make: Make) -> None:
    """The reply as text; panel, cost and the like beside it; progress as the turn goes on."""
    said: list[tuple[float, float | None, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        said.append((progress, total, message))

    app = make()
    result = talk(
        app,
        lambda client: client.call_tool("ask_panel", {"question": "why?"}, progress_callback=heard),
    )
    assert (result.is_error, [part.text for part in result.content]) == (False, ["the reply"])
    assert result.structured_content["panel"]["answered"] == 2
    assert [request.model for request in app.ask.requests] == ["a", "b", "judge"]
    assert said[0] == (0, 3, "round 1 of 1: 2 models")
    assert said[-1] == (2, 3, "judge writes")
    assert [value for value, _, _ in said] == sorted(value for value, _, _ in said)


def test_the_panel_is_asked_whatever_when_says(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """--when auto is the served mixture's own matter: who calls the tool has decided."""
    monkeypatch.setenv("MOA_BOT_WHEN", "auto")
    app = make()
    assert not call(app, question="why?").is_error
    assert [request.model for request in app.ask.requests] == ["a", "b", "judge"]


def test_compare(make: Make) -> None:
    """Each answer with the judge's comparison; without a judge the aggregator compares."""
    app = make({"judge": FUSED})
    result = call(app, "compare", question="why?")
    assert "answer of a" in result.content[0].text
    values = result.structured_content
    assert [each["model"] for each in values["answers"]] == ["a", "b"]
    assert values["analysis"]["unique"] == [{"claim": "only a says so", "answer": 1}]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("nothing", {}, "no tool 'nothing'"),
        ("ask_panel", {}, "question"),
        ("ask_panel", {"question": "  "}, "question"),
        ("ask_panel", {"question": ["why?"]}, "question"),
        ("ask_panel", {"question": "why?", "temperature": 1}, "temperature"),
        ("ask_panel", {"question": "why?", "rounds": 1000}, "rounds"),
        ("ask_panel", {"question": "why?", "models": []}, "models"),
        ("ask_panel", {"question": "why?", "models": ["a*1000"]}, "from 1 to 64"),
        ("ask_panel", {"question": "why?", "models": ["a*50"]}, "models: more than 32 models"),
        ("ask_panel", {"question": "why?", "models": [""]}, "models: an empty model name"),
        ("ask_panel", {"question": "why?", "models": ["openai:x"]}, "key"),
        ("ask_panel", {"question": "why?", "preset": "nothing"}, "there are: moa, default"),
        ("ask_panel", {"question": "x" * 3_000}, "more than 2,000 bytes"),
    ],
)
def test_what_is_wrong_with_a_call(make: Make, name: str, arguments: dict[str, Any], said: str) -> None:
    """It is a result with an error that names the argument; nothing is asked."""
    app = make(limits=Limits(body=2_000))
    result = call(app, name, **arguments)
    assert result.is_error
    assert said in result.content[0].text
    assert not app.ask.requests


def test_a_turn_that_fails(make: Make) -> None:
    """The caller's model reads why."""
    result = call(make({"a": failed(), "b": failed()}), question="why?")
    assert result.is_error
    assert "2 reference models failed" in result.content[0].text


def test_no_more_calls_than_the_limit(make: Make) -> None:
    """One call too many is refused; the one in progress is cancelled when its client leaves."""
    app = make(hold=("a",), limits=Limits(turns=1))

    async def work(client: Client) -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "ask_panel", {"question": "first"})
            while not app.ask.requests:
                await asyncio.sleep(0)
            refused = await client.call_tool("ask_panel", {"question": "second"})
            group.cancel_scope.cancel()
        return refused

    refused = talk(app, work)
    assert "More than 1 requests at once" in refused.content[0].text
    assert app.ask.cancelled == ["a"]


def test_max_cost(make: Make) -> None:
    """A call that may cost more than is left is not made."""
    app = make(max_cost=0.01)
    result = call(app, question="why?")
    assert result.is_error
    assert not app.ask.requests


@pytest.mark.slow
@pytest.mark.parametrize("http", [False, True])
def test_as_a_process(
    start: Callable[..., subprocess.Popen[bytes]], service: DemoProcess, *, http: bool
) -> None:
    """Over stdin and stdout, where only the protocol is written, and by HTTP with a key; Ctrl-C ends it."""
    environ = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": UPSTREAM_KEY}
    environ |= {"MOA_BOT_SERVE_KEY": KEY}
    arguments = ["mcp", "-r", "a,b", "-a", "judge", "--stop_after", "1"]
    process = start([*arguments, *(["--http", "--port", "0"] if http else [])], env=environ)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    if http:
        said = process.stderr.readline().decode()
        url = next(word for word in said.split() if word.startswith("http"))
        assert httpx.post(url, json={}, timeout=LIMIT).status_code == 401

        async def ask() -> Any:
            headers = {"Authorization": f"Bearer {KEY}"}
            async with (
                httpx.AsyncClient(headers=headers, timeout=LIMIT) as web,
                Client(streamable_http_client(url, http_client=web)) as client,
            ):
                return await client.call_tool("ask_panel", {"question": "why?"})

        assert asyncio.run(ask()).content[0].text == REPLY
    else:
        who = {"name": "x", "version": "1"}
        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who}
        asked = {"name": "ask_panel", "arguments": {"question": "why?"}}
        for message in (
            {"id": 1, "method": "initialize", "params": info},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": asked},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [each["id"] for each in answers] == [1, 2]
        assert answers[1]["result"]["content"][0]["text"] == REPLY
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 0
    assert process.stdout.read() == b""


def test_not_from_inside_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the program starts for its models is not the program again."""
    monkeypatch.setenv("MOA_BOT_IN_PANEL", "1")
    with pytest.raises(UsageError, match="cannot ask a panel"):
        typer_app(["--demo"], standalone_mode=False)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (r'{"a": "half \ud83d"}', {"a": "half \ufffd"}),
        (r'{"a": "whole \uD83D\uDE00"}', {"a": "whole \U0001f600"}),
        (r'{"a": "text \\ud83d"}', {"a": r"text \ud83d"}),
        ('{"a": "plain"}', {"a": "plain"}),
    ],
)
def test_half_a_character_in_a_message(line: str, read: dict[str, str]) -> None:
    """It becomes U+FFFD, so that the call is answered."""
    mended = _mended(line)
    assert json.loads(mended) == read
    mended.encode()


def test_a_line_that_is_no_json() -> None:
    """It stays as it is, for the SDK to refuse."""
    assert _mended(r"\ud83d {") == r"\ud83d {"
