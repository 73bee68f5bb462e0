"""A budget holds: what could exceed it is not asked, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan
from virtual_time import run

from bot.app.attachments import Prompt
from bot.app.load_settings import load_settings
from bot.app.log import Log
from bot.app.session import Session
from bot.app.streams import Streams
from bot.app.turn import answer
from bot.app.turn_budget import BudgetError, TurnBudget, estimate_turn
from bot.errors import ExitCode
from bot.messages import Agent
from bot.method.mixture import Mixture
from bot.settings.resolve import resolve
from bot.store import Store

LIMITS = {"max_tokens": 100, "reference_max_tokens": 100}


def session(
    ask: FakeAsk, cap: float | None, *, rounds: int = 1, price: float | None = 1.0, **more: Any
) -> Session:
    """A session of three references in which a completion token costs `price` dollars."""
    plan = make_plan(layers("a", "b", "c", rounds=rounds), **LIMITS)
    return Session(Mixture(plan, ask, FakeModels(price=price)), max_cost=cap, **more)


def test_rounds_of_tools_are_reserved_for() -> None:
    """Each round of tools is another request for each model that may call; not so where it is estimated."""
    price = FakeModels(price=1.0).cost
    plan = make_plan(layers("a", "b"), **LIMITS)
    with_tools = replace(plan, tools=("web",), tool_rounds=4)
    assert estimate_turn(plan, 0, "hi", price).dollars == 300
    assert estimate_turn(with_tools, 0, "hi", price).dollars == 300 + 2 * 4 * 100
    assert estimate_turn(replace(with_tools, tools_for_all=True), 0, "hi", price).dollars == 1500
    assert estimate_turn(with_tools, 0, "hi", price, longest=100).dollars == 300


def ask_in(chat: Session, prompt: str, *, retry: bool = False) -> None:
    async def turn() -> None:
        async for _ in chat.turn(prompt, retry=retry):
            pass

    run(turn())


def leave_early(chat: Session) -> None:
    """Close the events of a turn after the first."""

    async def leave() -> None:
        events = chat.turn("one")
        await anext(events)
        await events.aclose()
        await asyncio.sleep(0)

    run(leave())


def test_the_most_that_a_turn_may_cost() -> None:
    """Each call with all of its tokens: three references in two rounds, and the aggregator."""
    plan = make_plan(layers("a", "b", "c", rounds=2), **LIMITS)
    assert estimate_turn(plan, 10, "why?", FakeModels(price=0.5).cost).dollars == 7 * 100 * 0.5
    assert estimate_turn(plan, 10, "why?", FakeModels(price=0.5).cost, 20).dollars == 7 * 20 * 0.5
    assert estimate_turn(plan, 10, "why?", FakeModels().cost).unpriced == {"a", "b", "c", "judge"}


def test_the_estimate_counts_the_judge() -> None:
    """Its call, with tokens enough for a comparison, and the aggregator's reading of that."""
    plan = make_plan(layers("a", "b"), mode="fusion", judge=Agent("other", max_tokens=30), **LIMITS)
    assert estimate_turn(plan, 10, "why?", FakeModels(price=1.0).cost).dollars == 3 * 100 + 30
    plan = replace(plan, judge=None, aggregator=Agent("judge", max_tokens=100))
    assert estimate_turn(plan, 10, "why?", FakeModels(price=1.0).cost).dollars == 3 * 100 + 4096


def test_what_the_estimate_counts() -> None:
    """The request named again after the answers, agents' own system prompts, the dearest writer."""

    def dollars(prompt: str = "why?", **changes: Any) -> float:
        plan = replace(make_plan(layers("a", rounds=1), **LIMITS), **changes)
        return estimate_turn(plan, 0, prompt, lambda agent, usage: float(usage.prompt_tokens or 0)).dollars

    text, size = "word " * 100, 150
    assert dollars(text) - dollars() == pytest.approx(3 * size, abs=5)
    assert dollars(text, placement="system") - dollars(placement="system") == pytest.approx(2 * size, abs=5)
    assert dollars(layers=((Agent("a", system=text),),)) - dollars() == pytest.approx(size, abs=5)
    assert dollars(fallbacks=(Agent("b", system=text),)) - dollars() == pytest.approx(size, abs=5)


