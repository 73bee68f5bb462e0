"""The service in this process with models made up, and as a process against the offline service."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fake_models import FakeAsk
from running import LIMIT
from serving import ServedApp

from bot.demo.process import DemoProcess

UPSTREAM_KEY = "very-secret-key-4711"
SAYS = {
    "a": {"reply": "from a"},
    "b": {"reply": "from b"},
    "judge": {"reply": "the reply, in seven words or so"},
}


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    """Models a, b and judge, behind a key."""
    return offline({"models": SAYS, "require_key": UPSTREAM_KEY})


@dataclass
class Serving:
    """A running `moa-bot serve`."""

    process: subprocess.Popen[bytes]
    url: str
    said: list[str]

    def post(self, body: Mapping[str, Any], **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/chat/completions", json=dict(body), timeout=LIMIT, **more)


@pytest.fixture
def serve(
    start: Callable[..., subprocess.Popen[bytes]], service: DemoProcess
) -> Iterator[Callable[..., Serving]]:
    """Start the service on a free port, with the mixture a, b, judge; returns once it listens."""
    readers: list[threading.Thread] = []
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Serving:
        upstream = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": UPSTREAM_KEY}
        mixture = ["--reference_models", "a,b", "--aggregator", "judge", "--port", "0"]
        process = start(["serve", *mixture, *arguments], env={**upstream, **(env or {})})
        processes.append(process)
        assert process.stderr
        first = process.stderr.readline().decode()
        assert "serving the mixture" in first, first
        said = [first]
        # Read on, so that the pipe never fills.
        stderr = process.stderr
        reader = threading.Thread(target=lambda: said.extend(line.decode() for line in stderr))
        reader.start()
        readers.append(reader)
        return Serving(process, next(word for word in first.split() if word.startswith("http")), said)

    yield run
    for process in processes:
        process.terminate()
        process.wait(LIMIT)
    for reader in readers:
        reader.join(LIMIT)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServedApp]:
    """Make the application; the models answer from a table."""
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/v1")

    def app(
        replies: Mapping[str, Any] | None = None, *, hold: tuple[str, ...] = (), **more: Any
    ) -> ServedApp:
        return ServedApp(FakeAsk({"judge": "the reply", **(replies or {})}, hold=hold), **more)

    return app
