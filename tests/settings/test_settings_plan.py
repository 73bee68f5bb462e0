"""The plan: layers, agents and texts as the mixture will run them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from bot.app.make_plan import make_plan
from bot.errors import ConfigError, UsageError
from bot.messages import Agent
from bot.settings.paths import shipped_file

if TYPE_CHECKING:
    from conftest import Home

    from bot.method.plan import Plan

_PRESET = """
aggregator = "agg"
temperature = 0.5
max_tokens = 100
[[layers]]
reference_models = ["a", "b"]
[[layers]]
reference_models = [{model = "c", temperature = 1.0, max_tokens = 900}]
[agents."a"]
temperature = 0.2
max_tokens = 300
reasoning = "off"
[agents."agg"]
max_tokens = 700
"""


def _models(plan: Plan) -> list[list[str]]:
    return [[agent.model for agent in layer] for layer in plan.layers]


def test_layers_of_their_own(home: Home) -> None:
    """A preset's layers make its rounds; fewer rounds take the first, more repeat the last."""
    home.preset("p", _PRESET)
    assert _models(make_plan(home.resolve({"preset": "p"}))) == [["a", "b"], ["c"]]
    assert _models(make_plan(home.resolve({"preset": "p", "rounds": 1}))) == [["a", "b"]]
    assert _models(make_plan(home.resolve({"preset": "p", "rounds": 4}))) == [["a", "b"], ["c"], ["c"], ["c"]]
    settings = home.resolve({"preset": "p"})
    assert (settings.rounds, str(settings.sources["rounds"])) == (2, "preset p")


def test_rounds_repeat_one_layer(home: Home) -> None:
    """Without layers of their own, every round has the same slots."""
    plan = make_plan(home.resolve({"rounds": 3, "reference_models": ["a*2,b"]}))
    assert _models(plan) == [["a", "a", "b"]] * 3
    assert plan.rounds == 3


def test_named_models_override_all_layers(home: Home) -> None:
    """--reference_models replaces every layer; what the preset says of a model by name still holds."""
    home.preset("p", _PRESET)
    plan = make_plan(home.resolve({"preset": "p", "reference_models": ["c", "a"]}))
    a = Agent("a", "together", temperature=0.2, max_tokens=300, reasoning="off")
    assert plan.layers == ((Agent("c", "together"), a), (Agent("c", "together"), a))
    aggregated = make_plan(home.resolve({"preset": "p", "aggregator": "a"})).aggregator
    assert aggregated == a


def test_what_the_user_says_overrides_what_an_agent_has(home: Home) -> None:
    """An explicit temperature or length holds for all agents; reasoning stays the agent's own."""
    home.preset("p", _PRESET)
    plan = make_plan(home.resolve({"preset": "p", "temperature": 0.9}))
    assert plan.temperature == 0.9
    assert {agent.temperature for agent in plan.agents()} == {None}
    assert plan.layers[0][0].max_tokens == 300
    plan = make_plan(home.resolve({"preset": "p", "max_tokens": 50}))
    assert {agent.max_tokens for agent in plan.agents()} == {None}
    assert (plan.max_tokens, plan.reference_max_tokens) == (50, 50)
    plan = make_plan(home.resolve({"preset": "p", "reference_max_tokens": 60}))
    assert {agent.max_tokens for layer in plan.layers for agent in layer} == {None}
    assert (plan.aggregator.max_tokens, plan.max_tokens, plan.reference_max_tokens) == (700, 100, 60)
    assert plan.layers[0][0].reasoning == "off"


@pytest.mark.parametrize(("given", "sent"), [(0, 0.0), (0.00009, 0.0), (1e-4, 1e-4), (0.7, 0.7)])
def test_a_temperature_of_almost_nothing_is_nothing(given: float, sent: float, home: Home) -> None:
    """Below 1e-4 the temperature is 0, the mixture's and an agent's own."""
    assert make_plan(home.resolve({"temperature": given})).temperature == sent
    home.preset("p", f"aggregator = {{model = 'a', temperature = {given}}}\nreference_models = ['b']")
    assert make_plan(home.resolve({"preset": "p"})).aggregator.temperature == sent


