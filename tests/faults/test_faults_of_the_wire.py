"""Bytes that no honest service sends, straight from a socket to the provider."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from running import LIMIT, in_time

from bot.client.body_limit import MAX_BODY_BYTES, PAGE_SECONDS
from bot.client.provider import Provider
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Message, Request

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
BLOCK = b"x" * 65536


@asynccontextmanager
async def serving(answer: Serve) -> AsyncGenerator[tuple[str, list[bytes]], None]:
    """A service that reads a request and then does what it is told; yields its address and the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            requests.append(head)
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if length:
                await reader.readexactly(int(length[0].split(b":")[1]))
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", requests
    finally:
        server.close()


def ask(
    answer: Serve, *, longest: float = 60.0, max_tokens: int = 2**24, timeout: float = 5.0
) -> list[CallUpdate]:
    """What comes of one request to such a service, within twenty seconds."""

    async def run() -> list[CallUpdate]:
        provider = Provider(longest=longest)
        try:
            async with serving(answer) as (url, _), asyncio.timeout(LIMIT):
                request = Request(
                    Endpoint("e", url, "k"), "m", (Message("user", "hi"),), 0.7, max_tokens, timeout=timeout
                )
                return [update async for update in provider.complete(request)]
        finally:
            await provider.close()

    return asyncio.run(run())


def failure(answer: Serve, **more: float) -> Failure:
    last = ask(answer, **more)[-1]  # type: ignore[arg-type]  # seconds only
    assert isinstance(last, Failure)
    return last


def sends(*pieces: bytes) -> Serve:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return answer


def endless(head: bytes, block: bytes = BLOCK, pause: float = 0.0) -> Serve:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


