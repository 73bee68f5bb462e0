"""extra_body: further fields of the requests to an endpoint, a model, an agent, or those of a preset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_models import FakeAsk, run_turn
from fake_tools import FakeTools
from virtual_time import run

from bot.app.known_models import KnownModels
from bot.app.load_settings import load_settings
from bot.app.make_plan import make_plan
from bot.bulk.journal import key_of
from bot.bulk.run_folder import mixture_of
from bot.errors import ConfigError
from bot.method.mixture import Mixture
from bot.settings.settings import Settings

EVERYWHERE = """
[endpoints.mine]
base_url = "http://localhost:1/v1"
extra_body = {a = "endpoint", b = "endpoint", c = "endpoint", d = "endpoint", e = "endpoint"}
[models."x"]
extra_body = {b = "model", c = "model", d = "model", e = "model"}
[presets.p]
aggregator = "mine:judge"
reference_models = [{model = "mine:x", extra_body = {e = "slot"}}, "mine:y"]
extra_body = {c = "preset", d = "preset", e = "preset"}
[presets.p.agents."x"]
extra_body = {d = "agent", e = "agent"}
"""
OF_PRESET = {"a": "endpoint", "b": "endpoint", "c": "preset", "d": "preset", "e": "preset"}
OF_MODEL = {"a": "endpoint", "b": "model", "c": "preset", "d": "agent"}


@pytest.fixture
def settle(tmp_path: Path) -> Callable[..., Settings]:
    """Make settings with this config.toml and these options."""

    def make(config: str, **options: object) -> Settings:
        (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        return load_settings(options, None, {"MOA_BOT_HOME": str(tmp_path)})

    return make


def requests(settings: Settings) -> FakeAsk:
    ask = FakeAsk({})
    run(run_turn(Mixture(make_plan(settings), ask, KnownModels(settings))))
    return ask


def own(extra: Any) -> dict[str, str]:
    return {name: value for name, value in extra.items() if name in "abcde"}


def test_the_nearest_value_counts(settle: Callable[..., Settings]) -> None:
    """Slot, agent, preset, model, endpoint; each agent has what is said of it, in any role."""
    ask = requests(settle(EVERYWHERE, preset="p"))
    assert own(ask.to("x")[0].extra) == {**OF_MODEL, "e": "slot"}
    assert own(ask.to("y")[0].extra) == own(ask.to("judge")[0].extra) == OF_PRESET
    assert "stream_options" in ask.to("x")[0].extra


def test_models_that_the_user_names_have_the_presets_fields(settle: Callable[..., Settings]) -> None:
    """As they have its other values for them."""
    ask = requests(settle(EVERYWHERE, preset="p", reference_models=["mine:x"]))
    assert own(ask.to("x")[0].extra) == {**OF_MODEL, "e": "agent"}


REFUSED = {
    "the program sets it itself": "model messages stream n stream_options tool_choice functions"
    " response_format parallel_tool_calls prompt Model N",
    "the endpoint's matter": "api_key api_base base_url extra_headers",
    "use the option temperature": "temperature",
    "use the option max_tokens": "max_tokens max_completion_tokens",
    "use the option seed": "seed",
    'only tools that the service runs, no type "function"': "tools",
}
TABLES = ("endpoints.mine", 'models."x"', "presets.p", 'presets.p.agents."x"', "slot")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("field", "said"), [(f, said) for said, fs in REFUSED.items() for f in fs.split()])
def test_what_cannot_be_set(table: str, field: str, said: str, settle: Callable[..., Settings]) -> None:
    """It is a mistake in the configuration, named with file and key, wherever it stands."""
    value = f"extra_body = {{{field} = 1}}"
    mine = '[endpoints.mine]\nbase_url = "http://localhost:1/v1"\n'
    base = '[presets.p]\naggregator = "mine:j"\nreference_models = ["mine:x"]\n'
    config = {
        "endpoints.mine": f"{mine}{value}\n{base}",
        "presets.p": f"{mine}{base}{value}\n",
        "slot": mine + base.replace('"mine:x"', f'{{model = "mine:x", {value}}}'),
    }.get(table, f"{mine}{base}[{table}]\n{value}\n")
    with pytest.raises(ConfigError) as caught:
        make_plan(settle(config, preset="p"))
    for part in ("config.toml", "extra_body", f"{field} cannot be set here", said):
        assert part in caught.value.message


SERVICE_TOOL = '{type = "openrouter:web_search"}'


@pytest.mark.parametrize(
    "tools",
    [
        "[]",
        '["web_search"]',
        "[{}]",
        "[{type = 1}]",
        '[{type = "function", function = {name = "f"}}]',
        f'[{SERVICE_TOOL}, {{type = "function"}}]',
    ],
)
def test_functions_cannot_be_added(tools: str, settle: Callable[..., Settings]) -> None:
    """Nobody would answer their calls."""
    config = f'[endpoints.mine]\nbase_url = "http://localhost:1/v1"\nextra_body = {{tools = {tools}}}\n'
    with pytest.raises(ConfigError, match="tools cannot be set here: only tools that the service runs"):
        settle(config)


def test_tools_of_the_service_stand_beside_the_mixtures_own(settle: Callable[..., Settings]) -> None:
    """Both are offered: those that the service runs, and those that run here."""
    config = (
        f'[endpoints.mine]\nbase_url = "http://localhost:1/v1"\nextra_body = {{tools = [{SERVICE_TOOL}]}}\n'
        '[presets.p]\naggregator = "mine:judge"\nreference_models = ["mine:x"]\n'
    )
    served = {"type": "openrouter:web_search"}
    assert requests(settle(config, preset="p")).to("x")[0].extra["tools"] == [served]
    settings = settle(config, preset="p", tools=["web"])
    ask = FakeAsk({})
    run(run_turn(Mixture(make_plan(settings), ask, KnownModels(settings), tools=FakeTools())))
    offered = ask.to("x")[0].extra["tools"]
    assert isinstance(offered, list)
    assert [each["type"] for each in offered] == ["openrouter:web_search", "function", "function"]


@pytest.mark.parametrize(
    "value", ["1", '"text"', "[1]", "{a = 2020-01-01}", "{a = nan}", "{a = [{b = inf}]}"]
)
def test_what_is_no_object_of_json(value: str, settle: Callable[..., Settings]) -> None:
    """Only a table of what JSON can say."""
    with pytest.raises(ConfigError, match=r"endpoints\.mine\.extra_body: expected"):
        settle(f'[endpoints.mine]\nbase_url = "http://localhost:1/v1"\nextra_body = {value}\n')


def test_the_journal_and_the_manifest_know_it(settle: Callable[..., Settings]) -> None:
    """An answer to a request with other fields is another answer; a run without them is as it was before."""
    with_fields = requests(settle(EVERYWHERE, preset="p")).to("x")[0]
    without = replace(with_fields, extra={"stream_options": {"include_usage": True}})
    assert key_of(with_fields, "") != key_of(without, "")
    assert "extra_body" in str(mixture_of(make_plan(settle(EVERYWHERE, preset="p"))))
    assert "extra_body" not in str(mixture_of(make_plan(settle("", preset="moa"))))
