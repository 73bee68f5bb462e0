"""Presets: the shipped ones are sound, and the user's are found and read as documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.app.make_plan import make_plan
from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.errors import ConfigError, UsageError
from bot.messages import Agent
from bot.settings.catalogue import Catalogue
from bot.settings.presets import Preset, list_presets, retired

if TYPE_CHECKING:
    from conftest import Home

HOSTED = (
    "default",
    "adaptive",
    "budget",
    "critique",
    "deep",
    "demo",
    "demo-2024",
    "fast",
    "moa",
    "moa-gpt4o",
    "moa-lite",
    "self-moa",
    "specialists",
)
SHIPPED = tuple(sorted((*HOSTED, "local", "starter"), key=lambda name: (name != "default", name)))
CONTEXT_UNKNOWN = ("deepseek-ai/DeepSeek-V4-Pro-0813", "moonshotai/Kimi-K3")
PAPER = (
    "microsoft/WizardLM-2-8x22B",
    "Qwen/Qwen1.5-110B-Chat",
    "Qwen/Qwen1.5-72B-Chat",
    "meta-llama/Llama-3-70b-chat-hf",
    "mistralai/Mixtral-8x22B-Instruct-v0.1",
    "databricks/dbrx-instruct",
)


def _models(layer: tuple[Agent, ...]) -> tuple[str, ...]:
    return tuple(agent.model for agent in layer)


def test_the_shipped_presets(home: Home) -> None:
    """All presets are there, the default first, each with a description of one line."""
    presets = list_presets({"MOA_BOT_HOME": str(home.folder)})
    assert tuple(preset.name for preset in presets) == SHIPPED
    for preset in presets:
        assert preset.description.strip()
        assert "\n" not in preset.description


@pytest.mark.parametrize("name", HOSTED)
def test_shipped_presets_name_known_models_only(name: str, home: Home) -> None:
    """Every model of a shipped preset is in the catalogue, with its context length."""
    settings = home.resolve()
    for agent in settings.presets.get(name).agents():
        facts = settings.catalogue.facts(agent.model)
        assert facts is not None, agent.model
        assert facts.context or agent.model in CONTEXT_UNKNOWN, agent.model


@pytest.mark.parametrize("name", ["default", "budget", "critique", "fast", "self-moa", "specialists"])
def test_presets_of_today_hold_up(name: str, home: Home) -> None:
    """A preset for today has models that are served and priced, and gives room to those that must think."""
    settings = home.resolve()
    preset = settings.presets.get(name)
    for agent in preset.agents():
        facts = settings.catalogue.facts(agent.model)
        assert facts is not None
        assert facts.status is None
        assert facts.input_price is not None
        assert facts.output_price is not None
        assert facts.endpoint == "together"
        if facts.reasoning == "toggle":
            assert agent.reasoning in {"off", "low"}
        elif facts.reasoning == "effort":
            assert agent.reasoning == "low"
        if facts.reasoning in {"effort", "always"}:
            assert (agent.max_tokens or 0) > settings.max_tokens or preset.values.get("max_tokens", 0) == 512


@pytest.mark.parametrize("name", ["default", "budget", "critique", "deep", "fast", "specialists"])
def test_the_references_are_of_different_makers(name: str, home: Home) -> None:
    """No two reference models of a preset for today are of one maker; those that think have room for it."""
    preset = home.resolve().presets.get(name)
    makers = [agent.model.split("/")[0] for agent in preset.layers[0]]
    assert len(set(makers)) == len(makers) >= 3
    thinking = [agent for agent in preset.layers[0] if agent.reasoning in {"medium", "high"}]
    assert not thinking or preset.values["reference_max_tokens"] >= 16384


def test_the_default_is_diverse(home: Home) -> None:
    """The default mixture is fusion over three references of as many makers, and an aggregator of another."""
    preset = home.resolve().preset
    makers = [agent.model.split("/")[0] for agent in preset.agents()]
    assert preset.values["mode"] == "fusion"
    assert len(preset.layers[0]) == 3
    assert len(set(makers)) == len(makers)
    assert preset.aggregator.model == "Qwen/Qwen3.7-Max"


def test_the_mode_of_the_default_belongs_to_its_models(home: Home) -> None:
    """Reference models of one's own are a plain mixture, unless the preset or the mode is named."""
    own = {"reference_models": "a,b", "aggregator": "c"}
    assert home.resolve().mode == "fusion"
    assert home.resolve({"aggregator": "c"}).mode == "fusion"
    assert home.resolve(own).mode == "moa"
    assert home.resolve({**own, "preset": "default"}).mode == "fusion"
    assert home.resolve({**own, "mode": "fusion"}).mode == "fusion"


