"""A store that another program locks before or during a turn."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan
from virtual_time import run

from bot.app.session import Session
from bot.events import AggregatorStarted, Event, Notice, RoundStarted, TurnFinished
from bot.messages import Agent
from bot.method.mixture import Mixture
from bot.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "conversations.db", timeout=0) as opened:
        yield opened


@pytest.fixture
def other(store: Store) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the same file."""
    connection = sqlite3.connect(store.path, isolation_level=None)
    yield connection
    connection.close()


def turn(session: Session, prompt: str, on: Callable[[Event], object]) -> list[str]:
    """Run a turn; returns the notices in their order."""

    async def notices_of_turn() -> list[str]:
        notices = []
        async for event in session.turn(prompt):
            on(event)
            if isinstance(event, Notice):
                notices.append(event.text)
        return notices

    return run(notices_of_turn())


def session(store: Store, ask: FakeAsk | None = None) -> Session:
    ask = ask or FakeAsk({"judge": "the reply"})
    mixture = Mixture(make_plan(layers("a", "b"), fallbacks=(Agent("second"),)), ask, FakeModels())
    return Session(mixture, store=store)


def test_a_lock_that_is_gone_by_the_end(store: Store, other: sqlite3.Connection) -> None:
    """What could not be written at first is written at the end, failed calls too, and that is said."""
    talk = session(store, FakeAsk({"b": failed(), "judge": [failed(), "the reply"], "second": "the reply"}))
    other.execute("BEGIN IMMEDIATE")

    def unlock(event: Event) -> None:
        if isinstance(event, AggregatorStarted) and event.slot.agent.model == "second":
            other.execute("ROLLBACK")

    notices = turn(talk, "one", unlock)
    assert "locked by another program" in notices[0]
    assert "second writes the reply instead" in notices[1]
    assert notices[2:] == ["This turn is saved after all."]
    assert talk.conversation_id
    [kept] = store.turns(talk.conversation_id)
    assert (kept.prompt, kept.reply, kept.status) == ("one", "the reply", "done")
    assert [(call.model, call.status) for call in store.calls(kept.id)] == [
        ("a", "done"),
        ("b", "failed"),
        ("judge", "failed"),
        ("second", "done"),
    ]
    assert turn(talk, "two", lambda _: None) == []
    assert [one.prompt for one in store.turns(talk.conversation_id)] == ["one", "two"]


def test_a_lock_in_the_middle_of_a_turn(store: Store, other: sqlite3.Connection) -> None:
    """Calls that finish while the store is locked are there afterwards."""
    ask = FakeAsk({"judge": "the reply"}, hold=["judge"])
    talk = session(store, ask)

    def lock(event: Event) -> None:
        if isinstance(event, RoundStarted):
            other.execute("BEGIN IMMEDIATE")
        if isinstance(event, AggregatorStarted):
            asyncio.get_running_loop().call_later(1.0, unlock)

    def unlock() -> None:
        other.execute("ROLLBACK")
        ask.release.set()

    assert len(turn(talk, "one", lock)) == 2
    assert talk.conversation_id
    [kept] = store.turns(talk.conversation_id)
    assert (kept.reply, kept.status) == ("the reply", "done")
    assert {call.text for call in store.calls(kept.id)} == {"answer of a", "answer of b", "the reply"}


def test_a_lock_that_stays(store: Store, other: sqlite3.Connection) -> None:
    """The reply comes, it is said once that the turn is not saved, and the next one is again."""
    talk = session(store)
    finished: list[TurnFinished] = []
    other.execute("BEGIN IMMEDIATE")
    notices = turn(
        talk, "one", lambda event: finished.append(event) if isinstance(event, TurnFinished) else None
    )
    other.execute("ROLLBACK")
    assert [notice[:22] for notice in notices] == ["This turn is not saved"]
    assert finished[0].result.reply == "the reply"
    assert turn(talk, "two", lambda _: None) == []
    assert talk.conversation_id
    assert [one.prompt for one in store.turns(talk.conversation_id)] == ["two"]
    assert [message.content for message in talk.history] == ["one", "the reply", "two", "the reply"]
