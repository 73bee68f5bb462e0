"""Why an item has no reply, as the rows of batches and evaluations say it."""

from __future__ import annotations

import pytest
from fake_models import FakeModels, layers, make_plan
from scripted_service import Response, ScriptedService, event, stream
from virtual_time import run

from bot.bulk.answering import answer_item, strict_plan

NO_QUOTA = Response([b'{"error": {"message": "Insufficient Balance"}}'], status=402)
ANSWERS = {"a": stream("answer of a"), "b": stream("answer of b"), "judge": stream("the reply")}


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (stream("\u200b"), "judge: empty answer: it finished without a word"),
        (NO_QUOTA, "judge: quota used up: HTTP 402: Insufficient Balance"),
        (Response([event({"content": "half"})]), "judge: stream cut: the stream ended before the answer did"),
    ],
)
def test_the_aggregator_that_failed_is_named(judge: Response, why: str) -> None:
    """It is not the model whose proposal would have been shown to a person."""
    plan = strict_plan(make_plan(layers("a", "b")))
    service = ScriptedService({**ANSWERS, "judge": judge})
    answer, _ = run(answer_item("1", ["hi"], plan, service, FakeModels()))
    assert answer.failure.startswith(why)
    assert answer.turns == ()
