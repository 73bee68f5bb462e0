"""Each mode has what it needs, in the one place where the last layer is chosen."""

from __future__ import annotations

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
