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

from bot.app.load_settings import load_settings
from bot.app.log import Log
from bot.app.turn_budget import TurnBudget
from bot.demo.process import DemoProcess
from bot.serve.app import make_app
from bot.serve.limits import Limits, Turns
from bot.serve.served_mixtures import ServedMixtures
from bot.serve.turn_route import Service
from bot.store.responses import ResponseStore

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


class App:
    """The application with made-up models; `client()` talks with it inside this process."""

    def __init__(
        self,
        ask: FakeAsk,
        *,
        key: str | None = None,
        limits: Limits | None = None,
        max_cost: float | None = None,
        responses: ResponseStore | None = None,
        cors: tuple[str, ...] = (),
    ) -> None:
        said = {"reference_models": ["a", "b"], "aggregator": "judge", "system": "Be kind."}

        def again(changes: Mapping[str, object]) -> Any:
            return load_settings({**({} if "preset" in changes else said), **changes})

        self.ask = ask
        self.limits = limits or Limits()
        self.turns = Turns(self.limits.turns)
        mixtures = ServedMixtures(again({}), again)
        budget = TurnBudget(max_cost)
        store = responses or ResponseStore(None)
        self.service = Service(mixtures, ask, Log(None), self.turns, self.limits, budget, responses=store)
        self.asgi = make_app(self.service, key=key, host="127.0.0.1", cors=cors)

    def client(self, **more: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.asgi), base_url="http://127.0.0.1", **more
        )


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., App]:
    """Make the application; the models answer from a table."""
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/v1")

    def app(replies: Mapping[str, Any] | None = None, *, hold: tuple[str, ...] = (), **more: Any) -> App:
        return App(FakeAsk({"judge": "the reply", **(replies or {})}, hold=hold), **more)

    return app
