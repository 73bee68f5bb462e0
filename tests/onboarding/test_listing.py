"""Model lists: read in every form in use, and requested through a worker process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import LIMIT, until

from bot.app.load_settings import load_settings
from bot.cli.models import _names, _rows
from bot.client.model_list import ListedModel, ModelList, read_model_list
from bot.demo.process import DemoProcess
from bot.errors import Failure, FailureKind
from bot.local.discovery import find_services
from bot.messages import Endpoint
from bot.settings.endpoints import EndpointConfig
from bot.workers.pool import Pool

KEY = "a-secret-key-0815"
MODELS = {
    "a": {"facts": {"context_length": 8192, "pricing": {"input": 0.5, "output": 2}}},
    "b": {},
    "judge": {},
    "painter": {"facts": {"type": "image"}},
}


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        ({"id": "a"}, ListedModel("a")),
        (
            {
                "id": "a",
                "type": "chat",
                "context_length": 9,
                "pricing": {"input": 1, "output": 0.5, "hourly": 0},
            },
            ListedModel("a", 9, 1.0, 0.5, "chat"),
        ),
        (
            {"id": "a", "context_length": 9, "pricing": {"prompt": "0.000002", "completion": "0.000004"}},
            ListedModel("a", 9, 2.0, 4.0),
        ),
        (
            {
                "id": "a",
                "metadata": {"context_length": 9, "pricing": {"input_tokens": 1, "output_tokens": 2}},
            },
            ListedModel("a", 9, 1.0, 2.0),
        ),
        ({"id": "a", "max_model_len": 9, "pricing": {"input": -1, "output": "?"}}, ListedModel("a", 9)),
        ({"id": "a", "context_window": True, "pricing": None}, ListedModel("a")),
        ({"id": "a", "meta": {"n_ctx_train": 9}}, ListedModel("a", 9, max_context=9)),
        ({"name": "\x1b[31mred\x1b]52;c;x\x07", "type": "Image"}, ListedModel("red", kind="image")),
    ],
)
def test_entries_of_many_services(entry: dict[str, Any], model: ListedModel) -> None:
    """Context in tokens and prices per million, by whatever name; names without escape sequences."""
    for answer in ([entry], {"object": "list", "data": [entry, 5, {}]}, {"models": [entry, entry]}):
        model_list = read_model_list(answer)
        assert model_list
        assert str(model_list.models) == str((model,))


@pytest.mark.parametrize("answer", [None, "text", 5, {}, {"data": {}}, {"error": "no"}, [1, 2], [{"x": 1}]])
def test_what_is_no_list(answer: object) -> None:
    """It is not the same as an empty list, which is valid."""
    assert read_model_list(answer) is None
    assert read_model_list([]) == ModelList(())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "data", "pricing", "input", "prompt", "context_length", "type", "meta"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_any_answer_can_be_read(answer: object) -> None:
    """No answer raises an exception, and what is read is valid."""
    model_list = read_model_list(answer)
    for model in model_list.models if model_list else ():
        assert model.id.strip()
        assert model.context is None or model.context > 0
        assert all(price is None or price >= 0 for price in (model.input_price, model.output_price))


@pytest.mark.parametrize(
    ("options", "keys", "endpoints", "with_gone"),
    [
        ({"endpoint": "ollama"}, {}, ["ollama"], False),
        ({"endpoint": "ollama", "preset": "mine"}, {}, ["ollama"], True),
        (
            {"endpoint": "ollama", "preset": "mine"},
            {"OPENAI_API_KEY": "a-key-0815"},
            ["ollama", "openai"],
            True,
        ),
        ({"endpoint": "ollama", "aggregator": "gone:1b"}, {}, ["ollama"], True),
    ],
)
def test_a_named_service_is_listed_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    keys: dict[str, str],
    endpoints: list[str],
    with_gone: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """Without other services of the mixture that have no key, and without the default mixture's models."""
    for name, key in keys.items():
        monkeypatch.setenv(name, key)
    preset = "[presets.mine]\naggregator = 'openai:gpt-4o'\nreference_models = ['qwen3:8b']\n"
    (tmp_path / "config.toml").write_text(preset, encoding="utf-8")
    settings = load_settings(options, None, {**os.environ, "MOA_BOT_HOME": str(tmp_path)})
    assert asyncio.run(_names(settings, everywhere=False)) == endpoints
    rows = _rows(settings, "ollama", ModelList((ListedModel("a"),)))
    assert any(row.used == "gone" for row in rows) is with_gone


