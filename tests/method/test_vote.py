"""Mode "vote": the most frequent answer is the reply."""

from __future__ import annotations

from typing import Any

import pytest
from fake_models import CutAfter, FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped

from bot.events import AggregatorStarted, Notice, ReplyDelta
from bot.method.mixture import Mixture
from bot.method.vote import tally


def voting(*answers: Any, rounds: int = 1, **more: Any) -> tuple[Mixture, FakeAsk]:
    models = [chr(ord("a") + place) for place in range(len(answers))]
    replies = dict(zip(models, answers, strict=True))
    ask = FakeAsk({**replies, "judge": "the judge's reply"})
    plan = make_plan(layers(*models, rounds=rounds), mode="vote", instructions={"vote": "ANSWER: it"}, **more)
    return Mixture(plan, ask, FakeModels(price=0.5)), ask


@pytest.mark.parametrize(
    ("answers", "reply", "notice"),
    [
        (["ANSWER: 42"] * 5, "42", "5 of 5: 42"),
        (["ANSWER: 42"] * 4 + ["ANSWER: 41"], "42", "4 of 5: 42 (1 for 41)"),
        (["so\nANSWER: 1,000", "ANSWER: 1000.0", "ANSWER: 7"], "1,000", "2 of 3: 1,000 (1 for 7)"),
        (["ANSWER: 5 km", "ANSWER: 5", "no idea"], "5 km", "2 of 3: 5 km"),
        (["ANSWER: B", "ANSWER: (B) Paris", failed()], "B", "2 of 2: B"),
        (["ANSWER: x"], "x", "1 of 1: x"),
        (["ANSWER: A. Paris", "ANSWER: (A) Paris, France", "ANSWER: A"], "A. Paris", "3 of 3: A. Paris"),
        (["ANSWER: x = 5", "ANSWER: 5", "ANSWER: y = 5"], "x = 5", "2 of 3: x = 5 (1 for y = 5)"),
        (["ANSWER: E. coli"] * 2 + ["ANSWER: E. faecalis"], "E. coli", "2 of 3: E. coli (1 for E. faecalis)"),
        (["ANSWER:\n```\n5\n```", "ANSWER: 5", "ANSWER:\n\\[\n5\n\\]"], "5", "3 of 3: 5"),
    ],
)
@looped
async def test_a_majority_is_the_reply(answers: list[Any], reply: str, notice: str) -> None:
    """No aggregator is asked; the count is said."""
    mixture, ask = voting(*answers)
    events, result = await run_turn(mixture)
    assert (result.status, result.reply) == ("done", reply)
    assert result.notices[-1] == notice
    assert [event.text for event in events if isinstance(event, ReplyDelta)] == [reply]
    assert ask.to("judge") == []
    assert result.aggregator is None
    assert len(result.calls) == len(answers)
    assert not [event for event in events if isinstance(event, AggregatorStarted)]


@pytest.mark.parametrize(
    ("answers", "notice"),
    [
        (
            ["ANSWER: 1", "ANSWER: 2"],
            "No majority among 2 answers (1 for 1, 1 for 2): the aggregator writes the reply.",
        ),
        (
            ["ANSWER: 1", "ANSWER: 1", "ANSWER: 2", "hm"],
            "No majority among 4 answers (2 for 1, 1 for 2): the aggregator writes the reply.",
        ),
        (
            ["ANSWER: J. Smith", "ANSWER: J. Brown", "ANSWER: …"],
            (
                "No majority among 3 answers (1 for J. Smith, 1 for J. Brown):"
                " the aggregator writes the reply."
            ),
        ),
        (
            [CutAfter("ANSWER: 1"), "ANSWER: 1", "ANSWER: 12"],
            "No majority among 3 answers (1 for 1, 1 for 12): the aggregator writes the reply.",
        ),
        (
            ["I think 1", "I think 1"],
            (
                "No majority among 2 answers (no answer ended with an ANSWER line):"
                " the aggregator writes the reply."
            ),
        ),
        (
            ["ANSWER: 1", CutAfter("so " * 100), "it is 2"],
            "No majority among 3 answers (1 for 1): the aggregator writes the reply.",
        ),
        (
            [f"ANSWER: {number}" for number in range(7)],
            (
                "No majority among 7 answers (1 for 0, 1 for 1, 1 for 2, 1 for 3, 1 for 4, 2 more):"
                " the aggregator writes the reply."
            ),
        ),
    ],
)
@looped
async def test_without_a_majority_the_aggregator_writes(answers: list[Any], notice: str) -> None:
    """A tie, no majority of those who answered, or no such lines: as in mode moa, with all answers."""
    mixture, ask = voting(*answers)
    events, result = await run_turn(mixture)
    assert (result.status, result.reply) == ("done", "the judge's reply")
    assert notice in [event.text for event in events if isinstance(event, Notice)]
    [request] = ask.to("judge")
    assert "INSTRUCTION" in request.messages[-1].content
    assert "ANSWER: it" not in request.messages[-1].content


@pytest.mark.parametrize("placement", ["prompt", "system"])
@looped
async def test_every_reference_is_asked_for_the_line(placement: Any) -> None:
    """In each round, as the last words of its request."""
    mixture, ask = voting("ANSWER: 1", "ANSWER: 1", rounds=2, placement=placement)
    _, result = await run_turn(mixture)
    assert result.reply == "1"
    for request in ask.to("a") + ask.to("b"):
        assert request.messages[-1].content.endswith("\n\nANSWER: it")
    assert len(ask.to("a")) == 2


@looped
async def test_when_the_aggregator_fails_too_a_proposal_is_the_reply() -> None:
    """As in mode moa."""
    mixture, ask = voting("ANSWER: 1", "ANSWER: 2")
    ask.replies["judge"] = [failed()]
    _, result = await run_turn(mixture)
    assert result.status == "partial"
    assert result.reply == "ANSWER: 1"


def test_counting() -> None:
    """The most frequent first, in the writing of most of its voters; a bare number joins only one unit."""
    votes = tally(["ANSWER: 7", "hm", r"ANSWER: \boxed{8}", "ANSWER: 8", "ANSWER: **8.**"])
    assert [(each.answer, each.voters) for each in votes] == [("8", (2, 3, 4)), ("7", (0,))]
    assert len(tally(["ANSWER: 5", "ANSWER: 5 km", "ANSWER: 5 kg"])) == 3
    assert tally([]) == []
