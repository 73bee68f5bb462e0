"""Services on this computer: found on request, and made a mixture of."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from running import in_time
from services import start_service

from bot.client.model_list import ListedModel, ModelList
from bot.demo.process import DemoProcess
from bot.errors import MoaError, UsageError
from bot.local import discovery
from bot.local.discovery import LocalService, find_services
from bot.local.local_preset import (
    SINGLE_MODEL_CALLS,
    InstalledModel,
    find_local_models,
    installed_models,
    make_preset,
    parameters_in,
)
from bot.settings.endpoints import EndpointConfig

TAGS: dict[str, list[dict[str, Any]]] = {
    "models": [
        {"name": "qwen3:8b", "size": 5_200_000_000, "details": {"family": "qwen3", "parameter_size": "8.2B"}},
        {"name": "qwen3:1.7b", "details": {"family": "qwen3", "parameter_size": "2.0B"}},
        {"name": "llama3.2:latest", "details": {"family": "llama", "parameter_size": "3.2B"}},
        {"name": "my-own", "size": 600_000_000, "details": {"family": "gemma3"}},
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": 5},
    ]
}


TIMEOUT = discovery.TIMEOUT


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search in this process finds a service however busy the machine is."""
    monkeypatch.setattr(discovery, "TIMEOUT", 10.0)


@pytest.fixture
def ollama() -> Iterator[str]:
    """The base URL of a fake Ollama, which answers with its lists."""
    names = [entry["name"] for entry in TAGS["models"] if isinstance(entry["name"], str)]
    answers = {"/v1/models": {"data": [{"id": name} for name in names]}, "/api/tags": TAGS}
    with _serving(answers) as url:
        yield url


class _Serving:
    """A server that answers GETs from a table."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, answers))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_serving = _Serving


class _Answers(BaseHTTPRequestHandler):
    def __init__(self, answers: dict[str, Any], *arguments: Any) -> None:
        self.answers = answers
        super().__init__(*arguments)

    def do_GET(self) -> None:
        known = self.path in self.answers
        answer = self.answers.get(self.path)
        status, body = answer() if callable(answer) else (200 if known else 404, answer)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("qwen3:8b", 8.0),
        ("Qwen2.5-0.5B-Instruct", 0.5),
        ("SmolLM2-135M", 0.135),
        ("8.2B", 8.2),
        ("llama3.2", None),
        ("model-8bit", None),
        ("mixtral-8x7b", None),
    ],
)
def test_parameter_counts_in_names(text: str, weights: float | None) -> None:
    """Billions of parameters are read from names and sizes."""
    assert parameters_in(text) == weights


def test_a_mixture_is_diverse_and_the_largest_aggregates() -> None:
    """The largest of each family, then the next largest; four at most, from all services."""
    models = [
        InstalledModel("ollama", "qwen:8b", "qwen", 8),
        InstalledModel("ollama", "qwen:4b", "qwen", 4),
        InstalledModel("ollama", "qwen:1b", "qwen", 1),
        InstalledModel("lmstudio", "gemma-12b", "gemma", 12),
        InstalledModel("ollama", "unknown", "unknown"),
    ]
    preset = make_preset(models, "here")
    [layer] = preset.layers
    assert [agent.model for agent in layer] == ["gemma-12b", "qwen:8b", "unknown", "qwen:4b"]
    assert layer[0].endpoint == "lmstudio"
    assert preset.aggregator == layer[0]
    [alone] = make_preset(models[:1], "here").layers
    assert [agent.model for agent in alone] == ["qwen:8b"] * SINGLE_MODEL_CALLS


@pytest.mark.parametrize(
    ("parameters", "values"),
    [(0.17, {"temperature": 0.3, "placement": "system"}), (0.4, {}), (8, {}), (None, {})],
)
def test_tiny_models_are_asked_as_the_starter_model_is(
    parameters: float | None, values: dict[str, object]
) -> None:
    """They would ramble, and repeat the instruction that their last message ends with."""
    assert make_preset([InstalledModel("ollama", "m", "m", parameters)], "here").values == values


def test_what_ollama_has(ollama: str) -> None:
    """Families and sizes are Ollama's own where it gives them; models that cannot chat are left out."""
    found = asyncio.run(find_services([EndpointConfig("ollama", ollama)], 5, tags=True))
    assert installed_models(found[0]) == [
        InstalledModel("ollama", "llama3.2:latest", "llama", 3.2),
        InstalledModel("ollama", "my-own", "gemma", 1.0),
        InstalledModel("ollama", "qwen3:1.7b", "qwen", 2.0),
        InstalledModel("ollama", "qwen3:8b", "qwen", 8.2),
    ]