def test_endpoints_of_agents(home: Home) -> None:
    """A known prefix is an endpoint, any other colon part of the name; the rest goes to the default."""
    cli = {"reference_models": ["ollama:qwen3:8b", "qwen3:8b", "openrouter:v/m:free"], "aggregator": "groq:x"}
    plan = make_plan(home.resolve({**cli, "endpoint": "vllm"}))
    assert [(agent.endpoint, agent.model) for agent in plan.agents()] == [
        ("ollama", "qwen3:8b"),
        ("vllm", "qwen3:8b"),
        ("openrouter", "v/m:free"),
        ("groq", "x"),
    ]


def test_an_endpoint_without_a_model(home: Home) -> None:
    """ "ollama:" alone is refused, with where it was said."""
    with pytest.raises(UsageError, match=r'option --aggregator: expected ENDPOINT:MODEL, found "ollama:"'):
        make_plan(home.resolve({"aggregator": "ollama:"}))


def test_an_endpoint_moves_a_whole_preset(home: Home) -> None:
    """--endpoint asks another service for the preset's models; an agent's own endpoint stays."""
    plan = make_plan(home.resolve({"preset": "moa-gpt4o", "endpoint": "openrouter"}))
    assert {agent.endpoint for agent in plan.layers[0]} == {"openrouter"}
    assert plan.aggregator.endpoint == "openai"


def test_unknown_endpoints(home: Home) -> None:
    """A misspelt endpoint is named with its place and the nearest one."""
    with pytest.raises(UsageError) as caught:
        home.resolve({"endpoint": "olama"})
    assert caught.value.message == 'option --endpoint: no endpoint "olama".'
    assert caught.value.hint.startswith("Did you mean ollama? Endpoints: together, ")
    home.config('endpoint = "olama"')
    with pytest.raises(ConfigError) as config:
        home.resolve()
    assert config.value.message.startswith(
        f'{home.file}: endpoint: no endpoint "olama". Did you mean ollama?'
    )


def test_enough_references(home: Home) -> None:
    """More references asked for than there are is said before anything is asked."""
    with pytest.raises(UsageError) as caught:
        make_plan(home.resolve({"reference_models": ["a", "b"], "min_references": 3}))
    assert caught.value.message == (
        "option --min_references: at least 3 references are needed,"
        " but there are only 2 (option --reference_models)."
    )


_LONE = """
aggregator = "agg"
rounds = 0
reference_models = ["a", "b"]
"""


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("", {"rounds": 0}),
        ("", {"rounds": 0, "min_references": 2}),
        ("", {"rounds": 0, "mode": "fusion", "judge": "j"}),
        ("", {"reference_models": ["none"]}),
        ("", {"reference_models": ["None "], "rounds": 3}),
        ("", {"preset": "moa", "reference_models": ["none"]}),
        ("rounds = 0", {}),
        ('reference_models = "none"', {}),
        ('reference_models = ["none"]\nrounds = 3', {}),
        ("reference_models = []", {}),
        ("reference_models = []\nmin_references = 0\nrounds = 3", {}),
        ("[presets.lone]" + _LONE, {"preset": "lone"}),
        ('[presets.lone]\naggregator = "agg"\nreference_models = ["none"]', {"preset": "lone"}),
        ('[presets.lone]\naggregator = "agg"\nreference_models = []', {"preset": "lone"}),
        ('[presets.lone]\naggregator = "agg"\nrounds = 0', {"preset": "lone"}),
    ],
)
def test_a_lone_model(home: Home, config: str, options: dict[str, object]) -> None:
    """No rounds or no reference models, wherever that is said: the aggregator alone, in one process."""
    home.config(config)
    settings = home.resolve(options)
    plan = make_plan(settings)
    assert (plan.layers, plan.min_references) == ((), 0)
    assert plan.agents() == (plan.aggregator,)
    assert settings.processes() == 1


