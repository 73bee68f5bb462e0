"""What is written into the store comes back: conversations, turns, calls, messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import Failure, FailureKind, StoreError, UsageError
from bot.messages import Agent, Completion, Message, Usage
from bot.store import Store, StoredCall, StoredConversation, TurnId, title_from
from bot.store import conversations as sql
from bot.store.conversion import storable
from bot.store.names import ALPHABET, UNTITLED, clean_title, is_id, new_id
from bot.store.rows import now
from bot.turn_result import Call, Slot, TurnResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGGREGATOR = Call(
    Slot(2, 0, Agent("vendor/judge"), "aggregator"),
    Completion("The reply.", "thought", Usage(90, 10, 4), "stop", 0.5, 1.25, 1, "cut at the limit"),
    cost=0.02,
)
ANSWERED = Call(
    Slot(1, 0, Agent("vendor/a", "elsewhere")), Completion("An answer.", usage=Usage(10, 10)), cost=0.01
)
FAILED = Call(
    Slot(1, 1, Agent("vendor/b")),
    failure=Failure(FailureKind.RATE_LIMITED, "slow down", "vendor/b", 429),
    cost=0.0,
)
RESULT = TurnResult(
    status="done",
    reply="The reply.",
    reasoning="thought",
    model="vendor/judge",
    calls=(ANSWERED, FAILED, AGGREGATOR),
    first_token=1.5,
    seconds=3.25,
    notices=("vendor/b was left out", "shortened"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data" / "conversations.db") as opened:
        yield opened


def test_a_turn_is_there_before_it_is_finished(store: Store) -> None:
    """A prompt is stored when its turn begins, and reads as interrupted until the turn is finished."""
    conversation = store.create_conversation({"rounds": 2}, "Be kind.", "A title")
    turn = store.begin_turn(conversation.id, "Why?")
    (begun,) = store.turns(conversation.id)
    assert (begun.prompt, begun.status, begun.reply, begun.id) == ("Why?", "interrupted", "", turn)
    assert turn == TurnId(conversation.id, 1)


def test_a_finished_turn_keeps_all_of_its_result(store: Store) -> None:
    """Every field of a turn's result comes back from the store."""
    conversation = store.create_conversation({}, None, "t")
    turn = store.begin_turn(conversation.id, "Why?")
    store.finish_turn(turn, RESULT)
    (stored,) = store.turns(conversation.id)
    assert (stored.status, stored.reply, stored.reasoning, stored.model) == (
        "done",
        "The reply.",
        "thought",
        "vendor/judge",
    )
    assert (stored.prompt_tokens, stored.completion_tokens, stored.reasoning_tokens) == (100, 20, 4)
    assert (stored.cost, stored.first_token, stored.seconds, stored.error) == (0.03, 1.5, 3.25, None)
    assert stored.notices == ("vendor/b was left out", "shortened")
    assert store.conversation(conversation.id).updated >= stored.created


def test_a_failed_turn_says_why(store: Store) -> None:
    """A turn without a reply keeps its failure in words."""
    conversation = store.create_conversation({}, None, "t")
    failure = Failure(FailureKind.TOO_FEW, "1 of 3 answered")
    store.finish_turn(
        store.begin_turn(conversation.id, "Why?"), TurnResult("failed", "", "", "", failure=failure)
    )
    (stored,) = store.turns(conversation.id)
    assert (stored.status, stored.error) == ("failed", "too few references: 1 of 3 answered")


def test_calls_keep_their_slot_and_outcome(store: Store) -> None:
    """Saved calls come back by round and slot, with answer or error, under their own turn only."""
    conversation = store.create_conversation({}, None, "t")
    first, second = store.begin_turn(conversation.id, "1"), store.begin_turn(conversation.id, "2")
    for call in (AGGREGATOR, FAILED, ANSWERED):
        store.save_calls(second, call)
    assert store.calls(first) == ()
    assert store.calls(second) == store.all_calls(conversation.id)
    assert store.calls(second) == (
        StoredCall(
            turn=2,
            round=1,
            slot=0,
            role="reference",
            model="vendor/a",
            endpoint="elsewhere",
            status="done",
            text="An answer.",
            prompt_tokens=10,
            completion_tokens=10,
            cost=0.01,
            seconds=0.0,
        ),
        StoredCall(
            2, 1, 1, "reference", "vendor/b", "together", "failed", "rate limited", "slow down", cost=0.0
        ),
        StoredCall(
            turn=2,
            round=2,
            slot=0,
            role="aggregator",
            model="vendor/judge",
            endpoint="together",
            status="done",
            text="The reply.",
            reasoning="thought",
            prompt_tokens=90,
            completion_tokens=10,
            reasoning_tokens=4,
            cost=0.02,
            first_token=0.5,
            seconds=1.25,
            finish_reason="stop",
            retries=1,
            partial="cut at the limit",
        ),
    )
    assert [call.error for call in store.calls(second)] == [None, "rate limited: slow down", None]


