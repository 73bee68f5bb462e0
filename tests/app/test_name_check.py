"""Names of models are checked before a round is paid for, as far as a service's list is known."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, make_plan
from services import models

from bot.app.known_models import KnownModels
from bot.app.load_settings import load_settings
from bot.app.name_check import NameCheck, learn_vision
from bot.client.model_list import ListedModel, ModelList
from bot.client.suggest import ModelSuggester
from bot.demo.process import DemoProcess
from bot.errors import Failure, FailureKind
from bot.events import Event, Notice, TurnFinished
from bot.messages import Agent, CallUpdate, Endpoint, Request
from bot.method.mixture import CancelToken, Mixture
from bot.store import Store
from bot.turn_result import TurnResult

NAMES = ("alpha", "beta", "judge", "second-judge")


def _gone(request: Request) -> Failure:
    return Failure(FailureKind.NOT_FOUND, "", request.model)


class World:
    """Models at one service; which of them it lists and serves, and what it was asked."""

    def __init__(self, home: Path, *, listed: Any = NAMES, hidden: tuple[str, ...] = ()) -> None:
        given = isinstance(listed, Failure | ModelList)
        said = listed if given else ModelList(tuple(map(ListedModel, listed)))
        self.lists = 0
        self.ask = FakeAsk(dict.fromkeys((*NAMES, *hidden), "an answer"))
        self.settings = load_settings({}, None, {"MOA_BOT_HOME": str(home)})

        async def list_models(endpoint: Endpoint) -> ModelList | Failure:
            self.lists += 1
            return said

        def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
            self.ask.replies.setdefault(request.model, [_gone])
            return self.ask(request)

        self.suggester = ModelSuggester(ask, list_models)
        self.check = NameCheck(lambda: self.settings, FakeModels, None, self.suggester)

    def run(self, layer: tuple[str, ...], aggregator: str, **more: Any) -> tuple[TurnResult, list[str]]:
        """Run one turn; return its result and its notices."""

        async def turn() -> list[Event]:
            return [
                event async for event in Mixture(plan, self.suggester, FakeModels(), self.check).run((), "?")
            ]

        more["fallbacks"] = tuple(Agent(name, "together") for name in more.get("fallbacks", ()))
        layers = (tuple(Agent(name, "together") for name in layer),)
        plan = make_plan(layers, aggregator=Agent(aggregator, "together"), **more)
        events = asyncio.run(turn())
        assert isinstance(events[-1], TurnFinished)
        return events[-1].result, [event.text for event in events if isinstance(event, Notice)]

    def asked(self) -> list[str]:
        return [request.model for request in self.ask.requests if request.max_tokens > 1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_lists_that_say_who_sees(home: Path) -> None:
    """The list is fetched for images alone; what the user has configured holds before it."""
    (home / "config.toml").parent.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        "[models.beta]\nvision = true\n[models.seeing]\nvision = false\n", encoding="utf-8"
    )
    said = (ListedModel("alpha", vision=True), ListedModel("beta", vision=False), ListedModel("judge"))
    world = World(home, listed=ModelList((*said, ListedModel("seeing", vision=True))))
    known = KnownModels(world.settings, {"TOGETHER_API_KEY": "k"})
    plan = make_plan(((Agent("alpha"), Agent("beta"), Agent("seeing")),))
    asyncio.run(learn_vision(plan, known, world.suggester))
    assert world.lists == 1
    sees = {name: known.vision(Agent(name)) for name in ("alpha", "beta", "seeing", "judge", "unlisted")}
    assert sees == {"alpha": True, "beta": True, "seeing": False, "judge": None, "unlisted": None}
    assert known.vision(Agent("demo/owl", "demo")) is False
    asyncio.run(
        learn_vision(make_plan(((Agent("beta"),),), aggregator=Agent("seeing")), known, world.suggester)
    )
    assert world.lists == 1


@pytest.mark.parametrize("name", ["jugde", "Judge2", "judg"])
def test_a_mistyped_aggregator(home: Path, name: str) -> None:
    """No reference model is asked; the failure names the nearest model."""
    world = World(home)
    result, _ = world.run(("alpha", "beta"), name)
    assert result.status == "failed"
    assert result.failure
    assert result.failure.kind is FailureKind.NOT_FOUND
    assert result.failure.model == name
    assert "judge" in result.failure.hint
    assert (world.asked(), result.calls) == ([], ())
    world.run(("alpha", "beta"), name)
    assert len(world.ask.requests) == 1  # what was found out holds


def test_a_mistyped_reference(home: Path) -> None:
    """It is named before the round, once, and costs its own place."""
    world = World(home)
    result, notices = world.run(("alphq", "beta"), "judge")
    assert result.status == "done"
    assert "alphq: no such model" in notices[0]
    assert "alpha" in notices[0]
    assert world.run(("alphq", "beta"), "judge")[1] == []


def test_a_fallback_for_a_mistyped_aggregator(home: Path) -> None:
    """The turn goes on where another model can write the reply; not where that is mistyped as well."""
    result, notices = World(home).run(("alpha",), "jugde", fallbacks=("second-judge",))
    assert result.status == "done"
    assert "jugde" in notices[0]
    world = World(home)
    result, _ = world.run(("alpha",), "jugde", fallbacks=("secnd-judge",))
    assert (result.status, world.asked()) == ("failed", [])


def test_what_is_served_without_being_listed(home: Path) -> None:
    """A service may serve more than it lists: such a model is asked for one token, once, and used."""
    world = World(home, hidden=("hidden",))
    for _ in range(2):
        assert world.run(("alpha",), "hidden")[0].status == "done"
    assert [request.model for request in world.ask.requests if request.max_tokens == 1] == ["hidden"]


@pytest.mark.parametrize("listed", [failed(FailureKind.NOT_FOUND), ()])
def test_a_service_that_lists_nothing(home: Path, listed: Any) -> None:
    """Without a list nothing is known, and nothing is asked before the round."""
    world = World(home, listed=listed)
    result, _ = world.run(("alpha",), "jugde")
    assert result.status == "partial"
    assert world.asked() == ["alpha", "jugde"]


def test_a_server_that_answers_to_any_name(home: Path) -> None:
    """llama.cpp's server would answer to a mistyped name with the model that it has: its list decides."""
    world = World(home, listed=ModelList((ListedModel("qwen.gguf"),), "llamacpp"))
    result, _ = world.run(("qwen.gguf",), "qwem")
    assert result.failure
    assert result.failure.kind is FailureKind.NOT_FOUND
    assert "with the model that it has: qwen.gguf" in result.failure.hint
    assert world.ask.requests == []
    world.ask.replies["qwen.gguf"] = ["an answer"]
    assert world.run(("qwen.gguf",), "qwen.gguf")[0].status == "done"


