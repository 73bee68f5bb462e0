"""Each mode has what it needs, in the one place where the last layer is chosen."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan, run_turn
from looped import looped

from bot.app.make_plan import _INSTRUCTIONS
from bot.messages import Agent, Mode
from bot.method.mixture import Mixture
from bot.method.modes import _LAST_LAYERS
from bot.method.plan import JUDGED


def test_every_mode_has_a_last_layer_and_names_its_instructions() -> None:
    """A mode that the command line accepts can be run."""
    assert set(get_args(Mode)) == set(_LAST_LAYERS) == set(_INSTRUCTIONS)
    assert set(get_args(Mode)) >= JUDGED


@pytest.mark.parametrize("mode", get_args(Mode))
@looped
async def test_without_references_the_aggregator_answers_alone(mode: Mode) -> None:
    """There is nothing to rank or to compare."""
    plan = make_plan(layers(), mode=mode, min_references=0, judge=Agent("other"))
    ask = FakeAsk({"judge": "the reply"})
    _, result = await run_turn(Mixture(plan, ask, FakeModels()))
    assert result.reply == "the reply"
    assert len(ask.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["moa", "fusion", "rank"])
@looped
async def test_rotated_answers_are_read_from_each_place_equally_often(mode: Mode) -> None:
    """With `order` rotated the prompt decides which answer is read first; the same prompt always the same."""
    models = ("a", "b", "c")
    plan = make_plan(layers(*models), mode=mode, order="rotated")
    first: Counter[str] = Counter()
    for number in range(60):
        read = []
        for _ in range(2):
            ask = FakeAsk({**{model: f"answer {model}" for model in models}, "judge": "1"})
            await run_turn(Mixture(plan, ask, FakeModels()), f"question {number}")
            text = ask.to("judge")[0].messages[-1].content
            read.append("".join(sorted(models, key=lambda model: text.index(f"answer {model}"))))
        assert read[0] == read[1]
        assert read[0] in "abcabc"
        first[read[0][0]] += 1
    assert all(10 <= first[model] <= 30 for model in models), first


@looped
async def test_given_answers_are_read_as_the_models_are_listed() -> None:
    """That is the default."""
    ask = FakeAsk({"a": "answer a", "b": "answer b", "judge": "reply"})
    for number in range(5):
        await run_turn(Mixture(make_plan(layers("b", "a")), ask, FakeModels()), f"question {number}")
    texts = [request.messages[-1].content for request in ask.to("judge")]
    assert all(text.index("answer b") < text.index("answer a") for text in texts)