def test_calls_that_were_not_saved_are_saved_with_the_result(store: Store) -> None:
    """Finishing a turn adds the calls that are missing and leaves those alone that are there."""
    conversation = store.create_conversation({}, None, "t")
    turn = store.begin_turn(conversation.id, "1")
    store.save_calls(turn, Call(ANSWERED.slot, Completion("as it finished")))
    store.finish_turn(turn, RESULT)
    assert [call.text for call in store.calls(turn)] == ["as it finished", "", "The reply."]


def test_the_later_call_of_a_slot_counts(store: Store) -> None:
    """A call that is saved again (asked once more) takes the place of the first."""
    conversation = store.create_conversation({}, None, "t")
    turn = store.begin_turn(conversation.id, "1")
    store.save_calls(turn, FAILED)
    store.save_calls(turn, Call(FAILED.slot, Completion("after all")))
    assert [(call.status, call.text) for call in store.calls(turn)] == [("done", "after all")]


def test_messages_leave_out_turns_without_a_reply(store: Store) -> None:
    """The history that models are given holds done and partial turns, in order, the last n on request."""
    conversation = store.create_conversation({}, None, "t")
    for number, status in enumerate(("done", "failed", "partial", "done"), 1):
        reply = "" if status == "failed" else f"r{number}"
        turn = store.begin_turn(conversation.id, f"p{number}")
        store.finish_turn(turn, TurnResult(status, reply, "thinking", "m"))  # type: ignore[arg-type]  # a literal
    store.begin_turn(conversation.id, "still open")
    pairs = [(Message("user", f"p{n}"), Message("assistant", f"r{n}")) for n in (1, 3, 4)]
    assert store.messages(conversation.id) == tuple(message for pair in pairs for message in pair)
    assert store.messages(conversation.id, last=1) == pairs[-1]


def test_undone_turns_are_kept_and_left_out_of_the_messages(store: Store) -> None:
    """Each undo marks the last turn that still has a reply; failed and open turns are passed over."""
    conversation, other = (store.create_conversation({}, None, name) for name in ("t", "other"))
    store.finish_turn(store.begin_turn(other.id, "p"), TurnResult("done", "r", "", "m"))
    for number, status in enumerate(("done", "partial", "failed"), 1):
        reply = "" if status == "failed" else f"r{number}"
        turn = store.begin_turn(conversation.id, f"p{number}")
        store.finish_turn(turn, TurnResult(status, reply, "", "m"))  # type: ignore[arg-type]  # a literal
    store.begin_turn(conversation.id, "open")
    expected = ["done", "partial", "failed", "interrupted"]
    for undone in (1, 0, None):
        store.undo_turn(conversation.id)
        if undone is not None:
            expected[undone] = "undone"
        turns = store.turns(conversation.id)
        assert [turn.status for turn in turns] == expected
        assert [turn.reply for turn in turns] == ["r1", "r2", "", ""]
        left = [number for number in (1, 2) if expected[number - 1] != "undone"]
        assert [message.content for message in store.messages(conversation.id)] == [
            text for number in left for text in (f"p{number}", f"r{number}")
        ]
    assert [turn.status for turn in store.turns(other.id)] == ["done"]
    assert store.begin_turn(conversation.id, "next").number == 5


def test_latest_is_the_one_last_written_to(store: Store) -> None:
    """The latest conversation is that of the newest turn, not the newest conversation."""
    assert store.latest() is None
    first = store.create_conversation({}, None, "first")
    second = store.create_conversation({}, None, "second")
    assert store.latest() == second
    with store._database.writing() as connection:
        connection.execute("UPDATE conversations SET updated = '2001-01-01T00:00:00.000Z'")
    store.begin_turn(first.id, "again")
    assert [row.conversation.id for row in store.list_conversations()] == [first.id, second.id]
    latest = store.latest()
    assert latest is not None
    assert latest.id == first.id