def chunk(text: str | None, finish: str | None = None, field: str = "content") -> bytes:
    choice = {"index": 0, "delta": {field: text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


BODIES = {
    "an error": (b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n", "service error: HTTP 500"),
    "a refusal": (
        b'HTTP/1.1 400 No\r\nContent-Type: application/json\r\n\r\n{"error": "',
        "request refused: HTTP 400",
    ),
    "a page": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        "unreadable answer: not a chat completion but text/html",
    ),
    "a whole answer": (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"choices": "',
        "unreadable answer: more than 3 MB received",
    ),
    "one event": (HEAD + b"data: ", "unreadable answer: an event of more than 1 MB"),
    "one comment": (HEAD + b": ", "unreadable answer: an event of more than 1 MB"),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_without_end_is_read_to_its_limit(body: str) -> None:
    """Of a refusal or page the beginning is read, and its status is reported; an answer is too large."""
    head, said = BODIES[body]
    assert failure(endless(head)).describe().startswith(said)


@pytest.mark.slow
def test_a_stream_without_end_is_read_to_its_limit() -> None:
    """Events that say nothing are read up to 8 MB."""
    last = failure(endless(HEAD, b'data: {"id": "%s"}\n\n' % (b"x" * 10_000)))
    assert last.kind is FailureKind.GARBLED
    assert f"more than {MAX_BODY_BYTES // 2**20} MB received" in last.message


SLOW_HEADS = {
    "nothing": (b"", b""),
    "a status line": (b"", b"HTTP/1.1 200 OK\r\n"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-One: 1\r\n"),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("head", SLOW_HEADS)
def test_a_head_that_does_not_end(head: str) -> None:
    """A head has the same time as the first word, however its bytes trickle in."""
    beginning, more = SLOW_HEADS[head]
    block = more if head in {"interim responses", "continue", "headers"} else more[:1]
    last = failure(endless(beginning, block, 0.1), timeout=0.5)
    assert (last.kind, last.message) == (FailureKind.TIMEOUT, "no word for 0.5 s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "kind"), [(401, FailureKind.KEY_REFUSED), (503, FailureKind.OVERLOADED)], ids=str
)
def test_a_refusal_whose_body_does_not_end(status: int, kind: FailureKind) -> None:
    """Its status says enough: the body is read for a moment, and what came of it is shown."""
    head = b"HTTP/1.1 %d No\r\nContent-Type: text/plain\r\n\r\nNot today" % status
    began = time.monotonic()
    last = failure(endless(head, b".", 0.1), timeout=30)
    assert in_time(time.monotonic() - began, 2 * PAGE_SECONDS)
    assert last.kind is kind
    assert "Not today..." in last.message


@pytest.mark.slow
def test_a_list_of_models_that_does_not_end() -> None:
    """It is given up after its timeout, whatever trickles in."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

    async def run() -> object:
        async with serving(endless(head, b" ", 0.1)) as (url, _), asyncio.timeout(LIMIT):
            provider = Provider()
            try:
                return await provider.models(Request(Endpoint("e", url), "", (), 0.0, 0, timeout=0.5))
            finally:
                await provider.close()

    last = asyncio.run(run())
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.TIMEOUT


@pytest.mark.slow
def test_keep_alives_without_end() -> None:
    """A stream that never says a word, and never falls silent either, is given up when its time is over."""
    last = failure(endless(HEAD, b": still here\n\n", 0.02), longest=0.5)
    assert last.kind is FailureKind.ENDLESS
    assert "not over" in last.message


@pytest.mark.slow
def test_what_had_come_before_the_keep_alives_is_kept() -> None:
    """An answer that stops in the middle and is only kept alive from there is a part of one."""
    last = ask(endless(HEAD + chunk("half an"), b":\n\n", 0.02), longest=0.5)[-1]
    assert isinstance(last, Completion)
    assert (last.text, last.truncation_kind) == ("half an", FailureKind.ENDLESS)


@pytest.mark.parametrize(("said", "kept"), [("as I was say", True), (None, False)])
def test_a_filter_that_ends_the_answer(said: str | None, kept: bool) -> None:  # noqa: FBT001 - a table's column
    """finish_reason content_filter is no proper end: what came is a part, nothing is a failure."""
    last = ask(sends(HEAD, chunk(said), chunk(None, "content_filter"), b"data: [DONE]\n\n"))[-1]
    if kept:
        assert isinstance(last, Completion)
        assert (last.text, last.truncation_kind) == (said, FailureKind.CONTENT_FILTER)
        assert last.partial.startswith("content filtered")
    else:
        assert isinstance(last, Failure)
        assert last.kind is FailureKind.CONTENT_FILTER


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", FailureKind.CUT),
        (b"SSH-2.0-OpenSSH_9.6\r\n", FailureKind.CUT),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", FailureKind.CUT),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n",
            FailureKind.CUT,
        ),
        (HEAD, FailureKind.CUT),
        (HEAD + b"data: [1, 2]\n\n", FailureKind.GARBLED),
        (HEAD + b"data: null\n\n", FailureKind.GARBLED),
        (HEAD + b"data: " + b"[" * 100_000 + b"\n\n", FailureKind.GARBLED),
        (HEAD + b"data: [DONE]\n\n", None),
        (HEAD + b'data: {"choices": [null]}\n\ndata: [DONE]\n\n', None),
        (HEAD + b'data: {"choices": [{"delta": 7}], "usage": 7}\n\ndata: [DONE]\n\n', None),
        (HEAD + b'data: {"choices": [{"delta": {"content": 7}}]}\n\ndata: [DONE]\n\n', None),
        (HEAD + b'data: {"choices": "none", "usage": {"prompt_tokens": -1}}\n\ndata: [DONE]\n\n', None),
    ],
)
def test_what_is_no_answer(raw: bytes, kind: FailureKind | None) -> None:
    """Other protocols, half responses and odd JSON end in a failure or an empty answer, in no exception."""
    last = ask(sends(raw))[-1]
    if kind is None:
        assert isinstance(last, Completion)
        assert last.text == ""
    else:
        assert isinstance(last, Failure)
        assert last.kind is kind


def test_an_answer_that_is_not_streamed_though_asked_for() -> None:
    """One whole JSON body is an answer as well."""
    body = json.dumps(
        {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    ).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    got = ask(sends(head, body))
    assert got[0] == Delta("all at once")
    assert isinstance(got[-1], Completion)


def test_a_list_of_models_is_not_fetched_from_elsewhere() -> None:
    """A redirect is not followed when the models are listed either: the key stays where it was sent."""

    async def run() -> tuple[object, int]:
        async with serving(sends(HEAD)) as (other, requests):
            moved = f"HTTP/1.1 307 Moved\r\nLocation: {other}/models\r\nContent-Length: 0\r\n\r\n".encode()
            async with serving(sends(moved)) as (url, _):
                provider = Provider()
                try:
                    endpoint = Endpoint("e", url, "k")
                    return await provider.models(Request(endpoint, "", (), 0.0, 0, timeout=5)), len(requests)
                finally:
                    await provider.close()

    said, asked = asyncio.run(run())
    assert isinstance(said, Failure)
    assert asked == 0


def whole(text: str) -> bytes:
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


LOOP = "Is there anything else? " * 200


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (
            endless(HEAD + chunk("It is 4. "), chunk("Is there anything else? ")),
            "It is 4. Is there anything else?",
        ),
        (sends(HEAD + chunk(f"It is 4. {LOOP}"), b"data: [DONE]\n\n"), "It is 4. Is there anything else?"),
        (sends(whole(f"It is 4. {LOOP}")), "It is 4. Is there anything else?"),
    ],
)
def test_a_text_that_repeats_itself(answer: Serve, kept: str) -> None:
    """Streamed without end or come as a whole, it is kept up to the first repetition and marked."""
    last = ask(answer)[-1]
    assert isinstance(last, Completion)
    assert last.text.rstrip() == "It is 4. Is there anything else?"
    assert last.truncation_kind is FailureKind.ENDLESS
    assert last.partial.startswith("endless answer: it repeats itself from character 3")


def test_thinking_that_repeats_itself() -> None:
    """There is no answer, and the failure says why."""
    last = failure(endless(HEAD, chunk("Wait. ", field="reasoning")))
    assert last.kind is FailureKind.ENDLESS
    assert last.message.startswith("its thinking repeats itself")
