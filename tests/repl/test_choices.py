"""The list of conversations to choose from: where it is shown, and what is asked above it."""

from __future__ import annotations

import pytest

from bot.repl.choices import choose_conversation, which_conversation
from bot.settings.options import CHOOSE


@pytest.mark.parametrize("term", ["dumb", "DUMB", "unknown"])
def test_no_list_on_a_terminal_without_escape_sequences(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the conversation has to be named, as in a pipe."""
    monkeypatch.setenv("TERM", term)
    assert choose_conversation() == CHOOSE


@pytest.mark.parametrize(
    ("count", "question"),
    [
        (1, "Which conversation?"),
        (499, "Which conversation?"),
        (500, "Which of the latest 500 conversations?"),
    ],
)
def test_what_is_asked(count: int, question: str) -> None:
    """A list that has not all conversations says so."""
    assert which_conversation([("id", "title")] * count) == question
