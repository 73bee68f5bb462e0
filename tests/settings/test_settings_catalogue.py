"""The catalogue: facts, prices, and how thinking is switched."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from bot.errors import ConfigError
from bot.messages import Reasoning, Usage
from bot.settings.catalogue import ModelFacts, Thinking, load_catalogue, reasoning_fields

if TYPE_CHECKING:
    from conftest import Home

_MILLION = Usage(1_000_000, 2_000_000)


def test_every_shipped_fact_reads(home: Home) -> None:
    """All shipped models have facts, and the kinds of thinking and states in use are the documented ones."""
    catalogue = home.resolve().catalogue
    facts = [catalogue.facts(model) for model in catalogue.models]
    assert len(facts) > 45
    assert {each.reasoning for each in facts if each} == {"toggle", "effort", "always", None}
    assert {each.status for each in facts if each} == {"deprecated", "retired", None}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "Qwen/Qwen3.7-Max",
            ModelFacts(
                1000000, 500000, 1.25, 3.75, None, None, "2026-05-21", cached_input_price=0.13, tools=True
            ),
        ),
        (
            "openai/gpt-oss-120b",
            ModelFacts(131072, 131072, 0.15, 0.6, "effort", None, "2025-08-05", tools=True),
        ),
        (
            "zai-org/GLM-5.2",
            ModelFacts(
                262144,
                164000,
                1.4,
                4.4,
                "toggle",
                None,
                "2026-06-16",
                cached_input_price=0.26,
                tools=True,
                structured_output=True,
            ),
        ),
        (
            "MiniMaxAI/MiniMax-M3",
            ModelFacts(
                524288,
                250000,
                0.3,
                1.2,
                "always",
                None,
                "2026-06-12",
                cached_input_price=0.06,
                vision=True,
                tools=True,
                structured_output=True,
            ),
        ),
        (
            "deepseek-ai/DeepSeek-R1",
            ModelFacts(163839, 163839, 3.0, 7.0, "always", "deprecated", "2025-01-20"),
        ),
        ("microsoft/WizardLM-2-8x22B", ModelFacts(65536, status="retired")),
        (
            "gpt-4o-2024-05-13",
            ModelFacts(128000, 4096, 5.0, 15.0, released="2024-05-13", endpoint="openai"),
        ),
        ("nobody/knows", None),
    ],
)
def test_facts(model: str, expected: ModelFacts | None, home: Home) -> None:
    """Facts are what the file says; of an unknown model there are none."""
    assert home.resolve().catalogue.facts(model) == expected


def test_facts_of_the_users_own(home: Home) -> None:
    """A table of config.toml corrects single facts of a known model and adds unknown ones."""
    home.config(
        '[models."Qwen/Qwen3.7-Max"]\ncontext = 8000\n[models."mine"]\ninput_price = 1\noutput_price = 2.5'
    )
    catalogue = home.resolve().catalogue
    facts = catalogue.facts("Qwen/Qwen3.7-Max")
    assert facts is not None
    assert (facts.context, facts.input_price, facts.endpoint) == (8000, 1.25, "together")
    assert catalogue.facts("mine") == ModelFacts(input_price=1.0, output_price=2.5, endpoint="")
    assert "mine" in catalogue.models
    assert load_catalogue({"MOA_BOT_HOME": str(home.folder)}).models == catalogue.models


def test_costs(home: Home) -> None:
    """A call costs its tokens at the model's price; of what is not known there is no price."""
    home.config("[models.mine]\ninput_price = 1\noutput_price = 2.5\n[models.half]\ninput_price = 1")
    cost = home.resolve().catalogue.cost
    assert cost("Qwen/Qwen3.7-Max", _MILLION) == pytest.approx(1.25 + 2 * 3.75)
    assert cost("mine", _MILLION) == cost("mine", _MILLION, "anywhere") == pytest.approx(6.0)
    assert cost("demo/aggregator", _MILLION) == 0
    assert cost("Qwen/Qwen3.7-Max", Usage(None, 5)) is None
    assert cost("Qwen/Qwen3.7-Max", Usage(5, None)) is None
    assert cost("half", _MILLION) is None
    assert cost("microsoft/WizardLM-2-8x22B", _MILLION) is None
    assert cost("nobody/knows", _MILLION) is None


