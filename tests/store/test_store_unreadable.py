"""Records that this program did not write so, and files that can only be read: the rest is shown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, make_plan

from bot.app.session import Session
from bot.errors import StoreError
from bot.history.exports import FORMATS, export_conversation
from bot.messages import Agent, Completion, Message
from bot.method.mixture import Mixture
from bot.store import Store, StoredConversation, database
from bot.turn_result import Call, Slot, TurnResult

_CALL = Call(Slot(1, 0, Agent("a", "e")), Completion("An answer."), cost=0.1)
_RESULT = TurnResult(status="done", reply="The reply.", reasoning="", model="m", calls=(_CALL,), seconds=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


def _fill(path: Path) -> list[StoredConversation]:
    """Write three conversations of two turns each."""
    with Store.open(path) as store:
        made = [store.create_conversation({"rounds": 1}, None, f"title {number}") for number in range(3)]
        for conversation in made:
            for prompt in ("word one", "word two"):
                store.finish_turn(store.begin_turn(conversation.id, prompt), _RESULT)
    return made


def _change(path: Path, statement: str, value: object, identifier: str) -> None:
    with Store.open(path) as store, store._database.writing() as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(statement, (value, identifier))


VALUES = [b"\xff\x00bytes", "no json", "[[[" * 100_000, "9" * 5000, "²", "null", 7, 1e999]


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("column", ["created", "updated", "settings", "title"])
def test_a_conversation_that_cannot_be_read(path: Path, column: str, value: object) -> None:
    """It is left out of the list and named, once; the others are there, and it can be deleted."""
    first, second, third = _fill(path)
    _change(path, f"UPDATE conversations SET {column} = ? WHERE id = ?", value, second.id)
    said: list[str] = []
    with Store.open(path, report=said.append) as store:
        for _ in range(2):
            listed = {row.conversation.id for row in store.list_conversations()}
            assert {first.id, third.id} <= listed
        store.latest()
        store.search("word")
        assert store.messages(second.id)
        if second.id in listed:  # text of any kind can be a title
            assert (column, type(value)) == ("title", str) or isinstance(value, int | float)
            return
        assert (
            len([each for each in said if each.startswith(f"conversation {second.id} cannot be read")]) == 1
        )
        with pytest.raises(StoreError, match=f"unreadable record: conversation {second.id}"):
            store.conversation(second.id)
        assert store.delete(second.id).id == second.id
        assert len(store.list_conversations()) == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "unheard of"),
        ("notices", "no json"),
        ("notices", "{}"),
        ("notices", "[1]"),
        ("created", "yesterday"),
        ("created", "0001-01-01T00:00:00+14:00"),
        ("prompt", b"\xff"),
        ("reply", b"\x00"),
        ("model", b"m"),
        ("error", b"e"),
        ("seconds", "soon"),
        ("cost", 1e999),
        ("prompt_tokens", "many"),
        ("prompt_tokens", 1.5),
    ],
)
def test_a_turn_that_cannot_be_read(path: Path, column: str, value: object) -> None:
    """It is left out and named in all that shows turns; a session goes on from the others."""
    conversation = _fill(path)[0]
    where = "WHERE number = 1 AND conversation = ?"
    _change(path, f"UPDATE turns SET {column} = ? {where}", value, conversation.id)
    said: list[str] = []
    with Store.open(path, report=said.append) as store:
        assert [turn.prompt for turn in store.turns(conversation.id)] == ["word two"]
        assert said == [
            f"turn 1 of conversation {conversation.id} cannot be read: wrong {column}; it is left out."
        ]
        for form in FORMATS:
            text = export_conversation(store, conversation, form)
            assert "word two" in text
        assert len(store.search("word")) >= 5
        assert len(store.list_conversations()) == 3
        mixture = Mixture(make_plan(((Agent("a"),),)), FakeAsk({"a": "x"}), FakeModels())
        session = Session(mixture, store=store, conversation=conversation)
        assert Message("user", "word two") in session.history


def test_a_turn_whose_number_cannot_be_read(path: Path) -> None:
    """The next turn is stored under the number after the others."""
    conversation = _fill(path)[0]
    _change(path, "UPDATE turns SET number = ? WHERE number = 1 AND conversation = ?", "x", conversation.id)
    with Store.open(path, report=lambda _: None) as store:
        store.begin_turn(conversation.id, "word three")
        assert [turn.number for turn in store.turns(conversation.id)] == [2, 3]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("role", "onlooker"),
        ("status", "?"),
        ("text", b"\xff"),
        ("model", b"m"),
        ("retries", "x"),
        ("cost", "x"),
    ],
)
def test_a_call_that_cannot_be_read(path: Path, column: str, value: object) -> None:
    """Its turn is shown without it."""
    conversation = _fill(path)[0]
    where = "WHERE turn = (SELECT min(id) FROM turns WHERE conversation = ?)"
    _change(path, f"UPDATE calls SET {column} = ? {where}", value, conversation.id)
    said: list[str] = []
    with Store.open(path, report=said.append) as store:
        assert [call.turn for call in store.all_calls(conversation.id)] == [2]
        assert store.calls(store.turns(conversation.id)[0].id) == ()
    assert said == [f"call 0 in round 1 of turn 1 cannot be read: wrong {column}; it is left out."]


def test_text_that_is_no_utf8(path: Path) -> None:
    """Bytes that cannot be text are shown as U+FFFD, and nothing is left out."""
    conversation = _fill(path)[0]
    _change(
        path, "UPDATE turns SET prompt = CAST(? AS TEXT) WHERE conversation = ?", b"a \xff z", conversation.id
    )
    with Store.open(path, report=pytest.fail) as store:
        assert {turn.prompt for turn in store.turns(conversation.id)} == {"a \ufffd z"}


@pytest.fixture(params=["closed", "in use"])
def read_only(path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store whose file and folder may not be written to; "in use" leaves SQLite's own files beside it."""
    _fill(path)

    def access(file: object, mode: int) -> bool:
        return not mode & os.W_OK if str(file).startswith(str(path.parent)) else True

    # Permission bits do not bind root, who runs tests in containers.
    with Store.open(path) as other:
        if request.param == "closed":
            other.close()
        else:
            other.create_conversation({}, None, "one more")
        monkeypatch.setattr(os, "access", access)
        yield path