@pytest.mark.parametrize(
    ("name", "layers", "aggregator", "endpoint"),
    [
        ("moa", 2, "Qwen/Qwen1.5-110B-Chat", "together"),
        ("moa-lite", 1, "Qwen/Qwen1.5-72B-Chat", "together"),
        ("moa-gpt4o", 2, "gpt-4o-2024-05-13", "openai"),
    ],
)
def test_the_papers_mixtures(name: str, layers: int, aggregator: str, endpoint: str, home: Home) -> None:
    """The paper's presets are the paper's: six models, layers, aggregator, temperature, length."""
    plan = make_plan(home.resolve({"preset": name}))
    assert [_models(layer) for layer in plan.layers] == [PAPER] * layers
    assert (plan.aggregator.model, plan.aggregator.endpoint) == (aggregator, endpoint)
    assert (plan.temperature, plan.max_tokens, plan.reference_max_tokens) == (0.7, 2048, 2048)


def test_the_demo_of_2024(home: Home) -> None:
    """The original demo's four models, one round, 512 tokens."""
    plan = make_plan(home.resolve({"preset": "demo-2024"}))
    assert [_models(layer) for layer in plan.layers] == [
        ("Qwen/Qwen2-72B-Instruct", "Qwen/Qwen1.5-72B-Chat", PAPER[4], PAPER[5])
    ]
    assert (plan.aggregator.model, plan.max_tokens) == ("Qwen/Qwen2-72B-Instruct", 512)


def test_self_moa_asks_one_model_six_times(home: Home) -> None:
    """Self-MoA is six calls of the model that also aggregates."""
    plan = make_plan(home.resolve({"preset": "self-moa"}))
    assert _models(plan.layers[0]) == (plan.aggregator.model,) * 6


def test_the_offline_preset_has_the_offline_models(home: Home) -> None:
    """The preset demo names exactly the models that the offline service has."""
    preset = home.resolve().presets.get("demo")
    assert _models(preset.layers[0]) == DEMO_REFERENCES
    assert preset.aggregator.model == DEMO_AGGREGATOR


def _retired(home: Home, name: str, endpoint: str = "together") -> tuple[tuple[str, ...], str]:
    settings = home.resolve()
    return retired(settings.presets.get(name), settings.catalogue, endpoint)


def test_what_is_no_longer_served_is_said(home: Home) -> None:
    """A preset of retired models says how many and which, and names the ways on."""
    gone, sentence = _retired(home, "moa")
    assert gone == PAPER
    assert sentence == (
        "Preset moa: Together no longer serves 6 of its 6 models (" + ", ".join(PAPER) + "). It can still run"
        " where they are served: --preset moa --endpoint NAME; for models served today use --preset default."
    )
    assert "6 of its 7 models" in _retired(home, "moa-gpt4o")[1]
    assert len(_retired(home, "demo-2024")[0]) == 4
    assert home.resolve({"preset": "moa"}).notices() == (sentence,)


def test_what_is_served_or_asked_elsewhere_is_not_said(home: Home) -> None:
    """No notice for models of today, for another service, for an address of one's own, for other models."""
    assert _retired(home, "default") == ((), "")
    assert _retired(home, "moa", "openrouter") == ((), "")
    assert home.resolve({"preset": "moa", "endpoint": "openrouter"}).notices() == ()
    assert home.resolve({"preset": "moa"}, TOGETHER_BASE_URL="http://127.0.0.1:1/v1").notices() == ()
    assert home.resolve({"preset": "moa", "aggregator": "x", "reference_models": ["y"]}).notices() == ()
    assert home.resolve({"demo": True}).notices() == ()


