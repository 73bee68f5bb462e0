"""Images of prompts in the store: kept with the turn, read with the messages, up to a size."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan
from virtual_time import run

from bot.app.session import Session
from bot.messages import Image, image_attachment, images_of
from bot.method.mixture import Mixture
from bot.store import Store
from bot.store import images as store_images


def image(data: bytes, name: str = "cat.png") -> Image:
    return Image(f"data:image/png;base64,{base64.b64encode(data).decode()}", name, 64, 48)


CAT, DOG = image(b"a cat"), image(b"a dog", "dog \ud83d.png")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "conversations.db") as opened:
        yield opened


def session(store: Store, resumed: Session | None = None) -> Session:
    ask = FakeAsk({"judge": ["one", "two", "three"]})
    mixture = Mixture(make_plan(layers("a")), ask, FakeModels(seeing=frozenset({"a"})))
    return Session(mixture, store=store, conversation=resumed.conversation if resumed else None)


def ask(asked: Session, prompt: str, *images: Image, retry: bool = False) -> None:
    async def turn() -> None:
        async for _ in asked.turn(prompt, retry=retry, attachments=list(map(image_attachment, images))):
            pass

    run(turn())


def test_a_resumed_conversation_has_its_images(store: Store) -> None:
    """The same bytes, in order, with the prompts that they came with; a copy has them too."""
    first = session(store)
    ask(first, "p1", CAT, DOG)
    ask(first, "p2")
    ask(first, "p3", CAT)
    assert [message.images for message in first.history[::2]] == [(CAT, DOG), (), (CAT,)]
    known = (CAT, replace(DOG, name="dog \ufffd.png"))  # as SQLite can hold the name
    resumed = session(store, first)
    assert [message.images for message in resumed.history[::2]] == [known, (), (CAT,)]
    assert first.conversation
    name = first.conversation.id
    assert store.images(store.turns(name)[0].id) == known
    copied = store.restore(
        replace(first.conversation, id=""), store.turns(name), store.all_calls(name), images_of=name
    )
    assert store.messages(copied.id) == store.messages(name)
    store.delete(name)
    assert images_of(map(image_attachment, store.messages(copied.id)[0].images)) == known
    store.delete(copied.id)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (0,)


def test_a_retried_turn_keeps_its_images(store: Store) -> None:
    """The new reply's turn has them as well."""
    first = session(store)
    ask(first, "p1", CAT)
    ask(first, "p1", CAT, retry=True)
    assert [message.images for message in session(store, first).history] == [(CAT,), ()]


def test_a_large_image_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash and size are; the others of the turn are kept."""
    monkeypatch.setattr(store_images, "MAX_BYTES", 5)
    first = session(store)
    ask(first, "p1", image(b"large one"), CAT)
    assert session(store, first).history[0].images == (CAT,)
    with closing(sqlite3.connect(store.path)) as connection:
        rows = connection.execute("SELECT bytes, length(sha256), data FROM images ORDER BY place").fetchall()
    assert rows == [(9, 64, None), (5, 64, b"a cat")]


def test_a_damaged_image(tmp_path: Path) -> None:
    """It is left out and named; the conversation goes on."""
    said: list[str] = []
    with Store.open(tmp_path / "conversations.db", report=said.append) as store:
        first = session(store)
        ask(first, "p1", CAT)
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE images SET data = x'00'")
        assert session(store, first).history[0].images == ()
    assert "an image of turn 1" in said[0]
