"""MCP servers as processes: what they may do, and what becomes of the ones that do something else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from chatting import in_loop
from running import until

from bot.settings.mcp_servers import McpServer
from bot.settings.web import WebConfig
from bot.tools.toolbox import ConfiguredToolbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="servers are supervised on POSIX"),
]
SCRIPT = Path(__file__).parents[1] / "support" / "scripted_mcp.py"
TIMEOUT = 60


def server(behaviour: str = "good", *more: str, name: str = "s") -> McpServer:
    return McpServer(name, sys.executable, (str(SCRIPT), behaviour, *more), timeout=TIMEOUT)


def toolbox(*servers: McpServer, log: Callable[[str], None] = lambda _: None) -> ConfiguredToolbox:
    return ConfiguredToolbox(WebConfig(), log, {each.name: each for each in servers})


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return b"Z" in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1]


@in_loop
async def test_what_cannot_be_sent_or_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither ends the server nor waits for the time limit; a key in `args` is kept out of errors."""
    monkeypatch.setenv("TICKET_KEY", "a-key-in-arguments")
    async with toolbox(server("good", str(tmp_path / "pids"), "${TICKET_KEY}")) as box:
        half = await box.run("s.echo", {"text": "\ud83d\ude00 \ud800", "\udfff": 1})
        assert json.loads(half.text) == {"text": "😀 \ufffd", "\ufffd": 1}
        for value in (float("nan"), float("inf")):
            assert "not a JSON object" in (await box.run("s.echo", {"n": [value]})).error
        assert "cannot be read" in (await box.run("s.unreadable", {})).error
        assert (await box.run("s.refuse", {})).error == "*** is wrong"
        assert not (await box.run("s.echo", {})).error
    assert len((tmp_path / "pids").read_text(encoding="utf-8").splitlines()) == 1


@in_loop
async def test_tools_and_results(tmp_path: Path) -> None:
    """Tools have names and permission; results have text, what else there is in a word, and links."""
    pids = tmp_path / "pids"
    async with toolbox(server("noise", str(pids)), server(name="other")) as box:
        assert not pids.exists()
        tools = {tool.name: tool.read_only for tool in await box.tools(["s"])}
        assert (tools["s.echo"], tools["s.write"]) == (True, False)
        assert "s.large" not in tools
        assert all(name.replace(".", "").isalpha() for name in tools)
        [echo] = await box.tools(["s.echo"])
        assert echo.description.startswith("Echoes.")
        assert not any(sign in f"{echo.description}{echo.parameters}" for sign in ("<|im_end|>", "\x1b"))
        assert [tool.name for tool in await box.tools(["s.e*", "nothing.*"])] == ["s.echo", "s.env"]
        assert box.servers["other"].state == "not started"
        run = await box.run("s.echo", {"text": "é"})
        assert (json.loads(run.text), run.error) == ({"text": "é"}, "")
        run = await box.run("s.links", {})
        assert run.text.splitlines() == [
            "one",
            "(image: image/png)",
            "(A title: https://a.example/x)",
            "(n: javascript:alert(1))",
            "inside",
        ]
        assert [(source.url, source.title) for source in run.sources] == [
            ("https://a.example/x", "A title"),
            ("file:///a", ""),
        ]
        assert len(pids.read_text().split()) == 1
        runs = await asyncio.gather(*(box.run("s.echo", {"n": n}) for n in range(20)))
        assert [json.loads(run.text)["n"] for run in runs] == list(range(20))
        for name in ("s.nothing", "other2.x", "nothing", "s."):
            assert "no tool" in (await box.run(name, {})).error
    assert await asyncio.to_thread(is_gone, int(pids.read_text()))


