"""MCP servers by HTTP that do what none should."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from chatting import in_loop

from bot.settings.mcp_servers import McpServer
from bot.settings.web import WebConfig
from bot.tools.toolbox import ConfiguredToolbox

pytestmark = pytest.mark.slow
TOOLS = ("echo", "silent", "huge", "refuse", "away", "garbage", "cut", "flood")


class Handler(BaseHTTPRequestHandler):
    """A server whose tools are faults; `secrets` are the headers of authorization that it got."""

    secrets: list[tuple[str, str | None]]
    stop: threading.Event

    def do_POST(self) -> None:
        self.secrets.append((self.path, self.headers["authorization"]))
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, params = request["method"], request.get("params") or {}
        if "id" not in request:
            return self.send(202, b"")
        if method == "server/discover":
            error = {"code": -32601, "message": "unknown"}
            return self.send(
                200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()
            )
        result: dict[str, Any] = {}
        if method == "initialize":
            version = params["protocolVersion"]
            info = {"name": "x", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
        elif method == "tools/call":
            name = params["name"]
            if name != "echo":
                return self.fault(name)
            result = {"content": [{"type": "text", "text": "here"}]}
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
        return self.send(200, json.dumps(answer).encode())

    def do_GET(self) -> None:
        self.secrets.append((self.path, self.headers["authorization"]))
        self.send(405, b"")

    def do_DELETE(self) -> None:
        self.do_GET()

    def fault(self, name: str) -> None:
        if name == "silent":
            self.stop.wait(30)
        elif name == "huge":
            self.send(200, b'{"x": "' + b"x" * 50_000_000 + b'"}')
        elif name == "refuse":
            self.send(403, b"no")
        elif name == "away":
            self.send(307, b"", location="http://localhost:9/elsewhere")
        elif name == "garbage":
            self.send(200, b"<html>")
        elif name == "cut":
            self.send(200, b"", kind="text/event-stream")
        elif name == "flood":
            note = {"jsonrpc": "2.0", "method": "notifications/progress"}
            note["params"] = {"progressToken": 1, "progress": 1}  # type: ignore[assignment]
            event = b"event: message\ndata: " + json.dumps(note).encode() + b"\n\n"
            self.send(200, event * 200, kind="text/event-stream", length=False)
            while not self.stop.is_set():
                self.wfile.write(event * 200)

    def send(
        self,
        status: int,
        content: bytes,
        kind: str = "application/json",
        location: str = "",
        *,
        length: bool = True,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        if location:
            self.send_header("location", location)
        if length:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return


@pytest.fixture
def address() -> Iterator[str]:
    """The address of the server."""
    Handler.secrets, Handler.stop = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        Handler.stop.set()
        server.shutdown()
        thread.join()


@in_loop
async def test_faults(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is an error of its call, and the next call works; what is sent goes to this server alone."""
    monkeypatch.setenv("DOCS_TOKEN", "a-secret-key-0815")
    lines: list[str] = []
    headers = {"Authorization": "Bearer ${DOCS_TOKEN}"}
    server = McpServer("s", url=address, headers=headers, timeout=60)
    async with ConfiguredToolbox(WebConfig(), lines.append, {"s": server}) as box:
        for name in TOOLS:
            box.servers["s"].server = replace(server, timeout=1 if name == "silent" else 60)
            run = await box.run(f"s.{name}", {})
            box.servers["s"].server = server
            if name == "flood":
                assert "one message after another" in run.error
                continue
            assert bool(run.error) == (name != "echo"), name
            assert (await box.run("s.echo", {})).text == "here", name
            assert "a-secret-key" not in run.error
    assert {path for path, _ in Handler.secrets} == {"/mcp"}
    assert {secret for _, secret in Handler.secrets} == {"Bearer a-secret-key-0815"}
    assert "a-secret-key" not in "".join(lines)