def listed(endpoint: Endpoint, before: Callable[[Pool], None] | None = None) -> ModelList | Failure:
    async def run() -> ModelList | Failure:
        pool = Pool(1)
        try:
            asking = asyncio.ensure_future(pool.models(endpoint, 5))
            if before:
                await asyncio.to_thread(until, lambda: pool.pids)
                before(pool)
            return await asyncio.wait_for(asking, LIMIT)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize("form", [{"bare_list": True}, {"bare_list": False}])
def test_models_through_the_pool(service: DemoProcess, form: dict[str, bool]) -> None:
    """A list comes back from a worker, whichever form the service sends it in."""
    service.set_behaviour({"models": MODELS, "require_key": KEY, **form, "demo_models": False})
    model_list = listed(Endpoint("test", service.base_url, KEY))
    assert isinstance(model_list, ModelList)
    assert [model.id for model in model_list.models] == ["a", "b", "judge", "painter"]
    assert model_list.models[0] == ListedModel("a", 8192, 0.5, 2.0)
    assert [model.chats for model in model_list.models] == [True, True, True, False]


@pytest.mark.parametrize(
    ("path", "key", "kind"),
    [
        ("", "wrong-key-0815", FailureKind.KEY_REFUSED),
        ("/nowhere", KEY, FailureKind.NOT_FOUND),
    ],
)
def test_refusals(service: DemoProcess, path: str, key: str, kind: FailureKind) -> None:
    """A refusal is a value that names the reason, without the key."""
    failure = listed(Endpoint("test", service.base_url + path, key))
    assert isinstance(failure, Failure)
    assert failure.kind is kind
    assert key not in str(failure)


def test_no_key_follows_a_redirect(service: DemoProcess) -> None:
    """A redirect to another service is refused, because the key is not for that one."""
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", f"{service.base_url}/models")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            failure = listed(Endpoint("test", f"http://127.0.0.1:{server.server_port}/v1", KEY))
        finally:
            server.shutdown()
    assert asked == ["/v1/models"]
    assert isinstance(failure, Failure)
    assert failure.status == 307


@pytest.mark.slow
def test_nobody_listens() -> None:
    """A failed connection is a value too."""
    failure = listed(Endpoint("test", "http://127.0.0.1:9/v1", KEY))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CONNECTION


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_worker_that_dies_is_replaced(service: DemoProcess) -> None:
    """The list is asked for again in a new worker."""

    def kill(pool: Pool) -> None:
        os.kill(pool.pids[0], signal.SIGKILL)

    model_list = listed(Endpoint("test", service.base_url, KEY), kill)
    assert isinstance(model_list, ModelList)


def test_services_on_this_computer(service: DemoProcess, tmp_path: Path) -> None:
    """A service is found if it answers with a list in time; others are not asked or waited for."""
    service.set_behaviour({"models": MODELS, "demo_models": False})

    async def run() -> list[str]:
        # Connections are made, and nobody ever reads from them.
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        endpoints = [
            EndpointConfig("there", service.base_url),
            EndpointConfig("named", service.base_url.replace("127.0.0.1", "localhost")),
            EndpointConfig("silent", f"http://127.0.0.1:{port}/v1"),
            EndpointConfig("nobody", "http://127.0.0.1:9/v1"),
            EndpointConfig("wrong path", f"{service.url}/elsewhere"),
            EndpointConfig("far", "https://far.example/v1"),
            EndpointConfig("not running", ""),
        ]
        try:
            started = asyncio.get_running_loop().time()
            found = await find_services(endpoints, 1.5)
            assert asyncio.get_running_loop().time() - started < 5
        finally:
            silent.close()
        assert all(len(each.model_list.models) == 4 for each in found)
        return [each.endpoint.name for each in found]

    assert asyncio.run(run()) == ["there", "named"]
