"""A conversation in memory and in the store: what is counted, continued and undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan
from virtual_time import run

from bot.app.session import Session
from bot.errors import Failure, FailureKind
from bot.events import ReplyDelta
from bot.method.mixture import CancelToken, Mixture
from bot.store import Store
from bot.store.results import turn_result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "conversations.db") as opened:
        yield opened


def mixture() -> Mixture:
    return Mixture(make_plan(layers("a")), FakeAsk({"judge": ["one", "two", "three"]}), FakeModels())


def ask(session: Session, prompt: str, *, retry: bool = False) -> None:
    async def turn() -> None:
        async for _ in session.turn(prompt, retry=retry):
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


DOWN = Failure(FailureKind.SERVICE, "down", "judge", 500)
SPOILS = ["the aggregator fails", "every model fails", "stopped at once", "stopped in the reply", "closed"]


def spoil(session: Session, ask: FakeAsk, how: str) -> None:
    """Ask the last prompt again, and let that end in a way that gives no whole reply."""
    token = CancelToken()
    if how == "the aggregator fails":
        ask.replies["judge"] = [DOWN]
    elif how == "every model fails":
        ask.replies |= {"a": [replace(DOWN, model="a")], "judge": [DOWN]}
    elif how == "stopped in the reply":
        ask.hold = {"judge"}

    async def turn() -> None:
        async with aclosing(session.turn("p2", token, retry=True)) as events:
            async for event in events:
                replying = isinstance(event, ReplyDelta)
                if how == "closed" and replying:
                    return
                if how == "stopped at once" or (how == "stopped in the reply" and replying):
                    token.stop()

    run(turn())


@pytest.mark.slow
@pytest.mark.parametrize("multi_turn", [True, False])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("how", SPOILS)
def test_a_retry_replaces_the_turn_only_when_it_is_done(
    how: str,
    kept: bool,  # noqa: FBT001 - parameters of pytest
    multi_turn: bool,  # noqa: FBT001
    store: Store,
) -> None:
    """One that fails or is stopped leaves the turn as it was, in memory and in the store, also for undo."""
    models = FakeAsk({"judge": ["one", "two", "three words here"]})
    session = Session(
        Mixture(make_plan(layers("a")), models, FakeModels()),
        store=store if kept else None,
        multi_turn=multi_turn,
    )
    before = ["p1", "one"] if multi_turn else []
    ask(session, "p1")
    ask(session, "p2")
    spoil(session, models, how)
    assert said(session) == [*before, "p2", "two"]
    assert_kept(session, store if kept else None)
    models.replies, models.hold = {"judge": ["four"]}, set()
    ask(session, "p2", retry=True)
    assert said(session) == [*before, "p2", "four"]
    assert_kept(session, store if kept else None)
    asked = [message.content for message in models.to("judge")[-1].messages if message.role == "assistant"]
    assert asked == before[1:]
    assert session.undo_turn() == "p2"
    assert said(session) == before
    assert_kept(session, store if kept else None)


def assert_kept(session: Session, store: Store | None) -> None:
    """Check that a resumed conversation is the one in memory."""
    if store is not None and session.conversation_id is not None:
        assert list(store.messages(session.conversation_id)) == session.history


def test_a_retry_that_the_program_does_not_survive(store: Store) -> None:
    """The turn is stored before the first call, and is not the conversation's last one until it is done."""
    session = Session(mixture(), store=store)
    ask(session, "p1")
    assert session.conversation_id is not None
    store.begin_turn(session.conversation_id, "p1", retry=True)
    resumed = Session(mixture(), store=store, conversation=session.conversation)
    assert said(resumed) == ["p1", "one"]
    assert [turn.status for turn in store.turns(session.conversation_id)] == ["done", "undone"]