@pytest.mark.parametrize("tags", [None, [], {}, {"models": 5}, {"models": [5, {}, {"name": "a"}]}])
def test_tags_of_any_form(tags: object) -> None:
    """Whatever the answer is, the names of the models are enough."""
    service = LocalService(EndpointConfig("x", "http://localhost:1/v1"), ModelList((ListedModel("a"),)), tags)
    assert installed_models(service) == [InstalledModel("x", "a", "a")]


_LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}


def _loads(times: int) -> Callable[[], tuple[int, Any]]:
    """An answer of llama.cpp's server, which is loading its model the first so many times."""
    left = [(503, _LOADING)] * times

    def answer() -> tuple[int, Any]:
        return left.pop() if left else (200, {"data": [{"id": "m.gguf", "owned_by": "llamacpp"}]})

    return answer


def test_a_service_that_is_loading_its_model() -> None:
    """It is found, and that it has no list yet is not taken for a service without models."""
    with _serving({"/v1/models": _loads(1)}) as url:
        [service] = asyncio.run(find_services([EndpointConfig("llamacpp", url)], 5))
    assert (service.loading, service.model_list.models) == (True, ())


@pytest.mark.slow
@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_service_that_is_waited_for(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """For a mixture it is waited for, which is said once."""
    monkeypatch.setattr(discovery, "LOADING_WAIT", 0.01)
    said: list[str] = []
    with _serving({"/v1/models": _loads(times)}) as url:
        [service] = asyncio.run(find_services([EndpointConfig("llamacpp", url)], 5, say=said.append))
    assert [model.id for model in service.model_list.models] == ["m.gguf"]
    assert said == ([f"llamacpp at {url} is loading its model: waiting for it."] if times else [])


@pytest.mark.slow
def test_a_service_that_is_slow_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known to be there, so that a late answer is waited for."""
    monkeypatch.setattr(discovery, "LOADING_WAIT", 0.01)
    answer, asked = _loads(1), []

    def late() -> tuple[int, Any]:
        asked.append(1)
        if len(asked) > 1:
            time.sleep(5 * TIMEOUT)
        return answer()

    with _serving({"/v1/models": late}) as url:
        [service] = asyncio.run(find_services([EndpointConfig("llamacpp", url)], say=lambda _: None))
    assert [model.id for model in service.model_list.models] == ["m.gguf"]


@pytest.mark.slow
def test_a_service_that_never_ends_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of --local says that, not that there are no models."""
    monkeypatch.setattr(discovery, "LOADING_WAIT", 0.01)
    monkeypatch.setattr(discovery, "LOADING_SECONDS", 0.03)
    with (
        _serving({"/v1/models": _loads(100)}) as url,
        pytest.raises(MoaError, match="mine is still loading its model"),
    ):
        find_local_models({"mine": EndpointConfig("mine", url)}, None)


@pytest.mark.slow
def test_a_search_is_short() -> None:
    """One service that accepts the connection and never answers costs a fifth of a second; so do ten."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        near = [EndpointConfig(f"e{number}", f"{url}/{number}") for number in range(10)]
        started = time.monotonic()
        assert asyncio.run(find_services(near, TIMEOUT)) == []
        assert in_time(time.monotonic() - started, 1.5)


def test_the_mixture_of_this_computer(ollama: str) -> None:
    """It can be made while an event loop runs, and stays the same while the program runs."""

    async def run() -> Any:
        return find_local_models({"ollama": EndpointConfig("ollama", ollama)}, None).preset

    preset = asyncio.run(run())
    assert [agent.model for agent in preset.layers[0]] == [
        "qwen3:8b",
        "llama3.2:latest",
        "my-own",
        "qwen3:1.7b",
    ]
    assert preset.aggregator.model == "qwen3:8b"
    assert find_local_models({"ollama": EndpointConfig("ollama", ollama)}, None).preset is preset


def test_nothing_here(tmp_path: Path) -> None:
    """No service, a service without models, an empty folder: each error says what to do."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(MoaError, match="No service answers on this computer; asked were mine") as caught:
            find_local_models({"mine": EndpointConfig("mine", url)}, None)
    for way in ("Ollama", "--models_dir", "--preset local"):
        assert way in caught.value.hint
    with (
        _serving({"/v1/models": {"data": []}}) as empty,
        pytest.raises(MoaError, match="mine runs on this computer, but has no model"),
    ):
        find_local_models({"mine": EndpointConfig("mine", empty)}, None)
    with pytest.raises(UsageError, match="there is no model in this folder"):
        find_local_models({}, tmp_path)


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    """A service that takes one call at a time."""
    says = {name: {"reply": f"from {name}"} for name in ("qwen3:8b", "llama3.2:3b", "gemma3:4b")}
    return offline({"models": says, "max_concurrent": 1, "demo_models": False})


@pytest.fixture
def config(service: DemoProcess, tmp_path: Path) -> Path:
    """A config.toml by which Ollama is at another port, and nothing else is on this computer."""
    file = tmp_path / "home" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    away = "".join(
        f"[endpoints.{name}]\nbase_url = 'https://{name}.example/v1'\n"
        for name in ("lmstudio", "vllm", "llamacpp")
    )
    file.write_text(f"[endpoints.ollama]\nbase_url = '{service.base_url}'\n{away}", encoding="utf-8")
    return file


def test_local_on_the_command_line(
    config: Path, service: DemoProcess, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """--local asks the installed models one after the other, without a key; other options still apply."""
    done = here("--local", "ask", "--json", "hi")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reply"] == "from qwen3:8b"
    asked = service.requests()
    assert sorted(each["body"]["model"] for each in asked) == ["gemma3:4b", "llama3.2:3b", *["qwen3:8b"] * 2]
    assert all(each["finished"] for each in asked)
    done = here("ask", "--local", "-a", "ollama:gemma3:4b", "-q", "hi")
    assert done.stdout == "from gemma3:4b\n"
    del config


def test_no_search_without_request(
    config: Path, service: DemoProcess, here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """In a pipe with a key set, no service on this computer is contacted."""
    away = tmp_path / "away"
    away.mkdir()
    before = service.connections()["opened"]
    with start_service(away, {"models": {"a": {"reply": "from a"}}, "require_key": "a-key-0815"}) as far:
        env = {"TOGETHER_BASE_URL": far.base_url, "TOGETHER_API_KEY": "a-key-0815"}
        for arguments in ((), ("ask",)):
            done = here("-r", "a", "-a", "a", *arguments, stdin="hi\n", env=env)
            assert (done.returncode, done.stdout) == (0, "from a\n")
    assert service.connections()["opened"] == before
    assert here("ask", "hi").returncode == 3  # nor without one: it is an error there
    assert service.connections()["opened"] == before
    assert here("models").returncode == 0
    assert service.connections()["opened"] > before
    del config


def test_models_lists_what_is_here(
    config: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Without any key, the models on this computer are listed, with where they are."""
    done = here("models", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["models"]
    assert {row["endpoint"] for row in rows} == {"ollama"}
    assert {row["id"] for row in rows} == {"qwen3:8b", "llama3.2:3b", "gemma3:4b"}
    assert all(row["base_url"].startswith("http://127.0.0.1:") for row in rows)
    assert "ollama at http://127.0.0.1:" in here("doctor", "--local", "--no_calls").stdout
    del config