@pytest.mark.parametrize(
    ("endpoint", "context", "longest", "said"),
    [
        ("ollama", 4096, 40960, "OLLAMA_CONTEXT_LENGTH=16384 ollama serve"),
        ("lmstudio", 4096, 131072, "load it in LM Studio with a larger context length"),
        ("llamacpp", 2048, 32768, "a larger --ctx-size"),
        ("mine", 2048, 4096, "give it more where it is started"),
        ("ollama", 8192, 40960, ""),
        ("ollama", 2048, 2048, ""),
        ("vllm", 4096, None, ""),
        ("ollama", None, 40960, ""),
    ],
)
def test_a_server_that_gives_little_context(
    home: Path, endpoint: str, context: int | None, longest: int | None, said: str
) -> None:
    """It is said once, with what gives more."""
    file = home / "config.toml"
    home.mkdir()
    file.write_text('[endpoints.mine]\nbase_url = "http://127.0.0.1:9/v1"\n', encoding="utf-8")
    settings = load_settings({}, None, {"MOA_BOT_HOME": str(home)})
    listed = ListedModel("alpha", context, max_context=longest)
    models: Any = FakeModels(listed={(endpoint, "alpha"): listed})

    async def list_models(_: Endpoint) -> ModelList:
        return ModelList((listed,), endpoint)

    suggester = ModelSuggester(FakeAsk({"alpha": "an answer"}), list_models)
    check = NameCheck(lambda: settings, lambda: models, None, suggester)
    plan = make_plan(((Agent("alpha", endpoint),),), aggregator=Agent("alpha", endpoint))
    notices, failure = asyncio.run(check(plan))
    assert failure is None
    assert [said in notice for notice in notices] == ([True] if said else [])
    assert asyncio.run(check(plan)) == ((), None)


def test_names_that_are_known(home: Path) -> None:
    """Of models in the catalogue, and of those that have answered before, no list is fetched."""
    world = World(home)
    known = next(
        name
        for name in world.settings.catalogue.models
        if (facts := world.settings.catalogue.facts(name))
        and facts.endpoint == "together"
        and facts.status != "retired"
    )
    world.ask.replies[known] = ["an answer"]
    world.run((known,), known)
    assert world.lists == 0
    with Store.open(home / "conversations.db") as store:
        world.check = NameCheck(lambda: world.settings, FakeModels, store, world.suggester)
        turn = store.begin_turn(store.create_conversation({}).id, "?")
        store.finish_turn(turn, world.run(("alpha",), "judge")[0])
        assert world.lists == 1
        again = World(home)
        again.check = NameCheck(lambda: again.settings, FakeModels, store, again.suggester)
        assert again.run(("alpha",), "judge")[0].status == "done"
        assert again.lists == 0


def test_a_list_that_does_not_come(home: Path) -> None:
    """Ctrl-C does not wait for it."""
    world = World(home)

    async def endless(endpoint: Endpoint) -> ModelList:
        del endpoint
        await asyncio.Event().wait()
        raise AssertionError

    world.suggester._list_models = endless
    cancel_token = CancelToken()
    cancel_token.stop()

    async def turn() -> list[Event]:
        plan = make_plan(((Agent("alpha", "together"),),))
        mixture = Mixture(plan, world.suggester, FakeModels(), world.check)
        return [event async for event in mixture.run((), "?", cancel_token)]

    last = asyncio.run(turn())[-1]
    assert isinstance(last, TurnFinished)
    assert last.result.status == "failed"


@pytest.mark.slow
def test_the_whole_way(
    here: Callable[..., subprocess.CompletedProcess[str]], offline: Callable[..., DemoProcess]
) -> None:
    """A mistyped aggregator ends `ask` before any reference model has been asked."""
    served = models(alpha={"reply": "a"}, judge={"reply": "the reply"})
    service = offline({**served, "demo_models": False})
    env = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "the-key"}
    done = here("ask", "--json", "why?", "-r", "alpha", "-a", "jugde", env=env)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]
    assert "judge" in done.stderr
    assert [request["body"]["model"] for request in service.requests()] == ["jugde"]
    done = here("ask", "why?", "-r", "alpha", "-a", "judge", env=env)
    assert (done.returncode, done.stdout) == (0, "the reply\n")
