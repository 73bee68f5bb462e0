"""What is particular about a service: read from its table, and heeded in every request to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from running import LIMIT
from services import start_service

from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.client.retry import Retrier
from bot.demo.process import DemoProcess
from bot.errors import ConfigError, Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Dequeued, Endpoint, Message, Reasoning, Request
from bot.settings.catalogue import ModelFacts, Thinking, reasoning_fields
from bot.settings.quirks import Quirks, ThinkingSwitch
from bot.settings.settings import Settings


@pytest.fixture
def settle(tmp_path: Path) -> Callable[..., Settings]:
    """Make settings with this config.toml and these options."""

    def run(config: str = "", **options: object) -> Settings:
        (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        return load_settings(options, None, {"MOA_BOT_HOME": str(tmp_path)})

    return run


def test_what_is_shipped(settle: Callable[..., Settings]) -> None:
    """The services' known peculiarities are there, and go along with their requests."""
    settings = settle()
    assert settings.endpoints["together"].quirks == Quirks()
    assert settings.endpoint("openai", {"OPENAI_API_KEY": "k"}).max_tokens_field == "max_completion_tokens"
    assert settings.endpoint("mistral", {"MISTRAL_API_KEY": "k"}).rejects == ("seed",)
    assert settings.endpoint("ollama", {}).parallel == 1
    assert settings.endpoint("vllm", {}).parallel is None


def test_the_users_table_adds_and_changes(settle: Callable[..., Settings]) -> None:
    """What it says holds, what it leaves out stays, and 0 takes a limit away."""
    settings = settle(
        "[endpoints.ollama]\nparallel = 0\nrate = 30\n"
        "[endpoints.mistral]\nrejects = []\n"
        "[endpoints.mine]\nbase_url = 'http://localhost:1/v1'\nmax_tokens_field = 'max_completion_tokens'\n"
        "thinking = 'think'\nrejects = ['seed', 'temperature']\nparallel = 3"
    )
    assert settings.endpoints["ollama"].quirks == Quirks(thinking="reasoning_effort", rate=30.0)
    assert settings.endpoints["mistral"].quirks == Quirks(
        ask_usage=False, thinking="none", cache_key_field="prompt_cache_key"
    )
    mine = settings.endpoint("mine", {})
    assert (mine.parallel, mine.rejects, mine.rate) == (3, ("seed", "temperature"), None)
    assert mine.max_tokens_field == "max_completion_tokens"
    assert settings.endpoints["mine"].quirks.thinking == "think"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_tokens_field = 'tokens'", 'max_tokens_field: expected "max_tokens" or'),
        ("rejects = 'seed'", "rejects: expected a list of a request's fields"),
        ("rejects = ['messages']", "rejects: no request can go without messages"),
        ("thinking = 'hard'", "thinking: expected"),
        ("rate = -1", "rate: expected requests a minute"),
        ("parallel = true", "parallel: expected how many calls at once"),
        ("paralel = 1", "paralel: unknown key; did you mean parallel?"),
    ],
)
def test_mistakes(settle: Callable[..., Settings], line: str, said: str) -> None:
    """Each is one line that names the key and what belongs there."""
    with pytest.raises(ConfigError, match=r"endpoints\.ollama") as caught:
        settle(f"[endpoints.ollama]\n{line}")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("switch", "kind", "wish", "fields"),
    [
        ("reasoning", "toggle", "off", {"reasoning": {"enabled": False}}),
        ("reasoning", "toggle", "low", {"reasoning": {"enabled": True}, "reasoning_effort": "low"}),
        ("reasoning_effort", "toggle", "off", {"reasoning_effort": "none"}),
        ("reasoning_effort", "toggle", "high", {"reasoning_effort": "high"}),
        ("reasoning_effort", "effort", "off", {"reasoning_effort": "low"}),
        ("chat_template_kwargs", "toggle", "off", {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            "chat_template_kwargs",
            "effort",
            "high",
            {"reasoning_effort": "high", "chat_template_kwargs": {"reasoning_effort": "high"}},
        ),
        ("think", "toggle", "off", {"think": False}),
        ("think", "effort", "medium", {"think": "medium"}),
        ("thinking", "toggle", "off", {"thinking": {"type": "disabled"}}),
        ("none", "toggle", "off", {}),
        ("reasoning", "always", "off", {}),
        ("chat_template_kwargs", None, "off", {}),
    ],
)
def test_thinking(
    switch: ThinkingSwitch, kind: Thinking | None, wish: Reasoning, fields: dict[str, object]
) -> None:
    """It is switched in each service's own way, as far as the model lets itself be told."""
    assert reasoning_fields(ModelFacts(reasoning=kind), wish, switch) == fields
    assert reasoning_fields(ModelFacts(reasoning=kind), None, switch) == {}


