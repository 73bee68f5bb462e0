"""However the bytes of a stream are cut and dressed, the answer is the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.client.completion import CompletionBuilder
from bot.client.response_stream import GarbledError, read_chunks
from bot.messages import Completion, Delta, Endpoint, Message, Request

pytestmark = pytest.mark.slow

REQUEST = Request(Endpoint("e", "http://one/v1"), "m", (Message("user", "hi"),), 0.7, 100_000)
WORDS = st.lists(
    st.text(max_size=12)
    | st.sampled_from(["<think>", "</think>", "<thi", "nk>", "\n\n", "data: x", "\ud83d"]),
    max_size=8,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


async def _pieces(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def read(parts: Sequence[bytes]) -> tuple[str, str, Completion]:
    """What was streamed as text and as thinking, and the completion at the end."""

    async def run() -> tuple[str, str, Completion]:
        answer, deltas = CompletionBuilder(60.0), list[Delta | None]()
        async for chunk in read_chunks(_pieces(parts), answer, REQUEST.max_tokens):
            deltas.append(answer.add_chunk(chunk))
        deltas.append(answer.close(ended_well=True))
        said = [delta for delta in deltas if delta]
        text, thinking = ("".join(getattr(delta, name) for delta in said) for name in ("text", "reasoning"))
        return text, thinking, answer.completion()

    return asyncio.run(run())


def stream(words: Sequence[str], end: bytes, *, ascii_only: bool, comments: bool) -> bytes:
    """The words as a service may send them."""
    events = []
    for word in words:
        chunk = {"choices": [{"index": 0, "delta": {"content": word}}]}
        try:
            data = json.dumps(chunk, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            data = json.dumps(chunk).encode()
        events.append((b": alive" + end + end if comments else b"") + b"data: " + data + end + end)
    return b"".join([*events, b"data: [DONE]" + end + end])


def cut(whole: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes cut at these places."""
    at = sorted({place % (len(whole) + 1) for place in places})
    return [whole[start:stop] for start, stop in zip([0, *at], [*at, len(whole)], strict=True)]


@settings(max_examples=150)
@given(
    words=WORDS,
    end=ENDS,
    ascii_only=st.booleans(),
    comments=st.booleans(),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_split_gives_the_same_answer(
    *, words: list[str], end: bytes, ascii_only: bool, comments: bool, places: list[int]
) -> None:
    """Cuts, ends of lines, comments and escapes change nothing: not what streams, not what is kept."""
    whole = stream(words, end, ascii_only=ascii_only, comments=comments)
    text, thinking, done = read(cut(whole, places))
    plain = read([stream(words, b"\n", ascii_only=True, comments=False)])
    assert (text, thinking, done.text, done.reasoning) == (
        plain[0],
        plain[1],
        plain[2].text,
        plain[2].reasoning,
    )
    if "<" not in "".join(words):
        assert text == done.text == "".join(words)
        assert thinking == ""


@settings(max_examples=150)
@given(WORDS, st.lists(st.integers(0, 10_000), max_size=4), st.binary(max_size=30))
def test_any_bytes_in_between_give_an_answer_or_one_failure(
    words: list[str], places: list[int], junk: bytes
) -> None:
    """Bytes that do not belong there end in an answer or in the one error that there is for them."""
    parts = cut(stream(words, b"\n", ascii_only=False, comments=False), places)
    refused = ""
    try:
        text, _, done = read([*parts[:1], junk, *parts[1:]])
    except GarbledError as error:
        refused = str(error)
    else:
        assert done.text == text or "<" in text + done.reasoning
    assert len(refused) < 200