def test_a_resumed_lone_model(home: Home) -> None:
    """What a conversation remembers of a lone model is a lone model again."""
    stored = home.resolve({"reference_models": ["none"]}).stored_options()
    assert stored["reference_models"] == ["none"]
    again = home.resolve({"reference_models": stored["reference_models"]})
    assert make_plan(again).layers == ()


def test_none_beside_a_model(home: Home) -> None:
    """A list is of models or none."""
    with pytest.raises(UsageError, match='"none" beside other models'):
        home.resolve({"reference_models": ["a", "none"]})


def test_the_aggregators_instruction(home: Home) -> None:
    """The shipped instruction is used until the user has one; an empty one is none."""
    text = shipped_file("aggregate.md").read_text(encoding="utf-8").strip()
    assert make_plan(home.resolve()).instruction == text
    own = home.folder / "aggregate.md"
    own.write_text("\n", encoding="utf-8")
    assert make_plan(home.resolve()).instruction == text
    own.write_text("Pick the best.\n", encoding="utf-8")
    assert make_plan(home.resolve()).instruction == "Pick the best."
    own.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"aggregate\.md: expected UTF-8 text"):
        make_plan(home.resolve())


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file or directory"), (b"\xff", "expected UTF-8 text")],
)
def test_a_system_file_that_cannot_be_read(content: bytes | None, reason: str, home: Home) -> None:
    """The message names the option, the file and the reason."""
    file = home.folder / "role.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        make_plan(home.resolve({"system_file": file}))
    assert caught.value.message == f"option --system_file: {file}: {reason}"


def test_demo_brings_its_mixture_along(home: Home) -> None:
    """--demo beats the models, presets and endpoints said further away, and keeps the rest."""
    home.config("aggregator = 'x'\nreference_models = ['y']\npreset = 'moa'\nendpoint = 'groq'\nrounds = 3")
    settings = home.resolve({"demo": True}, MOA_BOT_PRESET="fast")
    plan = make_plan(settings)
    assert {agent.endpoint for agent in plan.agents()} == {"demo"}
    assert all(agent.model.startswith("demo/") for agent in plan.agents())
    assert (settings.preset.name, str(settings.sources["preset"]), plan.rounds) == (
        "demo",
        "option --demo",
        3,
    )
    assert settings.default_endpoint == "demo"


def test_what_is_as_near_as_demo_still_wins(home: Home) -> None:
    """A model or preset named beside --demo is taken; one that is not offline is said to be missing."""
    plan = make_plan(home.resolve({"demo": True, "reference_models": ["demo/sceptic*2"]}))
    assert _models(plan) == [["demo/sceptic", "demo/sceptic"]]
    for cli in ({"aggregator": "Qwen/X"}, {"preset": "moa"}):
        settings = home.resolve({"demo": True, **cli})
        with pytest.raises(UsageError, match=r"the offline service has only demonstration models"):
            make_plan(settings)
    settings = home.resolve({"aggregator": "demo/aggregator"}, MOA_BOT_DEMO="1")
    assert str(settings.sources["aggregator"]) == "option --aggregator"
    assert make_plan(settings).aggregator == Agent("demo/aggregator", "demo")


def test_demo_switched_off_nearer(home: Home) -> None:
    """MOA_BOT_DEMO=0 is no demo."""
    assert home.resolve(MOA_BOT_DEMO="0").preset.name == "default"


def test_the_offline_service_without_demo(home: Home) -> None:
    """--preset demo alone says that --demo is needed."""
    with pytest.raises(UsageError) as caught:
        home.resolve({"preset": "demo"})
    assert "offline service" in caught.value.message
    assert caught.value.hint == "Use --demo."


