"""A service on this computer whose models call a tool when they are offered one, and then answer.

    python tests/support/tool_service.py [PORT]      prints its address, until it is ended

Its calls stream in pieces. What it answers names the first line of each result that it was sent.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Calls = Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]
"""The tool calls (name, arguments) of each model; "" for models that are not named."""


class ToolService(ThreadingHTTPServer):
    """Answers each request after `delay` seconds; `taken` has (start, end, model) of each."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, calls: Calls, delay: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.calls, self.delay = calls, delay
        self.taken: list[tuple[float, float, str]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ToolService
    protocol_version = "HTTP/1.1"
    # Head and body go out together, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._send(json.dumps({"data": []}).encode(), "application/json")

    def do_POST(self) -> None:
        started = time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        time.sleep(self.server.delay)
        results = [each["content"] for each in body["messages"] if each["role"] == "tool"]
        calls = self.server.calls.get(model, self.server.calls.get("", ()))
        if body.get("tools") and calls and not results:
            deltas, reason = _call_deltas(calls), "tool_calls"
        else:
            found = [text.split("\n")[2][:60] for text in results]
            text = (
                f"{model} found: {'; '.join(found)} [1]." if found else f"{model} has read the answers [1]."
            )
            deltas, reason = [{"content": word} for word in text.split(" ")], "stop"
            deltas = [{"content": f"{each['content']} "} for each in deltas]
        events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage})
        sent = "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n"
        self._send(sent.encode(), "text/event-stream")
        self.server.taken.append((started, time.monotonic(), model))

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _call_deltas(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the pieces of these calls: the name first, then the arguments in halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
    for index, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        head = {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        halves = [text[: len(text) // 2], text[len(text) // 2 :]]
        pieces = [head, *({"index": index, "function": {"arguments": half}} for half in halves)]
        deltas += [{"tool_calls": [piece]} for piece in pieces]
    return deltas


@contextmanager
def tool_service(calls: Calls, delay: float = 0.0) -> Iterator[ToolService]:
    """Serve while the block runs."""
    service = ToolService(calls, delay)
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()
        thread.join()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    search = ("web_search", {"query": "how cats purr"})
    demonstration = ToolService(
        {
            "": [search],
            "committer": [("git__git_commit", {"repo_path": ".", "message": "hello"})],
            "judge": (),
        },
        delay=1.0,
        port=port,
    )
    print(demonstration.base_url, flush=True)
    demonstration.serve_forever()
