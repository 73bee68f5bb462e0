"""A panel is shown as what it was: who was asked, who answered, and how many families they are of."""

from __future__ import annotations

from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped
from virtual_time import run

from bot.errors import FailureKind
from bot.events import AggregatorStarted, Event, Notice
from bot.method.mixture import Mixture
from bot.method.round_timeout import RoundTimeout
from bot.text.names import family_of
from bot.turn_result import LeftOut, Panel, TurnResult, stored_panel

BUSY = failed(FailureKind.RATE_LIMITED, "slow down")


@pytest.mark.parametrize(
    ("models", "replies", "rounds", "panel"),
    [
        (("a", "b", "c"), {}, 1, Panel(3, 3, (), 3)),
        (("a", "b", "c"), {"b": BUSY}, 1, Panel(3, 2, (LeftOut("b", "rate limited"),), 2)),
        (("a", "a", "b"), {}, 1, Panel(3, 3, (), 2)),
        (("Qwen/Qwen3-8B", "x/qwq-32b", "b"), {}, 1, Panel(3, 3, (), 2)),
        # The reply is made from the last round; the one before counts where that gave too little.
        (("a", "b"), {"a": [BUSY, "late"]}, 2, Panel(2, 2, (), 2)),
        (("a", "b"), {"a": ["early", BUSY], "b": ["early", BUSY]}, 2, Panel(2, 2, (), 2)),
        ((), {}, 1, None),
    ],
)
@looped
async def test_the_panel_of_a_turn(
    models: tuple[str, ...], replies: dict[str, Any], rounds: int, panel: Panel | None
) -> None:
    """It is that of the round which the reply is made from, and survives as JSON."""
    plan = make_plan(layers(*models, rounds=rounds) if models else (), min_references=1 if models else 0)
    _, result = await run_turn(Mixture(plan, FakeAsk(replies), FakeModels()))
    assert result.panel == panel
    assert stored_panel(panel.as_json() if panel else None) == panel


def test_a_deadline_is_named_in_the_panel_and_above_the_reply() -> None:
    """Three of five after a deadline: who was cut off, and after what time."""
    plan = make_plan(layers("a", "b", "c", "d", "e"), round_timeout=RoundTimeout(deadline=12))

    async def turn() -> tuple[list[Event], TurnResult]:
        return await run_turn(Mixture(plan, FakeAsk({}, hold=("d", "e")), FakeModels()))

    events, result = run(turn())
    assert result.panel is not None
    assert (result.panel.asked, result.panel.answered) == (5, 3)
    assert [each.model for each in result.panel.left_out] == ["d", "e"]
    assert all(each.reason.startswith("cut off by the deadline after 12") for each in result.panel.left_out)
    [notice] = result.notices
    assert notice.startswith("3 of 5 answered; left out: d, e (cut off by the deadline after ")
    kinds = [type(event) for event in events]
    assert kinds.index(Notice) < kinds.index(AggregatorStarted)


@pytest.mark.parametrize(
    ("models", "notice"),
    [
        (("Qwen/Qwen3-8B", "glm-5", "other/qwen2.5"), "2 of 3 models are of one family"),
        (("openai/gpt-oss-120b", "gpt-4o", "o3"), "3 of 3 models are of one family"),
        (("glm-5", "glm-5", "qwen3"), ""),
        (("glm-5", "glm-5"), ""),
        (("demo/reader", "demo/sceptic"), ""),
        (("glm-5", "qwen3", "kimi-k3"), ""),
    ],
)
@looped
async def test_models_of_one_family_are_named_above_the_reply(models: tuple[str, ...], notice: str) -> None:
    """Two different models of a family are named once in a chat; a model listed twice is meant so."""
    mixture = Mixture(make_plan(layers(*models)), FakeAsk({}), FakeModels())
    events, result = await run_turn(mixture)
    assert [text for text in result.notices if "family" in text] == [
        text for text in result.notices if notice and text.startswith(notice)
    ]
    assert bool(result.notices) == bool(notice)
    before = events[: next(i for i, event in enumerate(events) if isinstance(event, AggregatorStarted))]
    assert any(isinstance(event, Notice) for event in before) == bool(notice)
    _, again = await run_turn(mixture)
    assert again.notices == ()


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama"),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mistral"),
        ("Qwen/QwQ-32B", "qwen"),
        ("qwen2.5:7b", "qwen"),
        ("qwen2.5-coder:7b", "qwen"),
        ("llama3.2", "llama"),
        ("meta-llama-3.1-8b-instruct", "llama"),
        ("google/gemma-3-12b", "gemma"),
        ("sub/Phi-4-mini-instruct-Q4_K_M.gguf", "phi"),
        ("123", "123"),
        ("openai/gpt-oss-120b", "gpt"),
        ("openai/o3-mini", "gpt"),
        ("maker/new-model", "new-model"),
        ("demo/reader", "reader"),
        ("m1", "m1"),
    ],
)
def test_families_by_name(model: str, family: str) -> None:
    """What is not known counts as a family of its own: nothing is claimed of it."""
    assert family_of(model) == family


@pytest.mark.parametrize("value", [None, [], {"asked": "3"}, {"asked": True, "answered": 1, "families": 1}])
def test_a_stored_value_that_is_no_panel(value: object) -> None:
    """It is none, rather than an error."""
    assert stored_panel(value) is None
