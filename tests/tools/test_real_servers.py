"""Real MCP servers, from their packages: what they list is offered, and what they answer is returned."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import platformdirs
import pytest
from chatting import in_loop
from running import end, until

from bot.settings.mcp_servers import McpServer
from bot.settings.web import WebConfig
from bot.tools.toolbox import ConfiguredToolbox

pytestmark = pytest.mark.slow
EVERYTHING = "@modelcontextprotocol/server-everything"


def server(name: str, *arguments: str) -> McpServer:
    """A server of the tests' own environment."""
    if find_spec(f"mcp_server_{name}") is None:
        pytest.skip(f"mcp-server-{name} is not installed")
    return McpServer(name, sys.executable, ("-m", f"mcp_server_{name}", *arguments), timeout=120)


def toolbox(*servers: McpServer) -> ConfiguredToolbox:
    return ConfiguredToolbox(WebConfig(), lambda _: None, {server.name: server for server in servers})


@pytest.fixture
def site() -> Iterator[str]:
    """A site of one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/page" else 404)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html><body><h1>Cats</h1><p>They purr at 25 hertz.</p></body></html>")

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/page"
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a commit."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@a.example"]
    subprocess.run([*git, "init", "-q"], check=True)
    commit = ["-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", "The first one"]
    subprocess.run([*git, *commit], check=True)
    return tmp_path


@in_loop
async def test_time_git_and_fetch(repository: Path, site: str) -> None:
    """Three servers at once; a tool that writes is not read-only, and an error is one of its call."""
    servers = (
        server("time"),
        server("git", "--repository", str(repository)),
        server("fetch", "--ignore-robots-txt", "--allow-private-ips"),
    )
    async with toolbox(*servers) as box:
        tools = {tool.name: tool.read_only for tool in await box.tools(["time", "git", "fetch"])}
        assert {"time.get_current_time", "git.git_log", "git.git_commit", "fetch.fetch"} <= tools.keys()
        assert not tools["git.git_commit"]
        time, log, page, wrong = await asyncio.gather(
            box.run("time.get_current_time", {"timezone": "Asia/Tokyo"}),
            box.run("git.git_log", {"repo_path": str(repository)}),
            box.run("fetch.fetch", {"url": site}),
            box.run("time.get_current_time", {"timezone": "Nowhere"}),
        )
    assert json.loads(time.text)["timezone"] == "Asia/Tokyo"
    assert "The first one" in log.text
    assert "They purr at 25 hertz" in page.text, page.error
    assert (wrong.text, "Nowhere" in wrong.error) == ("", True)


@pytest.fixture(scope="module")
def everything() -> list[str]:
    """The command of the reference server, installed once with npm in the user's cache folder."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed")
    folder = platformdirs.user_cache_path("moa-bot-tests") / "server-everything"
    script = folder / "node_modules" / EVERYTHING / "dist" / "index.js"
    if not script.exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), EVERYTHING]
        done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install {EVERYTHING}: {done.stderr[-200:]}")
    return ["node", str(script)]


@pytest.fixture
def everything_by_http(everything: list[str]) -> Iterator[str]:
    """The address of the reference server."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    quiet = subprocess.DEVNULL
    service = subprocess.Popen([*everything, "streamableHttp"], env=environment, stdout=quiet, stderr=quiet)
    try:
        until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        end([service])


@in_loop
async def test_everything_by_stdio_and_http(everything: list[str], everything_by_http: str) -> None:
    """The protocol's reference server, in Node, gives the same over both transports."""
    servers = (
        McpServer("stdio", everything[0], (everything[1],), timeout=60),
        McpServer("http", url=everything_by_http, headers={"X-A": "b"}, timeout=60),
    )
    async with toolbox(*servers) as box:
        names = [tool.name.partition(".")[2] for tool in await box.tools(["*"])]
        for name in ("stdio", "http"):
            assert (await box.run(f"{name}.echo", {"message": "hi"})).text == "Echo: hi"
            assert "(image: image/png)" in (await box.run(f"{name}.get-tiny-image", {})).text
            assert (await box.run(f"{name}.get-resource-links", {"count": 2})).sources
            assert (await box.run(f"{name}.get-sum", {"a": "no number"})).error
    assert names.count("echo") == 2


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