def test_a_store_that_can_only_be_read(read_only: Path) -> None:
    """List, search and show work; what writes says that it cannot; a session goes on unsaved."""
    with Store.open(read_only) as store:
        assert store.read_only
        rows = store.list_conversations()
        assert len(rows) >= 3
        assert len(store.search("wor")) == 6
        conversation = next(row.conversation for row in rows if row.turns)
        assert len(store.turns(conversation.id)) == 2
        assert store.latest() is not None
        for write in (
            lambda: store.delete(conversation.id),
            lambda: store.rename(conversation.id, "x"),
            lambda: store.create_conversation({}, None, "t"),
        ):
            with pytest.raises(StoreError, match="can only be read"):
                write()
        mixture = Mixture(make_plan(((Agent("a"),),)), FakeAsk({"a": "x", "judge": "y"}), FakeModels())
        session = Session(mixture, store=store, conversation=conversation)
        assert len(session.history) == 4

        async def ask() -> None:
            async for _ in session.turn("more"):
                pass
            session.undo_turn()

        asyncio.run(ask())
        assert len(session.history) == 4
        assert len(store.turns(conversation.id)) == 2


def test_an_older_store_that_can_only_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be changed first: an error says so, and nothing is written."""
    _fill(path)
    content = path.read_bytes()
    monkeypatch.setattr(database, "_is_read_only", lambda _: True)
    one_more = (*database.MIGRATIONS, lambda connection: None)
    with pytest.raises(StoreError, match="written by an older moa-bot"):
        database.Database.open(path, migrations=one_more)
    assert path.read_bytes() == content