def test_worker_processes(home: Home) -> None:
    """As many as wished; else one per reference model, and not more than the machine has cores."""
    assert home.resolve({"num_proc": 9}).processes() == 9
    assert home.resolve({"reference_models": ["a"]}).processes() == 1
    assert 1 <= home.resolve({"reference_models": ["a*64"]}).processes() <= 64


def test_what_a_stored_conversation_remembers(home: Home) -> None:
    """The mixture by option names, in plain values."""
    kept = home.resolve({"reference_models": ["a", "b*2"], "seed": 4}).stored_options()
    assert kept["reference_models"] == ["a", "b", "b"]
    assert (kept["preset"], kept["seed"], kept["rounds"]) == ("default", 4, 1)


def test_a_stored_conversation_remembers_fallbacks_and_waits(home: Home) -> None:
    """What is resumed has the fallbacks, the limits of a round and the early end it had before."""
    given = {
        "fallbacks": ["c"],
        "quorum": 2.0,
        "deadline": 9.0,
        "grace": 1.0,
        "early_stop": True,
        "adaptive": True,
        "agreement": 0.5,
        "light_aggregator": "d",
        "mode": "rank",
        "judge": "e",
    }
    kept = home.resolve(given).stored_options()
    assert {name: kept[name] for name in given} == given


def test_the_plan_cannot_be_changed(home: Home) -> None:
    """A plan is one value for a whole turn."""
    plan = make_plan(home.resolve())
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.seed = 1  # type: ignore[misc]  # that is the point


def test_a_judge_has_settings_of_its_own(home: Home) -> None:
    """What the preset says of its model applies to it; it belongs to the plan's agents where it is asked."""
    preset = _PRESET + "[agents.j]\nsystem = 'Compare.'\nmax_tokens = 900\nreasoning = 'low'\n"
    home.preset("mine", preset)
    settings = home.resolve({"preset": "mine", "mode": "fusion", "judge": "j"})
    plan = make_plan(settings)
    assert plan.judge == Agent("j", system="Compare.", max_tokens=900, reasoning="low")
    assert plan.judge in plan.agents()
    assert set(plan.instructions) == {"compare", "fuse"}
    plan = make_plan(home.resolve({"preset": "mine", "judge": "j"}))
    assert plan.judge not in plan.agents()
    assert plan.instructions == {}


def test_a_judge_in_a_preset(home: Home) -> None:
    """Mode and judge may stand there; the command line wins."""
    home.preset("mine", "mode = 'fusion'\njudge = 'groq:j'\n" + _PRESET)
    assert make_plan(home.resolve({"preset": "mine"})).judge == Agent("j", "groq")
    assert make_plan(home.resolve({"preset": "mine", "judge": "k"})).judge == Agent("k")


def test_own_instructions_of_a_mode(home: Home) -> None:
    """A file beside config.toml replaces the shipped one, each by itself."""
    (home.folder / "compare.md").write_text("MY COMPARISON", encoding="utf-8")
    instructions = make_plan(home.resolve({"mode": "fusion"})).instructions
    assert instructions["compare"] == "MY COMPARISON"
    assert "contradiction" in instructions["fuse"]


@pytest.mark.parametrize(
    ("when", "rounds", "layers", "on_demand"),
    [("always", 2, 2, False), ("auto", 2, 2, True), ("never", 2, 0, False), ("auto", 0, 0, False)],
)
def test_when_the_reference_models_are_asked(
    home: Home, when: str, rounds: int, layers: int, *, on_demand: bool
) -> None:
    """Where there are none to consult, "auto" is the lone model; it has the instruction about consulting."""
    plan = make_plan(home.resolve({"rounds": rounds, "reference_models": ["a,b"], "when": when}))
    assert (len(plan.layers), plan.on_demand) == (layers, on_demand)
    assert bool(plan.instructions.get("consult")) is on_demand
