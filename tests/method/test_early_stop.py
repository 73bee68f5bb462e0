"""When later rounds are skipped, and what is said about it."""

from __future__ import annotations

import pytest
import virtual_time
from fake_models import FakeAsk, FakeModels, layers, make_plan, run_turn

from bot.messages import Agent
from bot.method.early_stop import EarlyStop, agreement, decide
from bot.method.mixture import Mixture
from bot.method.plan import Plan
from bot.turn_result import TurnResult

SAME = ["a button is sewn on with a needle and thread"] * 3
DIFFERENT = ["cats purr", "the moon is far away", "seven is prime"]


def run(plan: Plan, ask: FakeAsk) -> TurnResult:
    return virtual_time.run(run_turn(Mixture(plan, ask, FakeModels())))[1]


def models(texts: list[str]) -> dict[str, str]:
    return dict(zip("abc", texts, strict=True))


def test_agreement_is_the_mean_similarity_of_pairs() -> None:
    """1 for the same words, 0 for none in common, nothing for a single answer."""
    assert agreement(SAME) == pytest.approx(1.0)
    assert agreement(["cats purr", "dogs bark"]) == 0
    assert agreement(["alone"]) is None
    between = agreement([SAME[0], SAME[0], "cats purr"])
    assert between == pytest.approx(1 / 3)


def test_early_stop_skips_later_rounds() -> None:
    """Where the answers agree, no further round is asked, and it is said and kept."""
    plan = make_plan(layers("a", "b", "c", rounds=3), early_stop=EarlyStop(early_stop=True))
    ask = FakeAsk(models(SAME))
    result = run(plan, ask)
    assert len(result.rounds) == 1
    assert len(ask.requests) == 4
    assert "agree (similarity 1.00, 0.75 is enough): 2 more rounds are skipped" in result.notices[0]


def test_where_answers_differ_all_rounds_are_asked() -> None:
    """Disagreement changes nothing, and early stop says nothing about it."""
    result = run(
        make_plan(layers("a", "b", "c", rounds=2), early_stop=EarlyStop(early_stop=True)),
        FakeAsk(models(DIFFERENT)),
    )
    assert len(result.rounds) == 2
    assert result.notices == ()


def test_without_the_option_nothing_is_decided() -> None:
    """Agreement alone skips nothing."""
    assert len(run(make_plan(layers("a", "b", "c", rounds=2)), FakeAsk(models(SAME))).rounds) == 2


def test_adaptive_takes_the_light_aggregator_where_the_first_round_agrees() -> None:
    """Agreement: no further rounds, and the light aggregator writes the reply."""
    plan = make_plan(
        layers("a", "b", "c", rounds=2),
        early_stop=EarlyStop(adaptive=True),
        light_aggregator=Agent("maker/light"),
    )
    result = run(plan, FakeAsk(models(SAME)))
    assert result.model == "maker/light"
    assert "light writes the reply" in result.notices[0]


def test_adaptive_goes_deeper_where_it_does_not() -> None:
    """Disagreement: the next round and the usual aggregator, and why is said."""
    plan = make_plan(
        layers("a", "b", "c", rounds=2), early_stop=EarlyStop(adaptive=True), light_aggregator=Agent("light")
    )
    result = run(plan, FakeAsk(models(DIFFERENT)))
    assert (result.model, len(result.rounds)) == ("judge", 2)
    assert "below 0.75): on to round 2" in result.notices[0]


def test_the_light_aggregator_falls_back_on_the_usual_one() -> None:
    """If it fails, the usual aggregator writes the reply."""
    from fake_models import failed

    plan = make_plan(
        layers("a", "b", "c"), early_stop=EarlyStop(adaptive=True), light_aggregator=Agent("light")
    )
    result = run(plan, FakeAsk({**models(SAME), "light": failed(), "judge": "the reply"}))
    assert (result.model, result.reply) == ("judge", "the reply")


def test_the_threshold_can_be_set() -> None:
    """A lower one agrees sooner."""
    answers = [SAME[0], SAME[0], "cats purr"]
    assert decide(EarlyStop(early_stop=True), 1, 2, answers).stop is False  # type: ignore[union-attr]
    assert decide(EarlyStop(early_stop=True, agreement=0.3), 1, 2, answers).stop is True  # type: ignore[union-attr]
