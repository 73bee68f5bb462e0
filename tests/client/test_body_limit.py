"""Every body has a limit on its decoded bytes, however it is compressed; memory stays small meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from functools import partial
from typing import Any

import pytest
from scripted_service import EVENTS, JSON, Response, ScriptedService, asked, event

from bot.client.body_limit import MAX_BODY_BYTES, MAX_JSON_BYTES, MAX_PAGE_BYTES
from bot.errors import Failure, FailureKind
from bot.messages import Completion, Endpoint, Message, Request

PIECE = 65_536
MEMORY = 60 * 2**20
"""Bytes that reading any response may take in Python: far below the gigabytes that these bodies hold."""
ANSWER = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()
STREAM = event({"content": "hi"}, "stop") + b"data: [DONE]\n\n"
ENCODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS),
    "identity": bytes,
}


def bomb(block: bytes, *, beginning: bytes = b"", size: int = 6_000_000) -> list[bytes]:
    """Pieces of `size` bytes of gzip that hold `block` some thousand times as long."""
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    data = compressor.compress(beginning) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(block * (2**24 // len(block))) + compressor.flush(zlib.Z_FULL_FLUSH)
    data += again * (size // len(again))
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]


def outcome(response: Response) -> tuple[Any, int]:
    """What comes of a call, and the peak of its memory in bytes."""
    request = Request(Endpoint("e", "http://e/v1"), "m", (Message("user", "hi"),), 0.7, 1000, timeout=60)
    tracemalloc.start()
    try:
        updates = asyncio.run(asked(ScriptedService({"m": response}), request))
        return updates[-1], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HTML = {"content-type": "text/html"}
BLANKS = partial(bomb, b" ")
BOMBS = {
    "JSON": (BLANKS, JSON, 200, FailureKind.GARBLED, f"more than {MAX_JSON_BYTES // 2**20} MB"),
    "no type": (BLANKS, {}, 200, FailureKind.GARBLED, f"more than {MAX_JSON_BYTES // 2**20} MB"),
    "HTML": (partial(bomb, b"<br>hello "), HTML, 200, FailureKind.GARBLED, "text/html: hello hello"),
    "an error": (partial(bomb, b"hello "), HTML, 500, FailureKind.SERVICE, "HTTP 500: hello hello"),
    "a JSON error": (
        partial(bomb, b"again ", beginning=b'{"error": {"message": "no luck '),
        JSON,
        400,
        FailureKind.BAD_REQUEST,
        "no luck again",
    ),
    "a refused key": (BLANKS, JSON, 401, FailureKind.KEY_REFUSED, "HTTP 401"),
    "a redirect": (BLANKS, HTML, 302, FailureKind.BAD_REQUEST, "redirected"),
    "events": (partial(bomb, b"data: {}\n\n"), EVENTS, 200, FailureKind.ENDLESS, "14,001 events came"),
    "comments": (partial(bomb, b":\n"), EVENTS, 200, FailureKind.GARBLED, f"{MAX_BODY_BYTES // 2**20} MB"),
    "lines of one event": (
        partial(bomb, b"data:\n"),
        EVENTS,
        200,
        FailureKind.GARBLED,
        "an event of more than",
    ),
    "one event": (partial(bomb, b"a"), EVENTS, 200, FailureKind.GARBLED, "an event of more than"),
    "a word, then blanks": (
        partial(bomb, b" ", beginning=event({"content": "hi"})),
        EVENTS,
        200,
        FailureKind.GARBLED,
        "an event of more than",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_megabytes_that_hold_gigabytes(name: str) -> None:
    """No more is decoded than the limit; a refusal keeps its status, and the message its beginning."""
    make, headers, status, kind, said = BOMBS[name]
    last, memory = outcome(Response(make(), {**headers, "content-encoding": "gzip"}, status))
    if isinstance(last, Completion):
        assert (last.text, last.truncation_kind) == ("hi", kind)
        assert said in last.partial
    else:
        assert (last.kind, said in last.message) == (kind, True), last
    assert memory < MEMORY


MANY_VALUES = {
    "lists": lambda: b'{"choices": [' + b"[]," * 900_000 + b"[]]}",
    "objects": lambda: b'{"choices": [' + b"{}," * 900_000 + b"{}]}",
    "texts": lambda: b"[" + b'"",' * 900_000 + b'""]',
    "one text": lambda: b'{"choices": [{"message": {"content": "' + b"x" * 2_900_000 + b'"}}]}',
}


@pytest.mark.slow
@pytest.mark.parametrize("values", MANY_VALUES)
def test_json_of_many_small_values(values: str) -> None:
    """A body within its limit stays small as Python objects, too."""
    _, memory = outcome(Response([MANY_VALUES[values]()], JSON))
    assert memory < 2 * MEMORY


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("body", "headers"), [(ANSWER, JSON), (STREAM, EVENTS)], ids=["whole", "stream"])
@pytest.mark.parametrize("size", [1, 7, PIECE])
def test_compressed_answers_are_read(encoding: str, body: bytes, headers: dict[str, str], size: int) -> None:
    """In every encoding that is asked for, however the bytes are cut."""
    data = ENCODINGS[encoding](body)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    last, _ = outcome(Response(pieces, {**headers, "content-encoding": encoding}))
    assert isinstance(last, Completion)
    assert last.text == "hi"


@pytest.mark.slow
@pytest.mark.parametrize("size", [1000, 65_536, 65_537, 1_000_000])
def test_long_compressed_answers_are_read_whole(size: int) -> None:
    """Nothing is lost where the decoded bytes fill a part exactly."""
    text = "".join(f"{number} " for number in range(size))[:size]
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
    last, _ = outcome(Response([gzip.compress(body)], {**JSON, "content-encoding": "gzip"}))
    assert isinstance(last, Completion)
    assert last.text == text


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("br", "encoded as br"),
        ("zstd", "encoded as zstd"),
        ("gzip, gzip", "encoded as gzip, gzip"),
        ("x" * 5000, "encoded as xxx"),
        ("gzip", "cannot be decoded"),
        ("deflate", "cannot be decoded"),
    ],
)
def test_encodings_that_cannot_be_read(encoding: str, said: str) -> None:
    """The answer is unreadable, and the message says why; of an error the status still counts."""
    last, _ = outcome(Response([ANSWER], {**JSON, "content-encoding": encoding}))
    assert isinstance(last, Failure)
    assert (last.kind, said in last.message) == (FailureKind.GARBLED, True)
    assert len(last.message) < 200
    for status, kind in (
        (401, FailureKind.KEY_REFUSED),
        (402, FailureKind.QUOTA),
        (500, FailureKind.SERVICE),
    ):
        last, _ = outcome(Response([ANSWER], {**JSON, "content-encoding": encoding}, status))
        assert isinstance(last, Failure)
        assert (last.kind, last.message) == (kind, f"HTTP {status}")


def test_a_page_is_read_up_to_its_limit() -> None:
    """What stands after the limit is not looked at."""
    page = b"<p>Sign in first</p>" + b"<br>" * (MAX_PAGE_BYTES // 4) + b"never seen"
    last, _ = outcome(Response([page], {"content-type": "text/html"}))
    assert isinstance(last, Failure)
    assert "Sign in first" in last.message
    assert "never seen" not in last.message
