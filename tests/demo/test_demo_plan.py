"""The planned answer, and when each of its tokens is due."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.demo.answer_plan import AnswerPlan, TokenTiming, plan_answer
from bot.demo.behaviour import ModelBehaviour
from bot.demo.chat_reader import parse_chat


def plan(behaviour: ModelBehaviour, model: str = "m", **fields: Any) -> AnswerPlan:
    """Return the plan of the answer to a short prompt."""
    messages = [{"role": "user", "content": "Why?"}]
    body = {"model": model, "messages": messages, **fields}
    return plan_answer(behaviour, body, parse_chat(messages), number=1, nth=0, prompt_tokens=5)


def schedule(timing: TokenTiming, tokens: int) -> list[float]:
    """Return when each of so many tokens is due, counted from the first."""
    timing.start()
    due = []
    for _ in range(tokens):
        due.append(timing.due)
        timing.advance()
    return [moment - due[0] for moment in due]


def test_a_rate_does_not_drift() -> None:
    """Token n is due n intervals after the first, however late those before it were."""
    due = schedule(TokenTiming(ModelBehaviour(tokens_per_second=50), "m", 0), 501)
    assert due[500] == pytest.approx(10)
    assert due[1] == pytest.approx(0.02)


def test_jitter_varies_within_its_bounds_and_repeats() -> None:
    """Intervals vary by the configured fraction, the same with the same seed; the mean rate stays."""
    behaviour = ModelBehaviour(tokens_per_second=10, jitter=0.5, seed=3)
    due = schedule(TokenTiming(behaviour, "m", 0), 401)
    gaps = [after - before for before, after in pairwise(due)]
    assert min(gaps) >= 0.05 - 1e-6
    assert max(gaps) <= 0.15 + 1e-6
    assert max(gaps) - min(gaps) > 0.05
    assert due[400] == pytest.approx(40, rel=0.1)
    assert schedule(TokenTiming(behaviour, "m", 0), 401) == pytest.approx(due)
    assert schedule(TokenTiming(behaviour, "m", 1), 401) != pytest.approx(due)


def test_without_a_rate_every_token_is_due_at_once() -> None:
    """No rate means no waiting between tokens, with or without jitter."""
    assert set(schedule(TokenTiming(ModelBehaviour(jitter=1), "m", 0), 5)) == {0}


def test_any_id_can_have_the_program_of_a_demonstration_model() -> None:
    """`program` serves a demonstration model under another id; without it, an id always gets the same one."""
    own = "".join(plan(ModelBehaviour(), "demo/sceptic").tokens)
    assert "".join(plan(ModelBehaviour(program="demo/sceptic"), "some/model").tokens) == own
    assert "aggregat" not in own
    assert "no answers were given" in "".join(plan(ModelBehaviour(program=DEMO_AGGREGATOR)).tokens)
    said = "".join(plan(ModelBehaviour(), "some/model").tokens)
    assert said == "".join(plan(ModelBehaviour(), "some/model").tokens)
    assert any(name in said for name in DEMO_REFERENCES)


def test_usage_can_be_declined_only_in_a_stream() -> None:
    """`stream_options` has no meaning for an answer that is not streamed."""
    options = {"include_usage": False}
    assert plan(ModelBehaviour(reply="a"), stream_options=options).usage
    assert not plan(ModelBehaviour(reply="a"), stream=True, stream_options=options).usage