def test_lists_count_turns_and_never_guess_costs(store: Store) -> None:
    """A list sums the known costs and says how many turns are not in the sum."""
    empty = store.create_conversation({}, None, "empty")
    full = store.create_conversation({}, None, "full")
    for cost in (0.25, None, 0.5):
        calls = (replace(ANSWERED, cost=cost),)
        store.finish_turn(store.begin_turn(full.id, "p"), TurnResult("done", "r", "", "m", calls))
    rows = {row.conversation.id: (row.turns, row.cost, row.uncosted) for row in store.list_conversations()}
    assert rows == {empty.id: (0, None, 0), full.id: (3, 0.75, 1)}
    assert len(store.list_conversations(limit=1)) == 1
    assert len(store.list_conversations(limit=5, offset=1)) == 1


def test_prefixes(store: Store) -> None:
    """A unique beginning of an id is enough; an ambiguous, unknown or empty one is an error that helps."""
    moment = now()
    for identifier in ("abcdef", "abcxyz", "abcdefgh"):
        store.restore(StoredConversation(identifier, identifier, moment, moment), (), ())
    assert store.conversation("abcx").id == "abcxyz"
    assert store.conversation(" ABCX ").id == "abcxyz"
    assert store.conversation("abcdef").id == "abcdef"  # exact, though another one goes on
    with pytest.raises(StoreError, match="abcdef, abcdefgh, abcxyz") as ambiguous:
        store.conversation("abc")
    assert ambiguous.value.hint
    for unknown in ("nothing", "%", "_bcdef", "a*", "\udc80", "a\0"):
        with pytest.raises(StoreError, match="no such conversation") as missing:
            store.conversation(unknown)
        assert "history list" in missing.value.hint
    for empty in ("", "  "):
        with pytest.raises(UsageError):
            store.conversation(empty)


def test_an_ambiguous_prefix_names_a_few(store: Store) -> None:
    """With a thousand candidates the message stays a line."""
    moment = now()
    for letter in ALPHABET:
        store.restore(StoredConversation(f"abcde{letter}", "t", moment, moment), (), ())
    with pytest.raises(StoreError) as ambiguous:
        store.conversation("ab")
    assert ambiguous.value.message.endswith(", …")
    assert len(ambiguous.value.message) < 150


def test_renaming(store: Store) -> None:
    """A new title is stored on one line and without control characters."""
    conversation = store.create_conversation({}, None, "old")
    assert store.rename(conversation.id[:5], "new\x1b\nname").title == "new name"
    assert store.conversation(conversation.id).title == "new name"


def test_settings_can_change(store: Store) -> None:
    """The settings a conversation goes on with replace those it began with."""
    conversation = store.create_conversation({"rounds": 1}, None, "t")
    store.update_settings(conversation.id, {"rounds": 3, "reference_models": ["a", "b"]}, "Be brief.")
    changed = store.conversation(conversation.id)
    assert changed.settings == {"rounds": 3, "reference_models": ["a", "b"]}
    assert changed.system == "Be brief."


def test_deleting_takes_everything(store: Store) -> None:
    """With a conversation go its turns, calls and words in the index, and nobody else's."""
    kept, gone = (store.create_conversation({}, None, name) for name in ("kept", "gone"))
    for conversation in (kept, gone):
        turn = store.begin_turn(conversation.id, "purring")
        store.finish_turn(turn, RESULT)
    assert store.delete(gone.id).id == gone.id
    assert [hit.conversation for hit in store.search("purring")] == [kept.id]
    with store._database.reading() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("conversations", "turns", "calls")
        ]
        connection.execute("INSERT INTO turns_words (turns_words, rank) VALUES ('integrity-check', 1)")
    assert counts == [1, 1, 3]


def test_deleting_by_age(store: Store) -> None:
    """Only what was last written to before the moment goes, and the count says how much."""
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for hours in (-2, -1, 0, 1):
        updated = moment + timedelta(hours=hours)
        store.restore(StoredConversation("", f"{hours}", updated, updated), (), ())
    assert store.delete_older_than(moment) == 2
    assert sorted(row.conversation.title for row in store.list_conversations()) == ["0", "1"]


def test_a_conversation_deleted_meanwhile(store: Store) -> None:
    """Writing to a conversation that another program deleted is an error in words, at every step."""
    conversation = store.create_conversation({}, None, "t")
    turn = store.begin_turn(conversation.id, "p")
    store.delete(conversation.id)
    for write in (
        lambda: store.begin_turn(conversation.id, "p"),
        lambda: store.save_calls(turn, ANSWERED),
        lambda: store.finish_turn(turn, RESULT),
        lambda: store.update_settings(conversation.id, {}, None),
    ):
        with pytest.raises(StoreError, match=f"{conversation.id} is no longer in the store"):
            write()


