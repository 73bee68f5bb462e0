"""`moa-bot trace` on conversations that are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from bot.cli.app import typer_app
from bot.errors import StoreError, UsageError
from bot.settings import paths
from bot.store import Store, StoredCall, StoredConversation, StoredTurn

WHEN = datetime(2026, 7, 2, 9, 31, tzinfo=UTC)
PURR = "Purring is a self-regulating behaviour that calms the cat."
HURT = "It is not always a good sign, because hurt cats purr as well."


@pytest.fixture
def kept() -> str:
    """A conversation of three turns, the last without a reply; returns its id."""
    turns = [
        StoredTurn("", 1, "Why?", WHEN, "done", PURR, model="judge"),
        StoredTurn("", 2, "And?", WHEN, "partial", HURT, model="judge"),
        StoredTurn("", 3, "So?", WHEN, "failed"),
    ]
    calls = [
        StoredCall(number, 1, slot, "reference", f"vendor/{name}", "together", "done", text=text)
        for number in (1, 2, 3)
        for slot, (name, text) in enumerate([("a", PURR), ("b", HURT)])
    ]
    with Store.open(paths.store_file()) as store:
        return store.restore(StoredConversation("", "Cats", WHEN, WHEN), turns, calls).id


def test_the_last_reply_is_traced(kept: str) -> None:
    """Without arguments the latest conversation's last reply is compared; a pipe gets plain fields."""
    done = CliRunner().invoke(typer_app, ["trace"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2:] == ["", f"1\tb\t{HURT}"]


@pytest.mark.parametrize("arguments", [["trace", "--json"], ["--json", "trace"]])
def test_a_turn_can_be_chosen(kept: str, arguments: list[str]) -> None:
    """ID and turn say which reply; --json counts on either side of the command."""
    done = CliRunner().invoke(typer_app, [*arguments, kept[:3], "--turn", "1"], catch_exceptions=False)
    value = json.loads(done.stdout)
    assert (value["conversation_id"], value["turn"], value["model"]) == (kept, 1, "judge")
    assert [proposal["share"] for proposal in value["proposals"]] == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--turn", "3"], UsageError, "Turn 3 has no reply to trace."),
        (["--turn", "4"], UsageError, "There is no turn 4."),
        (["zzzzzz"], StoreError, "no such conversation"),
    ],
)
def test_what_cannot_be_traced_is_said(
    kept: str, arguments: list[str], error: type[Exception], said: str
) -> None:
    """A turn without a reply, a turn or a conversation that is not there: one sentence says which."""
    with pytest.raises(error, match=said):
        CliRunner().invoke(typer_app, ["trace", *arguments], catch_exceptions=False)


def test_an_empty_store() -> None:
    """With no conversation kept there is nothing to trace, and it says so."""
    with pytest.raises(UsageError, match="No conversations are kept yet"):
        CliRunner().invoke(typer_app, ["trace"], catch_exceptions=False)
