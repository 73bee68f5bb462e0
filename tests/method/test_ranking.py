"""Mode "rank": the aggregator picks one of the last answers, which is the reply word for word."""

from __future__ import annotations

from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped

from bot.events import CallFinished, Notice, ReplyDelta
from bot.method.mixture import Mixture
from bot.method.ranking import read_number

ANSWERS = {"a": "the sea is blue and deep", "b": "the sea is blue", "c": "blue is the sea"}


def mixture(said: Any, **more: Any) -> tuple[Mixture, FakeAsk]:
    ask = FakeAsk({**ANSWERS, "judge": said})
    plan = make_plan(layers("a", "b", "c", **more), mode="rank", instructions={"rank": "PICK ONE"})
    return Mixture(plan, ask, FakeModels()), ask  # type: ignore[arg-type]  # a plan as far as it is read


@looped
async def test_the_answer_of_that_number_is_the_reply() -> None:
    """The reply is the proposal that was named; the ranker's own words are its call's, not the reply's."""
    ranker, ask = mixture("2")
    events, result = await run_turn(ranker)
    assert (result.status, result.reply) == ("done", ANSWERS["b"])
    assert [event.text for event in events if isinstance(event, ReplyDelta)] == [ANSWERS["b"]]
    calls = [event.call for event in events if isinstance(event, CallFinished)]
    assert calls[-1].answer == "2"
    [request] = ask.to("judge")
    assert "PICK ONE" in request.messages[0].content
    assert "INSTRUCTION" not in request.messages[0].content


@looped
async def test_later_rounds_still_aggregate() -> None:
    """Only the last layer ranks: references of later rounds read the usual instruction."""
    ranker, ask = mixture("3", rounds=2)
    _, result = await run_turn(ranker)
    assert result.reply == ANSWERS["c"]
    second = ask.to("a")[1].messages[0].content
    assert "INSTRUCTION" in second
    assert "PICK ONE" not in second


@looped
async def test_a_ranker_that_names_none_is_told() -> None:
    """Without a number the proposal most like the others is taken, and the user is told so."""
    events, result = await run_turn(mixture("I like them all")[0])
    assert result.reply == ANSWERS["b"]
    assert any("named no answer" in event.text for event in events if isinstance(event, Notice))


@pytest.mark.parametrize(
    ("left", "asked", "notice"),
    [
        (1, 0, "There is only one answer, and so nothing to choose from."),
        (2, 1, "judge named no answer: the reply is the answer of a, the first of two."),
        (3, 1, "judge named no answer: the reply is the answer of b, the most similar to the others."),
    ],
)
@looped
async def test_what_is_said_of_a_few_answers(left: int, asked: int, notice: str) -> None:
    """One answer needs no choice, and of two none is the most similar to the others."""
    ranker, ask = mixture("I like them all")
    ask.replies |= {name: [failed()] for name in "abc"[left:]}
    _, result = await run_turn(ranker)
    assert (result.status, len(ask.to("judge")), result.notices[-1]) == ("done", asked, notice)
    assert result.reply in ANSWERS.values()


@looped
async def test_a_ranker_that_fails_leaves_a_partial_reply() -> None:
    """When nobody ranks, what is shown is not passed off as a choice."""
    _, result = await run_turn(mixture(failed())[0])
    assert result.status == "partial"
    assert result.reply in ANSWERS.values()


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("2", 2),
        (" **Answer 3**.\n", 3),
        ("[[1]]", 1),
        ("Answer 1 is long, answer 2 is wrong.\nBest: 3", 3),
        ("1 or 2", None),
        ("7", None),
        ("0", None),
        ("2.5", None),
        ("", None),
        ("none", None),
        ("v2", None),
        ("9 of 10 people like answer 3", 3),
    ],
)
def test_reading_the_number(said: str, number: int | None) -> None:
    """Exactly one number that names an answer counts; guesses are not made."""
    assert read_number(said, 3) == number