def test_turns_are_asked_while_the_most_is_left() -> None:
    """What a turn did cost is booked; the first that could cost more than is left is not asked."""
    ask = FakeAsk({"judge": "two words"})
    chat = session(ask, 420.0)
    ask_in(chat, "one")
    spent = 3 * 3 + 2  # "answer of a", three times, and the reply
    assert chat.budget.spent == spent
    ask_in(chat, "two")
    requests = len(ask.requests)
    with pytest.raises(BudgetError, match=r"may cost up to \$400.*\$398.* is left of the budget of \$420"):
        ask_in(chat, "three")
    assert len(ask.requests) == requests
    assert [message.content for message in chat.history[::2]] == ["one", "two"]


@pytest.mark.parametrize(
    ("cap", "rounds", "hint"),
    [
        (500.0, 2, "It would fit with one round (--rounds 1)."),
        (350.0, 2, "It would fit with 2 reference models and one round."),
        (250.0, 1, "It would fit with 1 reference model and one round."),
        (50.0, 1, "Raise --max_cost to go on."),
    ],
)
def test_what_would_fit_is_said(cap: float, rounds: int, hint: str) -> None:
    """Fewer rounds, then fewer references."""
    with pytest.raises(BudgetError) as caught:
        ask_in(session(FakeAsk({}), cap, rounds=rounds), "why?")
    assert caught.value.hint == hint


def test_an_unknown_price() -> None:
    """No budget can be kept, and the models are named."""
    with pytest.raises(BudgetError, match="The price of a, b, c, judge is not known"):
        ask_in(session(FakeAsk({}), 10.0, price=None), "why?")


def test_a_turn_whose_cost_is_unknown_counts_in_full() -> None:
    """A cap holds also where a call told no tokens."""
    chat = session(FakeAsk({"judge": failed()}), 500.0)
    ask_in(chat, "why?")
    assert chat.budget.spent in (9.0, 400.0)


def test_nothing_is_stored_of_what_was_not_asked(tmp_path: Path) -> None:
    """The conversation does not begin; a resumed one counts what its turns have cost."""
    with Store.open(tmp_path / "c.db") as store:
        with pytest.raises(BudgetError):
            ask_in(session(FakeAsk({}), 10.0, store=store), "why?")
        assert store.latest() is None
        first = session(FakeAsk({"judge": "a reply"}), 1000.0, store=store)
        ask_in(first, "one")
        again = session(FakeAsk({}), 1000.0, store=store, conversation=first.conversation)
        assert again.budget.spent == 11


def test_turns_at_once_share_a_budget() -> None:
    """What is reserved for a turn under way is not there for another."""
    plan, models = make_plan(layers("a", "b", "c"), **LIMITS), FakeModels(price=1.0)
    budget = TurnBudget(700.0)
    reserved = budget.reserve(plan, [], "one", models.cost)
    with pytest.raises(BudgetError, match=r"\$300"):
        budget.reserve(plan, [], "two", models.cost)
    budget.settle(reserved, 5.0)
    assert budget.reserve(plan, [], "two", models.cost) == 400


def test_a_turn_that_is_left_is_settled() -> None:
    """Closing the events of a turn releases what was reserved."""
    chat = session(FakeAsk({"judge": "one two"}), 900.0)
    leave_early(chat)
    assert chat.budget.spent == 400


def test_a_budget_that_is_set_later(tmp_path: Path) -> None:
    """What was spent without one counts, also what an interrupted turn may have cost."""
    chat = session(FakeAsk({"judge": "two words"}), None)
    ask_in(chat, "one")
    settings = resolve({"max_cost": 420.0}, None, {"MOA_BOT_HOME": str(tmp_path)})
    chat.change_mixture(chat.mixture, settings)
    ask_in(chat, "two")
    with pytest.raises(BudgetError, match=r"\$398"):
        ask_in(chat, "three")
    chat.change_mixture(chat.mixture, resolve({}, None, {"MOA_BOT_HOME": str(tmp_path)}))
    ask_in(chat, "three")
    assert chat.budget.spent == 33


