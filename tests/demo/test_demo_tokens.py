"""Tokens of the offline service."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import in_time

from bot.demo.answer_plan import count_prompt, tokens_of


@given(st.text())
def test_tokens_put_together_are_the_text(text: str) -> None:
    """Whatever the text, its tokens joined are the text, and none of them is empty."""
    tokens = tokens_of(text)
    assert "".join(tokens) == text
    assert all(tokens)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!", ["Hello", ",", " world", "!"]),
        ("a\n\n  b ", ["a", "\n\n  b", " "]),
        ("incomprehensibilities", ["incomprehens", "ibilities"]),
        ("", []),
    ],
)
def test_tokens_follow_the_rule(text: str, tokens: list[str]) -> None:
    """White space goes with what follows it, and runs are cut after twelve characters."""
    assert tokens_of(text) == tokens


def test_a_message_costs_four_tokens_more() -> None:
    """A prompt's tokens are those of its texts and four for each message."""
    assert count_prompt(["one two", "three"]) == 3 + 2 * 4


@pytest.mark.slow
@pytest.mark.parametrize("text", [" " * 1_000_000, "word " * 200_000, "." * 1_000_000, "x" * 1_000_000])
def test_a_megabyte_is_cut_in_linear_time(text: str) -> None:
    """No text makes the rule slow: a megabyte takes well under a second."""
    start = time.process_time()
    tokens_of(text)
    assert in_time(time.process_time() - start, 1)
