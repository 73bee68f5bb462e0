"""Thinking is kept apart from answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.client.thinking import ThinkSplitter, split_thinking


def streamed(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(text for text, _ in parts), "".join(thinking for _, thinking in parts)


@pytest.mark.parametrize(
    ("whole", "answer", "thinking"),
    [
        ("plain", "plain", ""),
        ("<think>hm</think>\n\nyes", "yes", "hm"),
        ("\n <think>\nhm\n</think>yes", "yes", "\nhm\n"),
        ("<think>never ends", "", "never ends"),
        ("<think></think>yes", "yes", ""),
        ("The tag <think> opens a thought </think>.", "The tag <think> opens a thought </think>.", ""),
        ("<thin", "<thin", ""),
        ("", "", ""),
    ],
)
def test_any_split_of_the_stream_gives_the_same(whole: str, answer: str, thinking: str) -> None:
    """Wherever the pieces are cut, answer and thinking come out alike."""
    assert streamed([whole]) == (answer, thinking)
    assert streamed(list(whole)) == (answer, thinking)
    for cut in range(len(whole)):
        assert streamed([whole[:cut], whole[cut:]]) == (answer, thinking)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "a", " ", "\n", "thi"]), max_size=12))
def test_nothing_is_lost(pieces: list[str]) -> None:
    """All but tags and the space around them comes out, on one side or the other, at any split."""
    text, thinking = streamed(pieces)
    assert (text, thinking) == streamed(list("".join(pieces)))
    assert len(text) + len(thinking) <= len("".join(pieces))


def test_a_template_that_opens_the_thinking_itself() -> None:
    """In a whole text, what stands before a lone closing tag was thinking."""
    assert split_thinking("let me see</think>\n\nit is 4") == ("it is 4", "let me see")
