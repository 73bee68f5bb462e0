"""Finding turns again: hostile words, both ways of searching, and queries that use their indexes."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.store import Store, StoredConversation, StoredTurn
from bot.store.rows import now
from bot.turn_result import TurnResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = [
    *("'", '"', '""', "*", "^", "(", ")", "%", "_", "+", "-x", "\\", ";--", "C++", "{a b}: c", "prompt:"),
    *("AND", "OR NOT", "NEAR(", "NEAR(a b)", "a\0b", "😀", "\ud800", "\u0301", "\x1b[31m"),
    *("a" * 100_000, "a " * 100_000),
]


@pytest.fixture(params=[True, False], ids=["fts5", "no fts5"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db", full_text=request.param) as opened:
        yield opened


def say(store: Store, *exchanges: tuple[str, str]) -> StoredConversation:
    conversation = store.create_conversation({}, None, "a title")
    for prompt, reply in exchanges:
        turn = store.begin_turn(conversation.id, prompt)
        store.finish_turn(turn, TurnResult("done", reply, "", "m"))
    return conversation


def found(store: Store, query: str, limit: int = 20) -> list[int]:
    return [hit.turn for hit in store.search(query, limit)]


def test_words_are_found_in_prompt_and_reply(store: Store) -> None:
    """All words of a query must be in a turn, in any case, beginnings of words too; newest first."""
    conversation = say(
        store,
        ("Why do cats purr?", "Vibrations of the larynx."),
        ("And dogs?", "They do not PURR."),
        ("Über Straßen", "naïve"),
    )
    assert found(store, "purr") == [2, 1]
    assert found(store, "purr", limit=1) == [2]
    assert found(store, "PURR vibr") == [1]
    assert found(store, "purr larynx dogs") == []
    assert found(store, "über straß") == [3]
    (hit,) = store.search("larynx")
    assert (hit.conversation, hit.title, hit.turn) == (conversation.id, "a title", 1)
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["larynx"]


def test_accents_do_not_matter_to_the_index(tmp_path: Path) -> None:
    """With an index, "cafe" finds "café"; the snippet is the beginning then."""
    with Store.open(tmp_path / "s.db") as store:
        say(store, ("Where is the café?", ""))
        (hit,) = store.search("cafe")
        assert (hit.snippet, hit.marks) == ("Where is the café?", ())


def test_scripts_without_spaces_and_signs_are_found(store: Store) -> None:
    """Words inside a CJK sentence, emoji and signs are found although an index knows no such words."""
    say(store, ("東京の天気はどうですか", "😀 晴れ"), ("100%", "a_b"), ("x", "y"))
    assert found(store, "天気") == [1]
    assert found(store, "😀") == [1]
    assert found(store, "%") == [2]
    assert found(store, "天気 😀") == [1]


def test_snippets_surround_the_words(store: Store) -> None:
    """A snippet is one line around the first found word, with its marks in the right places."""
    say(store, ("filler " * 50 + "\n\nneedle\there " + "filler " * 50, "needle"))
    (hit,) = store.search("needle here")
    assert hit.snippet.startswith("…filler ")
    assert hit.snippet.endswith("…")
    assert "\n" not in hit.snippet
    assert len(hit.snippet) < 120
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["needle", "here"]


@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: ascii(query)[:20])
def test_words_have_no_syntax(store: Store, query: str) -> None:
    """No query breaks the search, and what was said word for word is found again."""
    say(store, (f"before {query} after", "a reply"))
    assert found(store, query) == [1]


@pytest.mark.parametrize("query", ["", "  \n", "\0"])
def test_an_empty_query_is_wrong_usage(store: Store, query: str) -> None:
    """A search for nothing is refused."""
    with pytest.raises(UsageError):
        store.search(query)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.text(st.characters(exclude_categories=()), max_size=40), st.booleans())
def test_any_query_is_harmless(tmp_path_factory: pytest.TempPathFactory, query: str, full_text: bool) -> None:  # noqa: FBT001 -- hypothesis gives arguments by position or name alike
    """Any text at all can be searched for, or is refused as empty."""
    path = tmp_path_factory.getbasetemp() / f"any{full_text}.db"
    with Store.open(path, full_text=full_text) as store:
        if store.latest() is None:
            say(store, ("some words", "some more"))
        try:
            store.search(query)
        except UsageError:
            assert not query.replace("\0", " ").split()


def test_the_index_follows_the_sqlite_at_hand(tmp_path: Path) -> None:
    """A store used without FTS5 in between has a complete index again afterwards."""
    path = tmp_path / "s.db"
    with Store.open(path) as store:
        conversation = say(store, ("one", ""), ("two", ""))
    with Store.open(path, full_text=False) as store:
        store.begin_turn(conversation.id, "three")
        assert found(store, "three") == [3]
        with store._database.reading() as connection:
            names = {
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            }
        assert names == set()
    with Store.open(path) as store:
        assert (found(store, "three"), found(store, "one")) == ([3], [1])
        with store._database.reading() as connection:
            connection.execute("INSERT INTO turns_words (turns_words, rank) VALUES ('integrity-check', 1)")


def test_the_index_follows_changes(tmp_path: Path) -> None:
    """Finishing and deleting turns keep index and texts the same (SQLite's own check)."""
    with Store.open(tmp_path / "s.db") as store:
        kept, gone = say(store, ("one", "uno")), say(store, ("two", "due"), ("three", "tre"))
        store.finish_turn(store.turns(kept.id)[0].id, TurnResult("done", "another", "", "m"))
        store.delete(gone.id)
        assert found(store, "uno") == found(store, "due") == []
        assert found(store, "another") == [1]
        with store._database.reading() as connection:
            connection.execute("INSERT INTO turns_words (turns_words, rank) VALUES ('integrity-check', 1)")


READS: dict[str, tuple[Callable[[Store, str], object], int]] = {
    "list": (lambda store, _: store.list_conversations(50), 1),
    "latest": (lambda store, _: store.latest(), 1),
    "conversation": (lambda store, name: store.conversation(name[:5]), 1),
    "turns": (lambda store, name: store.turns(name), 1),
    # The turns, and the images of these.
    "messages": (lambda store, name: store.messages(name, last=10), 2),
    "calls": (lambda store, name: store.calls(store.turns(name)[0].id), 2),
    "all calls": (lambda store, name: store.all_calls(name), 1),
    "search": (lambda store, _: store.search("purr"), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_reading_needs_one_query_and_an_index(tmp_path: Path, name: str) -> None:
    """The number of queries does not depend on that of rows, and walks no whole table."""
    moment = now()
    with Store.open(tmp_path / "s.db") as store:
        conversation = store.restore(
            StoredConversation("abcdef", "t", moment, moment),
            [StoredTurn("", n, "purr", moment, "done", "yes") for n in range(1, 200)],
            (),
        )
        for _ in range(20):
            store.create_conversation({}, None, "t")
        statements: list[str] = []
        connection = store._database.connection
        connection.set_trace_callback(statements.append)
        read, expected = READS[name]
        read(store, conversation.id)
        connection.set_trace_callback(None)
        # The index's own statements begin with a comment sign.
        statements = [statement for statement in statements if not statement.startswith("--")]
        plan = [
            row["detail"] for query in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]
    assert len(statements) == expected
    assert plan
    walks = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
    assert not walks, plan


@pytest.mark.slow
def test_10_000_turns_are_there_for_all_ways_of_reading(tmp_path: Path) -> None:
    """A history of 10,000 turns is opened, listed, searched and resumed without touching most of it."""
    moment = now()
    with Store.open(tmp_path / "s.db") as store:
        turns = [
            StoredTurn("", n, f"prompt {n}", moment, "done", "a reply " * 20, cost=0.5)
            for n in range(1, 10_001)
        ]
        conversation = store.restore(StoredConversation("abcdef", "t", moment, moment), turns, ())
    with Store.open(tmp_path / "s.db") as store:
        steps = Steps(store._database.connection)
        (row,) = store.list_conversations()
        assert (row.turns, row.cost, row.uncosted) == (10_000, 5000.0, 0)
        # Three walks over one small index, the only ones that grow with the history.
        assert steps.taken() < 500_000
        assert found(store, "reply", 5) == [10_000, 9_999, 9_998, 9_997, 9_996]
        assert found(store, "9876") == [9876]
        assert len(store.messages(conversation.id, last=10)) == 20
        assert store.latest() == conversation
        assert steps.taken() < 20_000


class Steps:
    """Counts the steps of SQLite's virtual machine: a measure of work that no other load changes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._hundreds = 0
        connection.set_progress_handler(self._count, 100)

    def _count(self) -> int:
        self._hundreds += 1
        return 0

    def taken(self) -> int:
        """Steps since the last time of asking."""
        taken, self._hundreds = self._hundreds * 100, 0
        return taken
