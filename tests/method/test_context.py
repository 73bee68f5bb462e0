"""What gives way when a request does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Message
from bot.method.context import (
    CUT_MARK,
    DROP_STEP,
    MESSAGE_TOKENS,
    MIN_REFERENCE,
    Fitted,
    estimate_tokens,
    even_cap,
    fit,
    fit_notices,
    shorten,
)
from bot.method.prompts import Placement, request_again

PARTS: dict[str, Any] = {
    "systems": ("SYSTEM",),
    "instruction": "INSTRUCTION",
    "prompt": "PROMPT " * 50,
    "max_tokens": 500,
}
TURNS = [Message("user" if i % 2 == 0 else "assistant", f"turn {i} " * 100) for i in range(8)]
ANSWERS = ["a " * 2000, "b " * 200, "c " * 2000]


def test_nothing_is_cut_when_the_context_is_unknown_or_large() -> None:
    """Without a known limit, or with room enough, the request is whole."""
    whole = fit(answers=ANSWERS, history=TURNS, context_length=None, **PARTS)
    assert whole.whole
    assert whole.messages == fit(answers=ANSWERS, history=TURNS, context_length=100_000, **PARTS).messages


def test_the_oldest_turns_go_first() -> None:
    """When history is too long, the latest turns stay, beginning with one of the user's."""
    fitted = fit(answers=["short"], history=TURNS, context_length=2000, **PARTS)
    assert 0 < fitted.dropped < 8
    assert fitted.shortened == 0
    said = [message for message in fitted.messages if message.role != "system"]
    assert said[0].role == "user"
    assert said[:-1] == TURNS[fitted.dropped :]


@pytest.mark.parametrize("placement", ["prompt", "system"])
def test_then_references_are_shortened_evenly(placement: Placement) -> None:
    """When dropping all history is not enough, the long references give way to the same length."""
    fitted = fit(answers=ANSWERS, history=TURNS, context_length=2000, placement=placement, **PARTS)
    assert fitted.dropped == 8
    assert fitted.shortened == 2
    text = "\n".join(message.content for message in fitted.messages)
    assert ANSWERS[1] in text
    assert abs(text.count("a ") - text.count("c ")) < 15
    assert text.count(CUT_MARK) == 2


@pytest.mark.parametrize("placement", ["prompt", "system"])
def test_never_the_prompt(placement: Placement) -> None:
    """However small the context, the prompt stays whole and room for an answer remains."""
    fitted = fit(answers=ANSWERS, history=TURNS, context_length=200, placement=placement, **PARTS)
    assert fitted.messages[-1].role == "user"
    assert fitted.messages[-1].content.startswith(PARTS["prompt"])
    assert (fitted.messages[-1].content == PARTS["prompt"]) == (placement == "system")
    assert fitted.tightened
    assert fitted.max_tokens == 256


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    st.integers(1500, 20000),
    st.lists(st.text(max_size=400), max_size=6),
    st.sampled_from(["prompt", "system"]),
)
def test_what_was_fitted_fits(sizes: list[int], context: int, turns: list[str], placement: Placement) -> None:
    """Unless the prompt alone is too large, the estimate of what is sent stays within the context."""
    history = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(turns)]
    answers = ["x" * size for size in sizes]
    fitted = fit(answers=answers, history=history, context_length=context, placement=placement, **PARTS)
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


CJK = "字"
"""One token by the estimate; a text takes one token more than its characters."""
EXACT: dict[str, Any] = {"systems": (), "prompt": CJK * 99, "max_tokens": 500, "placement": "system"}
PROMPT_TOKENS = 1 + 100 + 16
"""An empty system message, the prompt, and what the template puts around both."""
PAIR = [Message("user", CJK * 91), Message("assistant", CJK * 91)]
PAIR_TOKENS = 2 * (92 + 8)
TWO = [CJK * 99, "語" * 99]
TWO_TOKENS = 2 * 100 + 2 * 40 + 10


def test_the_request_once_more_is_counted() -> None:
    """With the answers after the prompt, what repeats the prompt takes room of its own."""
    parts = {**EXACT, "answers": TWO, "history": (), "instruction": CJK * 9}
    needed = PROMPT_TOKENS + TWO_TOKENS + 500
    more = estimate_tokens(request_again(EXACT["prompt"]))
    assert fit(**parts, context_length=needed).whole
    assert fit(**{**parts, "placement": "prompt"}, context_length=needed + more).whole
    assert not fit(**{**parts, "placement": "prompt"}, context_length=needed + more - 1).whole


def test_the_history_is_cut_in_steps() -> None:
    """A conversation that has outgrown the context begins at the same turn for several turns."""
    turns = [Message("user" if i % 2 == 0 else "assistant", CJK * 91) for i in range(200)]
    context = PROMPT_TOKENS + 500 + 3000
    starts = []
    for count in range(2, 200, 2):
        fitted = fit_exactly(context, history=turns[:count])
        starts.append(fitted.dropped)
        assert fitted.dropped % 2 == 0
        assert count - fitted.dropped >= min(count, 18)
    assert starts == sorted(starts)
    cuts = [start for start in starts if start]
    assert len(cuts) / len(set(cuts)) >= 4