def test_an_unknown_model_is_told_only_where_that_does_no_harm() -> None:
    """A chat template passes over what it does not know; other services refuse it."""
    assert reasoning_fields(None, "off", "chat_template_kwargs")
    others: tuple[ThinkingSwitch, ...] = ("reasoning", "reasoning_effort", "think", "thinking", "none")
    assert not any(reasoning_fields(None, "off", switch) for switch in others)


def test_where_a_model_without_endpoint_belongs(settle: Callable[..., Settings]) -> None:
    """To the default endpoint; unless nobody said which, and only another one is known to have it."""
    config = "[endpoints.mine]\nbase_url = 'http://localhost:1/v1'\n[models.'own:8b']\nendpoint = 'mine'\n"
    asked = {"reference_models": ["own:8b", "other:8b", "groq:own:8b"], "aggregator": "own:8b"}

    def endpoints(config: str, **more: object) -> list[str]:
        plan = make_plan(settle(config, **asked, **more))
        return [agent.endpoint for agent in (*plan.layers[0], plan.aggregator)]

    assert endpoints(config) == ["mine", "together", "groq", "mine"]
    assert endpoints(config, endpoint="together") == ["together", "together", "groq", "together"]
    assert endpoints(f"endpoint = 'groq'\n{config}")[0] == "groq"


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, [512, 512, 2048]),
        ({"max_tokens": 4000}, [512, 512, 4000]),
        ({"max_tokens": 100}, [100, 100, 100]),
        ({"reference_max_tokens": 900}, [900, 900, 900]),
        ({"reference_max_tokens": 900, "max_tokens": 50}, [900, 900, 900]),
    ],
)
def test_references_on_this_computer_are_short(
    settle: Callable[..., Settings], given: dict[str, int], limits: list[int]
) -> None:
    """They have 512 tokens unless one says otherwise; those elsewhere and the reply as many as ever."""
    names = ["ollama:a", "local:b", "groq:c"]
    plan = make_plan(settle(reference_models=names, aggregator="ollama:a", **given))
    found = [plan.reference_max_tokens if a.max_tokens is None else a.max_tokens for a in plan.layers[0]]
    assert found == limits
    assert plan.aggregator.max_tokens is None


class Service:
    """A way to ask that counts how many calls are under way at once."""

    def __init__(self) -> None:
        self.now = self.most = self.asked = 0
        self.continue_reply = asyncio.Event()
        self.crowd, self.crowded = 0, asyncio.Event()
        self.failures: list[Failure] = []

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == self.crowd:
            self.crowded.set()
        try:
            yield Delta("", "hm")
            await self.continue_reply.wait()
            yield self.failures.pop() if self.failures else Completion("done")
        finally:
            self.now -= 1


def request(**quirks: Any) -> Request:
    return Request(Endpoint("x", "http://x/v1", **quirks), "m", (Message("user", "?"),), 0.0, 9)


async def last_of(ask: Retrier, asked: Request) -> CallUpdate:
    return [update async for update in ask(asked)][-1]


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 2), (None, 6)])
def test_no_more_calls_than_the_service_takes(parallel: int | None, most: int) -> None:
    """Six calls are under way one, two, or all at a time; all are answered."""

    async def run() -> None:
        service = Service()
        service.crowd = most
        service.failures = [Failure(FailureKind.SERVICE, "HTTP 500", retry_after=0.0)]
        ask = Retrier(service)
        calls = [asyncio.create_task(last_of(ask, request(parallel=parallel))) for _ in range(6)]
        async with asyncio.timeout(LIMIT):
            await service.crowded.wait()
        service.continue_reply.set()
        assert {type(update) for update in await asyncio.gather(*calls)} == {Completion}
        assert (service.most, service.asked) == (most, 7)

    asyncio.run(asyncio.wait_for(run(), LIMIT))