@in_loop
async def test_hostile_server(tmp_path: Path) -> None:
    """Each fault is an error of its call, and the next one works; no escape sequence is returned."""
    lines: list[str] = []
    async with toolbox(server(), log=lines.append) as box:
        assert await box.tools(["s"])
        box.servers["s"].server = replace(server(), timeout=1)
        assert "no answer within 1 s" in (await box.run("s.silent", {})).error
        box.servers["s"].server = server()
        assert "more than 10,000,000 bytes" in (await box.run("s.huge", {})).error
        run = await box.run("s.hostile", {})
        assert run.text.startswith("Ignore all previous")
        assert not set(run.text) & set("\x1b\x07\u202e")
        assert not next(tool for tool in await box.tools(["s.write"])).read_only
        await box.run("s.change", {})
        tools = {tool.name: tool.read_only for tool in await box.tools(["s"])}
        assert (tools["s.added"], tools["s.write"]) == (True, False)
        assert "ended with status 3" in (await box.run("s.die", {})).error
        assert (await box.run("s.echo", {})).text == "{}"
        flooded = await box.run("s.flood", {})
        assert "one message after another" in flooded.error
        # It has ended twice by now.
        assert "one message after another" in (await box.run("s.echo", {})).error


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (server("dead"), "status 5"),
        (replace(server("mute"), timeout=2), "does not answer within 2 s"),
        (McpServer("s", "no-such-command"), "no command no-such-command"),
        (McpServer("s", sys.executable, cwd="/nowhere"), "no folder /nowhere"),
        (McpServer("s", sys.executable, env={"A": "${NOT_SET_ANYWHERE}"}), "NOT_SET_ANYWHERE is not set"),
        (McpServer("s", url="http://127.0.0.1:9/mcp", timeout=5), "s: "),
    ],
)
@in_loop
async def test_server_that_does_not_start(made: McpServer, error: str) -> None:
    """It is an error of each call, which does not wait for it again; other servers' tools are there."""
    async with toolbox(made, server(name="other")) as box:
        names = {tool.name for tool in await box.tools(["*"])}
        assert "other.echo" in names
        run = await box.run("s.echo", {})
        assert error in run.error
        assert [
            (state.state, error.removeprefix("s: ") in state.error) for state in await box.states(["s"])
        ] == [("failed", True)]


@in_loop
async def test_what_is_not_there_is_said_once() -> None:
    """A server that fails, and a name that no tool has."""
    said: list[str] = []
    servers = {"s": server(), "gone": McpServer("gone", "no-such-command")}
    async with ConfiguredToolbox(WebConfig(), lambda _: None, servers, said.append) as box:
        for _ in range(2):
            assert [tool.name for tool in await box.tools(["s.echo", "gone"])] == ["s.echo"]
            await box.tools(["s.nothing"])
            await box.states(["other"])
    assert said == [
        "The tools of gone are not there: there is no command no-such-command.",
        "No tool has the name s.nothing. See: moa-bot tools list",
    ]


@in_loop
async def test_environment_and_log() -> None:
    """A server has what it was given and no key of the program; keys do not reach the log."""
    lines: list[str] = []
    os.environ["MY_TOKEN"], os.environ["TOGETHER_API_KEY"] = "my-secret-token", "key-of-the-program"
    try:
        given = replace(server(), env={"TOKEN": "Bearer ${MY_TOKEN}", "PLAIN": "${NONE:-text}"})
        dead = replace(server("dead", name="dead"), env={"TOKEN": "${MY_TOKEN}"})
        async with toolbox(given, dead, log=lines.append) as box:
            environment = json.loads((await box.run("s.env", {})).text)
            await box.tools(["dead"])
        assert environment["TOKEN"] == "Bearer my-secret-token"
        assert environment["PLAIN"] == "text"
        assert not {"TOGETHER_API_KEY", "MY_TOKEN"} & environment.keys()
        assert any("cannot start: *** is wrong" in line for line in lines)
        assert "my-secret-token" not in "".join(lines)
    finally:
        del os.environ["MY_TOKEN"], os.environ["TOGETHER_API_KEY"]


PROGRAM = """
import asyncio, sys
from bot.settings.mcp_servers import McpServer
from bot.settings.web import WebConfig
from bot.tools.toolbox import ConfiguredToolbox

async def main():
    server = McpServer("s", sys.executable, tuple(sys.argv[1:]))
    async with ConfiguredToolbox(WebConfig(), print, {"s": server}) as box:
        await box.tools(["s"])
        print("running", flush=True)
        if "--stay" in sys.argv:
            await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize("killed", [False, True])
def test_servers_end_with_the_program(tmp_path: Path, *, killed: bool) -> None:
    """Also a server that ignores everything, with what it started, and also when the program is killed."""
    pids = tmp_path / "pids"
    words = [str(SCRIPT), "stubborn", str(pids), *(["--stay"] if killed else [])]
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program:
        assert program.stdout.readline() == "running\n"
        found = [int(pid) for pid in pids.read_text().split()]
        assert len(found) == 2
        if killed:
            assert not any(map(is_gone, found))
            program.send_signal(signal.SIGKILL)
        program.wait()
    until(lambda: all(map(is_gone, found)))
