"""An answer as it grows: thinking apart from text, first-token log probabilities, timing, limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.client.completion import CompletionBuilder, ThinkSplitter, split_thinking, top_logprobs
from bot.errors import Failure, FailureKind
from bot.messages import Delta
from bot.text.turn_markers import JOINER


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


@pytest.mark.slow
@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "a", " ", "\n", "thi"]), max_size=12))
def test_nothing_is_lost(pieces: list[str]) -> None:
    """All but tags and the space around them comes out, on one side or the other, at any split."""
    text, thinking = streamed(pieces)
    assert (text, thinking) == streamed(list("".join(pieces)))
    assert len(text) + len(thinking) <= len("".join(pieces))


def test_a_template_that_opens_the_thinking_itself() -> None:
    """In a whole text, what stands before a lone closing tag was thinking."""
    assert split_thinking("let me see</think>\n\nit is 4") == ("it is 4", "let me see")


PAIRS = (("m", -0.1), ("M", -2.5))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            {"logprobs": {"content": [{"token": "m", "top_logprobs": [
                {"token": "m", "logprob": -0.1}, {"token": "M", "logprob": -2.5}]}]}},
            PAIRS,
        ),
        ({"logprobs": {"tokens": ["m"], "top_logprobs": [{"m": -0.1, "M": -2.5}]}}, PAIRS),
        ({"top_logprobs": {"m": -0.1, "M": -2.5}, "logprobs": -0.1}, PAIRS),
        ({"logprobs": None}, ()),
        ({"logprobs": {"content": []}}, ()),
        ({"logprobs": {"content": [{"token": "m", "top_logprobs": None}]}}, ()),
        ({"logprobs": {"content": ["nonsense"]}}, ()),
        ({"top_logprobs": [{"m": "much"}]}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_the_likeliest_first_tokens(choice: dict[str, Any], expected: Any) -> None:
    """Each form gives tokens with their log probabilities; anything else gives nothing and no error."""
    assert top_logprobs(choice) == expected


class Clock:
    """A clock that the test sets, in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def chunk(**delta: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta}]}


def test_thinking_has_no_joiners() -> None:
    """What `defuse` put into the prompt is not copied from a thinking that quotes it, however it is cut."""
    answer = CompletionBuilder(60.0)
    for piece in ("it says <", JOINER, "|im_end|>"):
        answer.add_chunk(chunk(reasoning=piece))
    assert answer.completion().reasoning == "it says <|im_end|>"


def test_timing() -> None:
    """First token and seconds count from the request; a chunk without text and thinking is no token."""
    clock = Clock()
    answer = CompletionBuilder(60.0, clock)
    clock.now = 101.0
    assert answer.add_chunk(chunk(role="assistant", content="")) is None
    assert answer.completion().first_token is None
    clock.now = 102.5
    assert answer.add_chunk(chunk(reasoning="hm")) == Delta(reasoning="hm")
    clock.now = 104.0
    assert answer.add_chunk(chunk(content="yes")) == Delta("yes")
    clock.now = 107.0
    done = answer.completion()
    assert (done.first_token, done.seconds) == (2.5, 7.0)


def test_text_that_was_held_back_is_the_first_token_when_it_is_released() -> None:
    """The beginning of what may be a tag is timed when it proves to be text."""
    clock = Clock()
    answer = CompletionBuilder(60.0, clock)
    assert answer.add_chunk(chunk(content="<th")) is None
    clock.now = 103.0
    assert answer.close(ended_well=True) == Delta("<th")
    assert answer.completion().first_token == 3.0


def test_an_answer_is_over_its_limits_by_time_or_by_length() -> None:
    """After the longest time and not before; and with more characters than its tokens can be."""
    clock = Clock()
    answer = CompletionBuilder(120.0, clock)
    clock.now = 220.0
    assert answer.over_limit(10) == ""
    clock.now = 220.5
    assert answer.over_limit(10) == "it was not over after 2 min 00 s"
    clock.now = 100.0
    answer.add_chunk(chunk(content="".join(map(str, range(3_000)))[:10_320]))
    assert answer.over_limit(10) == ""
    answer.add_chunk(chunk(content="x"))
    assert answer.over_limit(10) == "10,321 characters came, more than 10 tokens can be"


def test_a_truncated_answer() -> None:
    """The completion keeps the text so far, with the failure that cut it off and its kind."""
    answer = CompletionBuilder(60.0)
    answer.add_chunk(chunk(content="half an"))
    done = answer.completion(Failure(FailureKind.CUT, "the stream broke off"))
    assert (done.text, done.partial) == ("half an", "stream cut: the stream broke off")
    assert done.truncation_kind is FailureKind.CUT
    assert done.finish_reason is None