def test_a_call_that_is_cut_off_makes_room() -> None:
    """The next one in turn goes on at once."""

    async def run() -> None:
        service = Service()
        ask = Retrier(service)
        async with aclosing(ask(request(parallel=1))) as first:
            assert isinstance(await anext(first), Dequeued)
            assert isinstance(await anext(first), Delta)
            second = asyncio.create_task(last_of(ask, request(parallel=1)))
            await asyncio.sleep(0)
            assert service.now == 1
        service.continue_reply.set()
        assert isinstance(await second, Completion)

    asyncio.run(asyncio.wait_for(run(), LIMIT))


def test_an_endpoints_own_rate_wins() -> None:
    """It is heeded where the general one would let everything through, and the other way round."""

    async def waits(general: float | None, own: float | None) -> float:
        ask = Retrier(Service(), rate=general)
        limiter = ask._limiter(request(rate=own).endpoint)
        limiter.reserve()
        return limiter.reserve()

    assert asyncio.run(waits(None, 60)) == pytest.approx(1, abs=0.1)
    assert asyncio.run(waits(6000, 60)) == pytest.approx(1, abs=0.1)
    assert asyncio.run(waits(60, None)) == pytest.approx(1, abs=0.1)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[dict[str, DemoProcess]]:
    """Three services, each with a key of its own and fields that it refuses."""
    refused = {
        "one": ["max_completion_tokens", "think", "chat_template_kwargs"],
        "two": ["max_tokens", "seed", "temperature", "stream_options", "reasoning"],
        "three": ["reasoning", "reasoning_effort", "think"],
    }
    with ExitStack() as stack:
        running = {}
        for name, fields in refused.items():
            folder = tmp_path / name
            folder.mkdir()
            model = {"reply": f"from {name}", "reject_fields": fields, "require_key": f"key-of-{name}-0815"}
            behaviour = {"models": dict.fromkeys(("m:8b", "vendor/model:free"), model), "max_concurrent": 1}
            running[name] = stack.enter_context(start_service(folder, behaviour))
        yield running


@pytest.mark.slow
def test_one_turn_across_three_endpoints(
    three: dict[str, DemoProcess], here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Each gets only its own key, only fields that it accepts, and no more calls at once than it takes."""
    quirks = {
        "one": "thinking = 'reasoning'",
        "two": "max_tokens_field = 'max_completion_tokens'\nrejects = ['seed', 'temperature']\n"
        "ask_usage = false\nthinking = 'think'",
        "three": "thinking = 'chat_template_kwargs'\n[endpoints.three.headers]\nX-Title = 'of three'",
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        "".join(
            f"[endpoints.{name}]\nbase_url = '{service.base_url}'\nkey_env = '{name.upper()}_KEY'\n"
            f"parallel = 1\n{quirks[name]}\n"
            for name, service in three.items()
        )
        + "[models.'m:8b']\nreasoning = 'toggle'\n"
        "[presets.all]\nreference_models = ['one:m:8b*2', 'two:m:8b*2', 'three:vendor/model:free']\n"
        "aggregator = 'three:m:8b'\nagents.'m:8b'.reasoning = 'off'\n",
        encoding="utf-8",
    )
    keys = {f"{name.upper()}_KEY": f"key-of-{name}-0815" for name in three}
    done = here("ask", "--preset", "all", "--seed", "7", "--json", "why?", env=keys)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["reply"] == "from three"
    requests = {name: service.requests() for name, service in three.items()}
    assert {name: len(asked) for name, asked in requests.items()} == {"one": 2, "two": 2, "three": 2}
    for name, asked in requests.items():
        assert {each["headers"]["authorization"] for each in asked} == {f"Bearer key-of-{name}-0815"}
        assert not any(f"key-of-{other}" in str(asked) for other in three if other != name)
        assert all(each["finished"] for each in asked)
        assert any("x-title" in each["headers"] for each in asked) == (name == "three")
    one, two, three_ = (requests[name][-1]["body"] for name in ("one", "two", "three"))
    assert one["reasoning"] == {"enabled": False}
    assert one["max_tokens"] == 512
    assert "seed" in one
    assert two["max_completion_tokens"] == 512
    assert two["think"] is False
    assert three_["chat_template_kwargs"] == {"enable_thinking": False}
    assert "key-of" not in done.stdout + done.stderr
