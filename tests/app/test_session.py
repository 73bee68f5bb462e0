"""A conversation in memory and in the store: what is counted, continued and undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan
from virtual_time import run

from bot.app.session import Session
from bot.method.mixture import Mixture
from bot.store import Store
from bot.store.results import turn_result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "conversations.db") as opened:
        yield opened


def mixture() -> Mixture:
    return Mixture(make_plan(layers("a")), FakeAsk({"judge": ["one", "two", "three"]}), FakeModels())


def ask(session: Session, prompt: str) -> None:
    async def turn() -> None:
        async for _ in session.turn(prompt):
            pass

    run(turn())


def said(session: Session) -> list[str]:
    return [message.content for message in session.history]


@pytest.mark.parametrize("kept", [True, False])
def test_undo_removes_the_last_turn(kept: bool, store: Store) -> None:  # noqa: FBT001 - a parameter of pytest
    """Its prompt is returned, the history ends before it, and the store keeps it, marked as undone."""
    session = Session(mixture(), store=store if kept else None)
    assert session.undo_turn() is None
    ask(session, "p1")
    ask(session, "p2")
    assert said(session) == ["p1", "one", "p2", "two"]
    assert session.undo_turn() == "p2"
    assert said(session) == ["p1", "one"]
    assert (session.conversation_id is not None) == kept
    if session.conversation_id is not None:
        assert [turn.status for turn in store.turns(session.conversation_id)] == ["done", "undone"]
        undone = store.turns(session.conversation_id)[1]
        assert turn_result(undone, store.calls(undone.id)).status == "done"
    assert session.undo_turn() == "p1"
    assert session.undo_turn() is None


def test_turns_are_counted_and_continued(store: Store) -> None:
    """A resumed conversation has its messages and the number of its turns; a cleared one begins anew."""
    session = Session(mixture(), store=store)
    assert session.turns == 0
    ask(session, "p1")
    ask(session, "p2")
    assert session.turns == 2
    resumed = Session(mixture(), store=store, conversation=session.conversation)
    assert (resumed.turns, said(resumed)) == (2, said(session))
    resumed.clear()
    assert (resumed.turns, said(resumed), resumed.conversation_id) == (0, [], None)


def test_without_turns_every_prompt_begins_a_conversation(store: Store) -> None:
    """With multi-turn off, each prompt is the first turn of a conversation of its own."""
    session = Session(mixture(), store=store, multi_turn=False)
    ask(session, "p1")
    ask(session, "p2")
    assert (session.turns, said(session)) == (1, ["p2", "two"])
    assert [summary.turns for summary in store.list_conversations()] == [1, 1]