def test_a_taken_id_is_drawn_again(store: Store) -> None:
    """A conversation whose id is taken gets another one."""
    moment = now()
    drawn = iter(["abcdef", "abcdef", "bcdefg"])
    with store._database.writing() as connection:
        ids = [
            sql.insert(connection, StoredConversation("", "t", moment, moment), lambda: next(drawn)).id
            for _ in range(2)
        ]
    assert ids == ["abcdef", "bcdefg"]


def test_ids_are_easy_to_type() -> None:
    """Ids are six letters and digits, a letter first, without look-alikes."""
    drawn = {new_id() for _ in range(500)}
    assert len(drawn) > 490
    assert all(is_id(identifier) and len(identifier) == 6 for identifier in drawn)
    assert not set("".join(drawn)) & set("0oO1lIi")


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Why do cats purr?", "Why do cats purr?"),
        ("\n \n  Second line \t first\nthird", "Second line first"),
        ("", UNTITLED),
        (" \n\x00\x1b ", UNTITLED),
        ("a\x07b\u202ec\ud800d\x9be", "a bc d e"),
        ("word " * 30, "word word word word word word word word word…"),
        ("x" * 100, "x" * 47 + "…"),
        ("ab " + "x" * 100, "ab " + "x" * 44 + "…"),
        ("y" * 48, "y" * 48),
    ],
)
def test_titles(prompt: str, title: str) -> None:
    """A title is the first line with words, cut at a word to 48 characters, without control characters."""
    assert title_from(prompt) == title
    assert len(title) <= 49


@given(st.text())
def test_clean_titles_stay_as_they_are(text: str) -> None:
    """Cleaning a clean title changes nothing, so titles survive export and import."""
    assert clean_title(clean_title(text)) == clean_title(text)


@given(st.text(st.characters(exclude_categories=())))
def test_only_surrogates_change(text: str) -> None:
    """Text without surrogates is stored as it is; lone surrogates become U+FFFD, one for one."""
    kept = storable(text)
    kept.encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert kept == text


def test_surrogates(store: Store) -> None:
    """Pairs of surrogates become their character and lone ones U+FFFD, wherever they come in."""
    odd, kept = "a\udc80b \ud83d\ude00 \ud83d", "a\ufffdb 😀 \ufffd"
    conversation = store.create_conversation({"preset": odd}, odd, odd)
    turn = store.begin_turn(conversation.id, odd)
    store.save_calls(turn, Call(Slot(1, 0, Agent(odd)), Completion(odd, odd)))
    store.finish_turn(turn, TurnResult("partial", odd, odd, odd, notices=(odd,)))
    stored = store.conversation(conversation.id)
    assert (stored.settings, stored.system) == ({"preset": kept}, kept)
    (back,) = store.turns(conversation.id)
    assert (back.prompt, back.reply, back.reasoning, back.model, back.notices) == (kept, *[kept] * 3, (kept,))
    (call,) = store.calls(turn)
    assert (call.model, call.text, call.reasoning) == (kept, kept, kept)
    assert len(store.search("😀")) == 1
    assert len(store.search("a\udc80b")) == 1


@pytest.mark.slow
@settings(max_examples=50)
@given(
    prompt=st.text(),
    tokens=st.integers(-(2**70), 2**70),
    cost=st.floats(),
)
def test_anything_can_be_stored(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, tokens: int, cost: float
) -> None:
    """Any text comes back as it was; a number that SQLite or JSON cannot hold becomes unknown."""
    with Store.open(tmp_path_factory.mktemp("any") / "s.db") as store:
        conversation = store.create_conversation({}, None, "t")
        turn = store.begin_turn(conversation.id, prompt)
        call = Call(ANSWERED.slot, Completion(prompt, usage=Usage(tokens)), cost=cost)
        store.finish_turn(turn, TurnResult("done", prompt, prompt, "m", (call,)))
        (stored,) = store.turns(conversation.id)
    assert (stored.prompt, stored.reply, stored.reasoning) == (prompt, prompt, prompt)
    assert stored.prompt_tokens == (tokens if abs(tokens) < 2**63 else None)
    assert stored.cost == (cost if cost - cost == 0 else None)
