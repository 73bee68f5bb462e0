"""Requests that are too much, too slow or too large: refused early, and never in the way of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from bot.serve import request_body, request_timeout
from bot.serve.api_errors import ApiError
from bot.serve.chat_request import parse_chat_request
from bot.serve.limits import Limits
from bot.serve.request_schema import MAX_MESSAGES, MAX_PARTS, MAX_VALUES
from bot.serve.request_timeout import TimedProtocol

Make = Callable[..., Any]
USER = {"role": "user", "content": "a"}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "moa", "messages": [USER], **fields}).encode()


@pytest.mark.parametrize("field", ["temperature", "max_tokens", "seed", "n", "moa"])
@pytest.mark.parametrize(
    "number",
    ["9" * 400, "9" * 5000, "-" + "9" * 5000, "1e999", "-1e999", "NaN", "Infinity", "0." + "9" * 9999],
)
def test_numbers_that_no_field_holds(field: str, number: str) -> None:
    """A 400 that names the field, however many digits there are."""
    content = body()[:-1] + f', "{field}": {number}}}'.encode()
    if number.startswith("0.") and field in {"temperature", "n"}:
        assert parse_chat_request(content).temperature in {1.0, None}
        return
    with pytest.raises(ApiError) as refused:
        parse_chat_request(content)
    error = refused.value.body["error"]
    assert (refused.value.status, error["type"], error["param"]) == (400, "invalid_request_error", field)
    assert len(error["message"]) < 200


_PART = {"type": "text", "text": "a"}
MANY = MAX_VALUES + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messages": lambda: [USER] * (MAX_VALUES // 2)}, "too_many_values"),
        ({"messages": lambda: [USER] * (MAX_MESSAGES + 1)}, "too_many_messages"),
        (
            {"messages": lambda: [{"role": "user", "content": [_PART] * (MAX_PARTS + 1)}]},
            "too_many_messages",
        ),
        ({"messages": lambda: [{"role": "user", "content": [_PART] * 3}] * 2000}, "too_many_messages"),
        ({"messages": lambda: [[]] * MANY}, "too_many_values"),
        ({"metadata": lambda: [{}] * MANY}, "too_many_values"),
        ({"metadata": lambda: [1] * MANY}, "too_many_values"),
        ({"metadata": lambda: {str(number): 1 for number in range(MANY)}}, "too_many_values"),
        ({"metadata": lambda: [""] * MANY}, "too_many_values"),
        ({"metadata": lambda: ["\\"] * MANY}, "too_many_values"),
    ],
    ids=range(10),
)
def test_too_many_values(
    fields: dict[str, Callable[[], Any]], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would take seconds to check is refused by its count; where possible, before it is read."""
    content = body(**{name: make() for name, make in fields.items()})
    if code == "too_many_values":
        monkeypatch.setattr("bot.serve.request_schema.json.loads", pytest.fail)
    with pytest.raises(ApiError) as refused:
        parse_chat_request(content)
    assert (refused.value.status, refused.value.code) == (400, code)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["1, 2,\n", '{"a": [1, 2]}, ', '\\\\",[{"\'', "a\\", '"'])
def test_a_long_text_is_no_count_of_values(text: str) -> None:
    """Commas, brackets, quotation marks and backslashes inside a text do not count."""
    long = text * MAX_VALUES
    assert parse_chat_request(body(messages=[{"role": "user", "content": long}])).conversation.prompt == long
    many = [{"role": "user", "content": text}] * MAX_MESSAGES
    assert len(parse_chat_request(body(messages=many)).conversation.history) == MAX_MESSAGES - 1


def _half(app: Any, first: bytes, sent: list[Any]) -> Any:
    """Begin a request of which nothing comes after `first`; returns the coroutine that answers it."""

    async def receive() -> dict[str, Any]:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(), "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    pieces = [first]
    headers = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers,
             "query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}  # fmt: skip
    return app.asgi(scope, receive, send)


async def _post(app: Any, messages: Any = (USER,)) -> Any:
    async with app.client() as client:
        return await client.post("/v1/chat/completions", json={"model": "moa", "messages": list(messages)})


@pytest.mark.slow
def test_half_read_requests_keep_nobody_out(make: Make) -> None:
    """Requests whose bodies do not arrive take no place of those that do, large ones so much memory."""
    app = make(limits=Limits(turns=2))

    async def look() -> None:
        sent: list[Any] = []
        half = [asyncio.ensure_future(_half(app, b"{", sent)) for _ in range(64)]
        half += [asyncio.ensure_future(_half(app, b"x" * 7_000_000, sent)) for _ in range(12)]
        for _ in range(20):
            await asyncio.sleep(0)
        refused = [message["status"] for message in sent if "status" in message]
        assert refused == [429] * 3  # of 12, nine fit
        assert (await _post(app)).status_code == 200
        large = {"role": "user", "content": "x" * 1_000_000}
        for task in half:
            task.cancel()
        await asyncio.gather(*half, return_exceptions=True)
        assert (await _post(app, [large])).status_code == 200

    asyncio.run(look())


def test_a_body_that_does_not_arrive(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds it is a 408, and the connection is closed."""
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.0)
    sent: list[Any] = []
    asyncio.run(_half(make(), b"{", sent))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


class _Transport(asyncio.Transport):
    """A connection that only says whether it was closed."""

    closed = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def write(self, data: Any) -> None:
        """Send nothing."""

    def pause_reading(self) -> None:
        """Read nothing that could be paused."""

    def resume_reading(self) -> None:
        """Read nothing that could be resumed."""


async def _connect(make: Make, received: bytes) -> _Transport:
    app = make(hold=("judge",))
    config = Config(app.asgi, http=TimedProtocol, ws="none", lifespan="off", log_config=None)
    protocol = TimedProtocol(config, ServerState(), {})
    transport = _Transport()
    protocol.connection_made(transport)
    if received:
        protocol.data_received(received)
    return transport


_WHOLE = HEAD + f"Content-Length: {len(body())}\r\n\r\n".encode() + body()


@pytest.mark.parametrize(
    ("received", "closed"),
    [
        (b"", True),
        (b"P", True),
        (HEAD, True),
        (HEAD + b"Content-Length: 1000\r\n\r\n{", True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", True),
        (_WHOLE, False),
        (_WHOLE + b"POST", False),
    ],
)
def test_the_time_of_a_request(
    make: Make, monkeypatch: pytest.MonkeyPatch, received: bytes, *, closed: bool
) -> None:
    """Head and body have to arrive in time; an answer may take as long as it does."""
    monkeypatch.setattr(request_timeout, "REQUEST_SECONDS", 0.0)

    async def look() -> bool:
        transport = await _connect(make, received)
        for _ in range(10):
            await asyncio.sleep(0)
        TimedProtocol.incomplete.clear()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return transport.closed

    assert asyncio.run(look()) is closed


def test_many_incomplete_requests(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than are kept ends the oldest; those with a whole request are not among them."""
    monkeypatch.setattr(request_timeout, "MAX_INCOMPLETE", 3)

    async def look() -> None:
        whole = await _connect(make, _WHOLE)
        half = [await _connect(make, b"P") for _ in range(5)]
        assert [each.closed for each in half] == [True, True, False, False, False]
        assert not whole.closed
        for protocol in list(TimedProtocol.incomplete):
            protocol.end()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(look())
