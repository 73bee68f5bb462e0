"""What gives way when a request does not fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Message
from bot.method.context import CUT_MARK, MIN_REFERENCE, estimate_tokens, even_cap, fit, shorten

PARTS = {"systems": ("SYSTEM",), "instruction": "INSTRUCTION", "prompt": "PROMPT " * 50, "max_tokens": 500}
TURNS = [Message("user" if i % 2 == 0 else "assistant", f"turn {i} " * 100) for i in range(8)]
ANSWERS = ["a " * 2000, "b " * 200, "c " * 2000]


def test_nothing_is_cut_when_the_context_is_unknown_or_large() -> None:
    """Without a known limit, or with room enough, the request is whole."""
    whole = fit(answers=ANSWERS, history=TURNS, context=None, **PARTS)
    assert whole.whole
    assert whole.messages == fit(answers=ANSWERS, history=TURNS, context=100_000, **PARTS).messages


def test_the_oldest_turns_go_first() -> None:
    """When history is too long, the latest turns stay, beginning with one of the user's."""
    fitted = fit(answers=["short"], history=TURNS, context=2000, **PARTS)
    assert 0 < fitted.dropped < 8
    assert fitted.shortened == 0
    said = [message for message in fitted.messages if message.role != "system"]
    assert said[0].role == "user"
    assert said[:-1] == TURNS[fitted.dropped :]


def test_then_references_are_shortened_evenly() -> None:
    """When dropping all history is not enough, the long references give way to the same length."""
    fitted = fit(answers=ANSWERS, history=TURNS, context=1800, **PARTS)
    assert fitted.dropped == 8
    assert fitted.shortened == 2
    system = fitted.messages[0].content
    assert ANSWERS[1] in system
    assert abs(system.count("a ") - system.count("c ")) < 15
    assert system.count(CUT_MARK) == 2


def test_never_the_prompt() -> None:
    """However small the context, the prompt stays whole and room for an answer remains."""
    fitted = fit(answers=ANSWERS, history=TURNS, context=200, **PARTS)
    assert fitted.messages[-1] == Message("user", PARTS["prompt"])
    assert fitted.tightened
    assert fitted.max_tokens == 256


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    st.integers(1500, 20000),
    st.lists(st.text(max_size=400), max_size=6),
)
def test_what_was_fitted_fits(sizes: list[int], context: int, turns: list[str]) -> None:
    """Unless the prompt alone is too large, the estimate of what is sent stays within the context."""
    history = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(turns)]
    fitted = fit(answers=["x" * size for size in sizes], history=history, context=context, **PARTS)
    used = sum(estimate_tokens(message.content) + 4 for message in fitted.messages) + fitted.max_tokens
    assert used <= context + MIN_REFERENCE * len(sizes)


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 4000))
def test_even_cap_is_the_largest_that_fits(sizes: list[int], room: int) -> None:
    """The cap fits the room, and one more token for each would not (unless nothing is cut)."""
    cap = even_cap(sizes, room)
    assert sum(min(size, cap) for size in sizes) <= room or cap == 0
    if sizes and cap < max(sizes):
        assert sum(min(size, cap + 1) for size in sizes) > room


def test_shorten_ends_at_a_thought() -> None:
    """A shortened text keeps its beginning, ends at a sentence's end where one is near, and says so."""
    text = "One sentence here. " * 100
    short = shorten(text, 100)
    assert short.endswith("here." + CUT_MARK)
    assert estimate_tokens(short) <= 100
    assert shorten("short", 100) == "short"
