"""A turn's calls are one list: in its result, in its JSON, and in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fake_models import CutAfter, FakeAsk, FakeModels, failed, layers, make_plan

from bot.app.session import Session
from bot.errors import Failure, FailureKind
from bot.events import ReplyDelta, TurnFinished
from bot.messages import Agent, Completion, Usage
from bot.method.mixture import Mixture
from bot.render.reply import turn_json
from bot.store import Store
from bot.store.results import turn_result
from bot.turn_result import Call, TurnResult

THOUGHTS = Completion("", "only thoughts", Usage(7, 30, 30, 5), "length", 0.25, 1.5)
OUT_OF_TOKENS = (
    "out of tokens while thinking: all 30 tokens went into thinking"
    " (raise --max_tokens or switch its thinking off)"
)
PROPOSALS = {"a": "cats purr when content", "b": "cats purr when they are content", "c": "no idea"}
FALLBACKS = {"fallbacks": (Agent("second"), Agent("third"))}
RANK = {"mode": "rank", "instructions": {"rank": "PICK"}}
CRITIQUE = {"mode": "critique", "instructions": {"review": "REVIEW", "revise": "REVISE"}}
FUSION = {"mode": "fusion", "judge": Agent("comparer")}
COMPARISON = json.dumps(
    {
        "consensus": [{"claim": "agreed", "answers": [1, 2]}],
        "contradictions": [{"question": "q", "positions": [{"position": "p"}, {"position": "r"}]}],
        "unique": [{"claim": "alone", "answer": 3}, {"claim": "alone", "answer": 1}],
        "blind_spots": ["spot"],
    }
)
TURNS: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {
    "failed references": (
        {"a": failed(FailureKind.RATE_LIMITED, "slow down", "a"), "b": THOUGHTS, "judge": "the reply"},
        {},
    ),
    "fallback aggregators": (
        {"judge": THOUGHTS, "second": failed(FailureKind.NOT_FOUND, "gone", "second"), "third": "the reply"},
        FALLBACKS,
    ),
    "a continued reply": ({"judge": [CutAfter("one two "), "three"]}, {}),
    "a reply continued by a fallback": (
        {"judge": [CutAfter("one two "), failed(model="judge")], "second": "three"},
        FALLBACKS,
    ),
    "a broken reply": ({"judge": CutAfter("one "), "second": failed(model="second")}, FALLBACKS),
    "mode rank": ({**PROPOSALS, "judge": Completion("2", "hm", Usage(50, 1), "stop")}, RANK),
    "the best proposal": ({**PROPOSALS, "judge": THOUGHTS, "second": failed(model="second")}, FALLBACKS),
    "mode fusion": ({"comparer": COMPARISON}, FUSION),
    "mode critique": ({"a": "- wrong", "b": "nothing", "judge": ["draft", "the reply"]}, CRITIQUE),
    "an accepted draft": ({"a": "nothing", "b": failed(model="b"), "judge": "draft"}, CRITIQUE),
    "an unrevised draft": ({"a": "- wrong", "judge": ["draft", failed(model="judge")]}, CRITIQUE),
    "mode fusion, its judge asked twice": ({"comparer": ["hm", COMPARISON]}, FUSION),
    "mode fusion, its judge failed": ({"comparer": failed(model="comparer"), "a": failed(model="a")}, FUSION),
    "the best proposal in mode rank": ({**PROPOSALS, "judge": THOUGHTS}, RANK),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "conversations.db") as opened:
        yield opened


def session_of(kind: str, store: Store) -> Session:
    replies, changes = TURNS[kind]
    plan = make_plan(layers("a", "b", "c", rounds=2), **changes)
    return Session(Mixture(plan, FakeAsk(replies), FakeModels(price=0.25)), store=store)


def run(session: Session) -> TurnResult:
    async def turn() -> TurnResult:
        *_, last = [event async for event in session.turn("question")]
        assert isinstance(last, TurnFinished)
        return last.result

    return asyncio.run(turn())


def resumed(session: Session, store: Store) -> TurnResult:
    assert session.conversation_id
    (turn,) = store.turns(session.conversation_id)
    return turn_result(turn, store.calls(turn.id))


def as_stored(call: Call) -> Call:
    """Return the call without what the store does not hold."""
    agent = call.slot.agent
    failure = call.failure and Failure(call.failure.kind, call.failure.message, call.failure.model)
    completion = call.completion and replace(call.completion, truncation_kind=None)
    return replace(
        call,
        slot=replace(call.slot, agent=Agent(agent.model, agent.endpoint)),
        failure=failure,
        completion=completion,
    )


@pytest.mark.parametrize("kind", TURNS)
def test_a_resumed_turn_is_the_live_one(kind: str, store: Store) -> None:
    """What the store gives back is the result that was shown, with all its calls in their order."""
    session = session_of(kind, store)
    live = run(session)
    assert live.reply
    assert resumed(session, store) == replace(live, calls=tuple(map(as_stored, live.calls)))


@pytest.mark.parametrize("kind", TURNS)
def test_the_numbers_in_json_add_up(kind: str, store: Store) -> None:
    """Tokens and dollars of all calls are the totals; with one unknown cost the total is unknown."""
    result = run(session_of(kind, store))
    record = json.loads(json.dumps(turn_json(result, conversation_id=None, turn=None)))
    calls = [*chain(*record["references"], *record["reviews"]), *record["drafts"], *record["attempts"]]
    calls += [record["aggregator"]] if record["aggregator"] else []
    assert len(calls) == len(result.calls)
    for name, total in (("prompt_tokens", "prompt_tokens"), ("tokens", "completion_tokens")):
        assert sum(call[name] or 0 for call in calls) == record["usage"][total]
    costs = [call["cost"] for call in calls]
    assert record["cost"] == (None if None in costs else sum(costs))
    assert (record["cost"] is None) == ("continued" in kind or "broken" in kind)


@pytest.mark.parametrize(
    ("kind", "attempts", "aggregator"),
    [
        ("failed references", [], ("judge", None)),
        (
            "fallback aggregators",
            [("judge", OUT_OF_TOKENS), ("second", "no such model: gone")],
            ("third", None),
        ),
        ("a reply continued by a fallback", [("judge", None)], ("second", None)),
    ],
)
def test_json_names_who_wrote_the_reply_and_who_failed_to(
    kind: str, attempts: list[tuple[str, str | None]], aggregator: tuple[str, str | None], store: Store
) -> None:
    """`aggregator` is the call that wrote the reply, `attempts` are those that failed or broke off before."""
    record = turn_json(run(session_of(kind, store)), conversation_id=None, turn=None)
    assert [(call["model"], call["error"]) for call in record["attempts"]] == attempts
    assert (record["aggregator"]["model"], record["aggregator"]["error"]) == aggregator
    assert record["aggregator"]["text"] == record["reply"]


def test_an_interrupted_turn_keeps_every_call(store: Store) -> None:
    """When its events are no longer read, a turn keeps its finished calls and marks the open one."""
    session = session_of("fallback aggregators", store)

    async def read_first_word() -> None:
        async with aclosing(session.turn("question")) as events:
            async for event in events:
                if isinstance(event, ReplyDelta):
                    return

    asyncio.run(read_first_word())
    result = resumed(session, store)
    assert (result.status, result.reply, result.cost) == ("partial", "the", None)
    assert [len(calls) for calls in result.rounds] == [3, 3]
    assert all(call.answer for calls in result.rounds for call in calls)
    assert [call.slot.agent.model for call in result.attempts] == ["judge", "second"]
    assert result.aggregator
    assert str(result.aggregator.failure) == "third: stopped: interrupted"
    assert [message.content for message in session.history] == ["question", "the"]


def test_references_that_were_open_are_stored_as_interrupted(store: Store) -> None:
    """Interrupted in the first round, every reference that was asked has its call in the store."""
    session = session_of("failed references", store)

    async def read_first_event() -> None:
        async with aclosing(session.turn("question")) as events:
            async for _ in events:
                return

    asyncio.run(read_first_event())
    result = resumed(session, store)
    assert (result.status, result.reply, result.cost, result.aggregator) == ("failed", "", None, None)
    assert [str(call.failure) for call in result.calls] == [f"{name}: stopped: interrupted" for name in "abc"]