@pytest.mark.parametrize("size", [40, 91, 150, 333])
def test_a_cut_lasts_for_a_step(size: int) -> None:
    """Whatever the turns' length, two cuts are a quarter of the context apart, less one turn."""
    turns = [Message("user" if i % 2 == 0 else "assistant", CJK * size) for i in range(200)]
    context = PROMPT_TOKENS + 500 + 3000
    starts = [fit_exactly(context, history=turns[:count]).dropped for count in range(2, 200, 2)]
    cuts = sorted({start for start in starts if start})
    pair = 2 * (size + 1 + MESSAGE_TOKENS)
    assert starts == sorted(starts)
    for first, second in pairwise(cuts):
        assert (second - first) / 2 * pair > context * DROP_STEP - pair


@pytest.mark.parametrize(("short_of", "dropped"), [(0, 0), (1, 2), (PAIR_TOKENS, 2), (PAIR_TOKENS + 1, 4)])
def test_a_short_history_is_not_left_out_for_a_long_prompt(short_of: int, dropped: int) -> None:
    """A file in the prompt costs no more of it than must go."""
    prompt = CJK * 5000
    context = (
        PROMPT_TOKENS - estimate_tokens(EXACT["prompt"]) + estimate_tokens(prompt) + 500 + 3 * PAIR_TOKENS
    )
    exact = {**EXACT, "prompt": prompt}
    fitted = fit(answers=(), history=PAIR * 3, instruction="", context_length=context - short_of, **exact)
    assert fitted.dropped == dropped


def fit_exactly(context: int, answers: Sequence[str] = (), history: Sequence[Message] = ()) -> Fitted:
    return fit(answers=answers, history=history, instruction=CJK * 9, context_length=context, **EXACT)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 1), ("a" * 3, 1), ("a" * 4, 2), ("a" * 10, 4), (CJK, 2), (CJK * 99, 100), ("a" * 10 + CJK, 5)],
)
def test_estimates(text: str, tokens: int) -> None:
    """0.3 tokens for an ASCII character, one for any other, rounded down, and one more."""
    assert estimate_tokens(text) == tokens


def test_a_history_fits_to_the_token() -> None:
    """It stays whole while its last token has room; one token less, and the oldest turn goes."""
    exact = PROMPT_TOKENS + 500 + 2 * PAIR_TOKENS
    assert fit_exactly(exact, history=PAIR * 2).whole
    fitted = fit_exactly(exact - 1, history=PAIR * 2)
    assert (fitted.dropped, fitted.max_tokens, len(fitted.messages), fitted.whole) == (2, 500, 3, False)
    assert fit_exactly(exact - PAIR_TOKENS, history=PAIR * 2).dropped == 2
    assert fit_exactly(exact - PAIR_TOKENS - 1, history=PAIR * 2).dropped == 4


def test_references_fit_to_the_token() -> None:
    """They stay whole while their last token has room, also when history had to go for them."""
    exact = PROMPT_TOKENS + 500 + TWO_TOKENS
    assert fit_exactly(exact, TWO).whole
    fitted = fit_exactly(exact - 1, TWO)
    assert (fitted.dropped, fitted.shortened, fitted.tightened) == (0, 2, False)
    assert fit_exactly(exact + PAIR_TOKENS, TWO, PAIR).whole
    fitted = fit_exactly(exact + PAIR_TOKENS - 1, TWO, PAIR)
    assert (fitted.dropped, fitted.shortened) == (2, 0)
    assert (fit_exactly(exact, TWO, PAIR).shortened, fit_exactly(exact - 1, TWO, PAIR).shortened) == (0, 2)


def test_the_answer_is_left_what_remains_to_the_token() -> None:
    """A prompt that leaves less than max_tokens leaves the answer the rest, and 256 tokens at least."""
    for left, allowed in ((501, 500), (500, 500), (499, 499), (257, 257), (256, 256), (255, 256), (0, 256)):
        fitted = fit_exactly(PROMPT_TOKENS + left)
        assert (fitted.max_tokens, fitted.tightened, fitted.whole) == (allowed, allowed < 500, allowed == 500)


@pytest.mark.parametrize(
    ("left", "excess", "said"),
    [
        (500, 0, ""),
        (499, 0, "only 499 tokens are left"),
        (0, 0, "only 256 tokens are left"),
        (-1, 1, "about 1 token too long for the context of m"),
        (-5000, 5000, "about 5,000 tokens too long for the context of m"),
    ],
)
def test_a_prompt_longer_than_the_context_is_said(left: int, excess: int, said: str) -> None:
    """No service is given it whole, and some cut it silently: nothing is said to fit."""
    fitted = fit_exactly(PROMPT_TOKENS + left)
    notices = fit_notices("m", fitted)
    assert fitted.excess == excess
    assert len(notices) == bool(said)
    assert said in "".join(notices)


@pytest.mark.parametrize(
    ("share", "characters", "max_tokens"), [(1, 42, 402), (63, 42, 500), (64, 42, 500), (65, 43, 500)]
)
def test_references_are_never_cut_below_64_tokens(share: int, characters: int, max_tokens: int) -> None:
    """Where their share would be less, they get 64 tokens, mark included, and the answer gets the rest."""
    fitted = fit_exactly(PROMPT_TOKENS + 500 + 90 + 2 * share, TWO)
    shown = [line for line in fitted.messages[0].content.splitlines() if line[:1] in {CJK, "語"}]
    assert [len(line) for line in shown] == [9, characters, characters]
    assert (fitted.shortened, fitted.max_tokens, fitted.whole) == (2, max_tokens, False)


def test_shorten_cuts_to_the_token() -> None:
    """A text of exactly the allowed tokens stays; one token less, and it is cut to no more than that."""
    text = CJK * 99
    assert shorten(text, 100) == text
    short = shorten(text, 99)
    assert short.endswith(CUT_MARK)
    assert estimate_tokens(short) <= 99