def test_a_price_holds_at_its_own_service(home: Home) -> None:
    """The same model at another service costs what that service asks, which is not known."""
    cost = home.resolve().catalogue.cost
    assert cost("openai/gpt-oss-120b", _MILLION, "together") == pytest.approx(1.35)
    assert cost("openai/gpt-oss-120b", _MILLION, "groq") is None


@pytest.mark.parametrize(
    ("reasoning", "wish", "fields"),
    [
        ("toggle", "off", {"reasoning": {"enabled": False}}),
        ("toggle", "low", {"reasoning": {"enabled": True}, "reasoning_effort": "low"}),
        ("toggle", "high", {"reasoning": {"enabled": True}, "reasoning_effort": "high"}),
        ("effort", "off", {"reasoning_effort": "low"}),
        ("effort", "medium", {"reasoning_effort": "medium"}),
    ],
)
def test_switching_thinking(reasoning: Thinking, wish: Reasoning, fields: dict[str, object]) -> None:
    """Each kind of model is told in the way it understands."""
    assert reasoning_fields(ModelFacts(reasoning=reasoning), wish) == fields


def test_nothing_to_switch() -> None:
    """No field is sent without a wish, to a model that cannot be told, or to one nothing is known of."""
    for wish in (*get_args(Reasoning), None):
        assert reasoning_fields(ModelFacts(reasoning="always"), wish) == {}
        assert reasoning_fields(ModelFacts(), wish) == {}
        assert reasoning_fields(None, wish) == {}
    assert reasoning_fields(ModelFacts(reasoning="toggle"), None) == {}


def test_cached_prompt_tokens_have_a_price_of_their_own(home: Home) -> None:
    """They cost `cached_input_price`; the input price where there is none, or the user's own price."""
    home.config(
        "[models.mine]\ninput_price = 2\noutput_price = 3\ncached_input_price = 0.5\n"
        "[models.plain]\ninput_price = 2\noutput_price = 3\n"
        '[models."MiniMaxAI/MiniMax-M3"]\ninput_price = 1\n'
        '[models."MiniMaxAI/MiniMax-M2.7"]\ncached_input_price = 0.01\n'
    )
    cost = home.resolve().catalogue.cost
    usage = Usage(1_000_000, 1_000_000, None, 600_000)
    assert cost("mine", usage) == pytest.approx(0.4 * 2 + 0.6 * 0.5 + 3)
    assert cost("mine", Usage(1_000_000, 1_000_000)) == pytest.approx(5)
    assert cost("plain", usage) == pytest.approx(5)
    assert cost("zai-org/GLM-5.2", usage) == pytest.approx(0.4 * 1.4 + 0.6 * 0.26 + 4.4)
    assert cost("MiniMaxAI/MiniMax-M3", usage) == pytest.approx(1 + 1.2)
    assert cost("MiniMaxAI/MiniMax-M2.7", usage) == pytest.approx(0.4 * 0.3 + 0.6 * 0.01 + 1.2)
    # More cached tokens than there are cost no less than all of them.
    assert cost("mine", Usage(1_000_000, 0, None, 10**9)) == pytest.approx(0.5)


def test_what_a_model_does_not_accept(home: Home) -> None:
    """A model's table says which parts of a request it refuses."""
    home.config(
        '[models.mine]\nrejects = ["seed"]\nmax_tokens_field = "max_completion_tokens"\n'
        "system_role = false\nalternate_roles = true\nvision = true\ntools = false"
    )
    facts = home.resolve().catalogue.facts("mine")
    assert facts is not None
    assert (facts.rejects, facts.max_tokens_field) == (("seed",), "max_completion_tokens")
    assert (facts.system_role, facts.alternate_roles) == (False, True)
    assert (facts.vision, facts.tools, facts.structured_output) == (True, False, None)
    for line in ('rejects = "seed"', 'rejects = ["model"]', 'system_role = "no"', 'max_tokens_field = "n"'):
        home.config(f"[models.mine]\n{line}")
        with pytest.raises(ConfigError, match=r"models\.mine"):
            home.resolve()
