"""The demonstration models in the modes "critique", "vote" and "rank" do something real in each part."""

from __future__ import annotations

import asyncio

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan, run_turn

from bot.demo import DEMO_AGGREGATOR, DEMO_REFERENCES
from bot.demo.answer_plan import _demonstrated
from bot.demo.chat_reader import parse_chat
from bot.messages import Agent, Request
from bot.method.mixture import Mixture
from bot.settings.paths import shipped_file

PROMPT = "Why do cats purr, and what is 12 * 14?"


def demonstrate(request: Request) -> str:
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    return _demonstrated(request.model, parse_chat(messages))


@pytest.mark.parametrize("placement", ["prompt", "system"])
def test_a_draft_is_reviewed_and_revised(placement: str) -> None:
    """Reviewers name what the draft lacks, one of them nothing, and the revision has what they named."""
    texts = {name: shipped_file(f"{name}.md").read_text(encoding="utf-8") for name in ("review", "revise")}
    ask = FakeAsk(dict.fromkeys((DEMO_AGGREGATOR, *DEMO_REFERENCES), demonstrate))
    plan = make_plan(
        layers(*DEMO_REFERENCES),
        aggregator=Agent(DEMO_AGGREGATOR),
        mode="critique",
        instructions=texts,
        placement=placement,
        system="Be brief.",
    )
    _, result = asyncio.run(run_turn(Mixture(plan, ask, FakeModels()), PROMPT))
    reviews = [call.answer for call in result.reviews[0]]
    assert "nothing" in reviews
    concerns = [review for review in reviews if review != "nothing"]
    assert len(concerns) > 2
    [draft] = result.drafts
    for review in concerns:
        for line in review.splitlines():
            said = line.partition(": ")[2]
            assert said in result.reply
            assert said not in draft.answer
    kept = draft.answer.splitlines()[2:]
    assert result.reply.splitlines()[2 : len(kept) + 2] == kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reply", "notice"),
    [("What is 12 * 14?", "168", "5 of 6: 168"), ("Why do cats purr?", "cats", "4 of 6: cats (1 for purr)")],
)
def test_a_vote(prompt: str, reply: str, notice: str) -> None:
    """Each writes its answer in its own way, the sceptic none."""
    texts = {"vote": shipped_file("vote.md").read_text(encoding="utf-8")}
    ask = FakeAsk(dict.fromkeys((DEMO_AGGREGATOR, *DEMO_REFERENCES), demonstrate))
    plan = make_plan(layers(*DEMO_REFERENCES, rounds=2), mode="vote", instructions=texts)
    _, result = asyncio.run(run_turn(Mixture(plan, ask, FakeModels()), prompt))
    assert (result.reply, result.notices[-1]) == (reply, notice)


@pytest.mark.parametrize("placement", ["prompt", "system"])
def test_a_ranking(placement: str) -> None:
    """The aggregator names the answer that shares most with the others."""
    texts = {"rank": shipped_file("rank.md").read_text(encoding="utf-8")}
    ask = FakeAsk(dict.fromkeys((DEMO_AGGREGATOR, *DEMO_REFERENCES), demonstrate))
    plan = make_plan(
        layers(*DEMO_REFERENCES),
        aggregator=Agent(DEMO_AGGREGATOR),
        mode="rank",
        instructions=texts,
        placement=placement,
    )
    _, result = asyncio.run(run_turn(Mixture(plan, ask, FakeModels()), PROMPT))
    assert result.notices == ()
    assert result.reply in [call.answer for call in result.rounds[0]]