_FULL = """
description = "Mine"
note = "A note."
aggregator = {model = "openai:gpt", temperature = 0.1}
rounds = 2
system = "Be kind."

[[layers]]
reference_models = ["ollama:qwen3:8b", "B*2", "qwen3:8b"]

[[layers]]
reference_models = [{model = "C*2", endpoint = "groq", system = "Doubt.", reasoning = "low"}]

[agents."B"]
max_tokens = 99
temperature = 0

[agents."openai:gpt"]
temperature = 2
max_tokens = 7
"""


def _check_full(preset: Preset) -> None:
    b = Agent("B", "", temperature=0.0, max_tokens=99)
    c = Agent("C", "groq", "Doubt.", reasoning="low")
    assert preset.layers == ((Agent("qwen3:8b", "ollama"), b, b, Agent("qwen3:8b", "")), (c, c))
    assert preset.aggregator == Agent("gpt", "openai", temperature=0.1, max_tokens=7)
    assert preset.values == {"rounds": 2, "system": "Be kind."}
    assert (preset.description, preset.note) == ("Mine", "A note.")


def test_a_preset_of_the_users_own(home: Home) -> None:
    """A file in presets/ is read in full; a slot's own value beats the one for its model."""
    file = home.preset("mine", _FULL)
    preset = home.resolve({"preset": "mine"}).preset
    _check_full(preset)
    assert preset.source == str(file)


def test_a_preset_in_the_settings_file(home: Home) -> None:
    """The same preset as tables of config.toml reads the same."""
    lines = _FULL.replace("[[layers]]", "[[presets.mine.layers]]").replace(
        "[agents.", "[presets.mine.agents."
    )
    home.config(f"[presets.mine]\n{lines}")
    preset = home.resolve({"preset": "mine"}).preset
    _check_full(preset)
    assert preset.source == str(home.file)


def test_the_users_preset_replaces_the_shipped_one(home: Home) -> None:
    """A file of a shipped preset's name replaces it, and a table of config.toml replaces both."""
    text = "aggregator = '{0}'\nreference_models = ['{0}']"
    home.preset("moa", text.format("from-file"))
    assert home.resolve({"preset": "moa"}).aggregator == "from-file"
    home.config("[presets.moa]\n" + text.format("from-table"))
    settings = home.resolve({"preset": "moa"})
    assert settings.aggregator == "from-table"
    assert settings.presets.names() == SHIPPED


def test_a_mistake_in_a_preset_file_names_that_file(home: Home) -> None:
    """Key and expectation come with the preset's own file, and only when it is chosen or listed."""
    file = home.preset("mine", "aggregator = 'a'\nreference_models = ['b']\nround = 2")
    assert home.resolve().preset.name == "default"
    for ask in (lambda: home.resolve({"preset": "mine"}), home.resolve().presets.all):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert caught.value.message == f"{file}: round: unknown key; did you mean rounds?"


@pytest.mark.parametrize("name", ["moaa", "../presets/moa", "/etc/passwd", "", "Moa", "a\x1bb"])
def test_unknown_presets(name: str, home: Home) -> None:
    """An unknown name, or one that would lead out of the folder, is answered with the list."""
    with pytest.raises(UsageError) as caught:
        home.resolve().presets.get(name)
    assert ", ".join(SHIPPED) in caught.value.hint
    assert (caught.value.message + caught.value.hint).isprintable()


def test_an_unknown_preset_says_where_it_was_named(home: Home) -> None:
    """The place and the nearest name are in the message."""
    with pytest.raises(UsageError) as caught:
        home.resolve(MOA_BOT_PRESET="moaa")
    assert caught.value.message == 'environment MOA_BOT_PRESET: no preset "moaa".'
    assert caught.value.hint.startswith("Did you mean moa? ")


def test_catalogue_is_not_read_for_presets(home: Home) -> None:
    """Settings and plan are made without reading the catalogue of models."""
    settings = home.resolve()
    make_plan(settings)
    assert settings.catalogue._shipped is None
    assert isinstance(settings.catalogue, Catalogue)