@pytest.mark.parametrize("what", ["undone", "retried", "interrupted", "failed"])
def test_what_a_resumed_conversation_has_cost(tmp_path: Path, what: str) -> None:
    """As much as in the session itself: undone turns were paid, and unknown costs count in full."""
    with Store.open(tmp_path / "c.db") as store:
        ask = FakeAsk({"judge": failed() if what == "failed" else "two words"})
        chat = session(ask, 1000.0, store=store)
        if what == "interrupted":
            leave_early(chat)
        else:
            ask_in(chat, "one")
        if what == "undone":
            chat.undo_turn()
        if what == "retried":
            ask_in(chat, "one", retry=True)
        again = session(FakeAsk({}), 1000.0, store=store, conversation=chat.conversation)
        assert again.budget.spent == chat.budget.spent > 0


def refused(prompt: str, **options: Any) -> tuple[ExitCode, str, str]:
    """Return exit code, stdout and stderr of a prompt that a budget of nothing does not allow."""
    out, err = io.StringIO(), io.StringIO()
    app: Any = SimpleNamespace(settings=load_settings(options), log=Log(None))
    streams = Streams(None, out, err, *[False] * 3)
    code = asyncio.run(answer(session(FakeAsk({}), 0.0), Prompt(prompt), app, streams))
    return code, out.getvalue(), err.getvalue()


def test_a_refused_prompt_in_a_pipe() -> None:
    """It is reported as other failures are, so that the prompts after it are asked; --json has a line."""
    code, out, err = refused("why?")
    assert (code, out) == (ExitCode.FAILED, "")
    assert err.splitlines() == [
        "moa-bot: Not asked: this turn may cost up to $400.00, and $0 is left of the budget of $0.",
        "  Raise --max_cost to go on.",
    ]
    code, out, _ = refused("why?", json=True)
    record = json.loads(out)
    assert code is ExitCode.FAILED
    assert (record["reply"], record["status"], record["turn"]) == (None, "failed", None)
    assert "Not asked: this turn may cost up to $400.00" in record["error"]


@pytest.mark.parametrize(("cap", "temporary"), [(700.0, True), (400.0, True), (399.0, False)])
def test_what_is_reserved_for_others(cap: float, temporary: bool) -> None:  # noqa: FBT001 - a table's column
    """A turn that would fit after those under way may be asked again; one that costs too much may not."""
    plan, models = make_plan(layers("a", "b", "c"), **LIMITS), FakeModels(price=1.0)
    budget = TurnBudget(cap)
    if temporary:
        budget.reserve(plan, [], "one", models.cost)
    with pytest.raises(BudgetError) as caught:
        budget.reserve(plan, [], "two", models.cost)
    assert caught.value.temporary == temporary
    assert ("with $400.00 reserved for turns under way" in caught.value.message) == temporary


@pytest.mark.parametrize(
    ("changes", "calls", "dollars"),
    [
        ({}, 3, 300),
        ({"layers": layers("a", "b", rounds=2)}, 5, 500),
        ({"layers": ()}, 1, 100),
        ({"mode": "vote"}, 3, 300),
        ({"mode": "rank"}, 3, 300),
        ({"mode": "fusion", "judge": Agent("other", max_tokens=30)}, 4, 330),
        ({"mode": "fusion", "layers": (), "judge": Agent("other", max_tokens=30)}, 1, 100),
        ({"mode": "compare"}, 2, 200),
        ({"mode": "compare", "judge": Agent("other", max_tokens=30)}, 3, 230),
        ({"mode": "compare", "layers": ()}, 1, 100),
        ({"mode": "compare", "min_references": 0}, 3, 300),
        ({"mode": "critique"}, 4, 400),
        ({"mode": "critique", "layers": layers("a", "b", rounds=2)}, 7, 700),
    ],
)
def test_the_calls_of_each_mode(changes: dict[str, Any], calls: int, dollars: float) -> None:
    """The judge, drafts and revisions count; an aggregator that is not asked does not."""
    plan = replace(make_plan(layers("a", "b"), **LIMITS), **changes)
    assert plan.calls == calls
    assert estimate_turn(plan, 10, "why?", FakeModels(price=1.0).cost).dollars == dollars


def test_nobody_needs_the_price_of_a_model_that_is_not_asked() -> None:
    """In mode compare the aggregator has no part in a budget; the reply is as long as all answers."""
    plan = make_plan(layers("a", "b"), mode="compare", **LIMITS)
    found = estimate_turn(plan, 10, "why?", lambda agent, _usage: None if agent.model == "judge" else 1.0)
    assert found.unpriced == set()
    assert found.reply_tokens > 200
