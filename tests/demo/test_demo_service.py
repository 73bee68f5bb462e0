"""The offline service over real connections: its routes, and what clients rely on."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest
from running import LIMIT, in_time, until

from bot.demo import DEMO_AGGREGATOR, DEMO_CONTEXT, DEMO_REFERENCES
from bot.demo.process import DemoProcess, start_demo
from bot.demo.service import DemoService
from bot.errors import ConfigError, MoaError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def running(processes: None) -> Iterator[DemoProcess]:
    """One service for all tests of this module; it has to end."""
    with start_demo(inspect=True) as demo:
        yield demo
    assert not psutil.pid_exists(demo.pid)


@pytest.fixture
def demo(running: DemoProcess) -> DemoProcess:
    """The service with its default behaviour and no request remembered."""
    running.set_behaviour({})
    running.clear_requests()
    return running


@pytest.fixture
def connection(demo: DemoProcess) -> Iterator[HTTPConnection]:
    """One kept-alive connection to the service."""
    connection = HTTPConnection(urlsplit(demo.url).netloc, timeout=LIMIT)
    yield connection
    connection.close()


def chat_body(model: str = "m", prompt: str = "hi", **fields: Any) -> str:
    """Return the body of a chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], **fields})


def ask(connection: HTTPConnection, model: str = "m", prompt: str = "hi", **fields: Any) -> tuple[int, Any]:
    """Ask for a chat completion; return the status, and the JSON or the list of events."""
    return send(connection, "POST", CHAT, chat_body(model, prompt, **fields))


def send(
    connection: HTTPConnection, method: str, path: str, body: str | bytes | None = None, **headers: str
) -> tuple[int, Any]:
    """Send one request; return the status, and the JSON or the list of events."""
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read().decode()
    if response.headers["content-type"].startswith("text/event-stream"):
        events = content.removesuffix("\n\n").split("\n\n")
        assert events.pop() == "data: [DONE]"
        return response.status, [json.loads(event.removeprefix("data: ")) for event in events]
    return response.status, json.loads(content)


def text_of(events: list[dict[str, Any]], name: str = "content") -> str:
    """Put the deltas of a stream together."""
    return "".join(choice["delta"].get(name) or "" for event in events for choice in event["choices"])


def test_it_is_healthy(connection: HTTPConnection) -> None:
    """GET /healthz says so."""
    assert send(connection, "GET", "/healthz") == (200, {"status": "ok"})


def test_models_are_listed(connection: HTTPConnection) -> None:
    """The models list has OpenAI's form and the facts of each model."""
    status, answer = send(connection, "GET", "/v1/models?limit=9")
    assert (status, answer["object"]) == (200, "list")
    assert [entry["id"] for entry in answer["data"]] == [*DEMO_REFERENCES, DEMO_AGGREGATOR]
    for entry in answer["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["context_length"] == DEMO_CONTEXT
        assert entry["pricing"] == {"input": 0, "output": 0}


def test_a_bare_list_and_other_facts(demo: DemoProcess, connection: HTTPConnection) -> None:
    """`bare_list` gives Together's form, `facts` go into the entry, other ids are listed."""
    facts = {"context_length": 4096, "type": "chat", "owned_by": "me"}
    demo.set_behaviour({"bare_list": True, "demo_models": False, "models": {"a": {"facts": facts}}})
    status, answer = send(connection, "GET", "/v1/models")
    created = answer[0].pop("created")
    assert (status, answer) == (200, [{"id": "a", "object": "model", **facts}])
    assert created > 0


@pytest.mark.parametrize(
    "text",
    [
        "one two three",
        " leading\n\n  and  trailing \n",
        '日本語 🙂👩‍👩‍👧 \u202eabc\x00\x1b[1m "quoted\\" </script>',
        "",
    ],
)
def test_streamed_is_the_same_as_not_streamed(
    demo: DemoProcess, connection: HTTPConnection, text: str
) -> None:
    """The joined deltas are exactly the text; usage and finish reason are the same."""
    demo.set_behaviour({"models": {"m": {"reply": text}}})
    status, whole = ask(connection)
    assert status == 200
    choice = whole["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": text}
    _, events = ask(connection, stream=True)
    assert text_of(events) == text
    assert events[-1]["choices"][0]["finish_reason"] == choice["finish_reason"] == "stop"
    assert events[-1]["usage"] == whole["usage"]
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    # One delta for each token, and one for the end.
    assert len(events) == usage["completion_tokens"] + 1
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1


@pytest.mark.parametrize("model", [*DEMO_REFERENCES, DEMO_AGGREGATOR])
def test_demonstration_models_answer(connection: HTTPConnection, model: str) -> None:
    """Every demonstration model answers, streamed as not."""
    _, whole = ask(connection, model, "What is 2 + 3?")
    _, events = ask(connection, model, "What is 2 + 3?", stream=True)
    assert whole["choices"][0]["message"]["content"] == text_of(events)
    assert "not a language model" in text_of(events)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens(demo: DemoProcess, connection: HTTPConnection, name: str) -> None:
    """An answer is cut after max_tokens tokens and says so; one that just fits is whole."""
    demo.set_behaviour({"models": {"m": {"reply": "one two three four"}}})
    two: Any = {name: 2}
    _, whole = ask(connection, **two)
    assert whole["choices"][0]["message"]["content"] == "one two"
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 2
    four: Any = {name: 4}
    _, events = ask(connection, **four, stream=True)
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thinking_comes_first_and_in_its_own_field(
    demo: DemoProcess, connection: HTTPConnection, name: str
) -> None:
    """Reasoning streams before the text, counts as completion tokens, and is listed in usage."""
    demo.set_behaviour(
        {"models": {"m": {"reply": "Yes.", "reasoning": "Let me see.", "reasoning_field": name}}}
    )
    _, events = ask(connection, stream=True)
    assert (text_of(events, name), text_of(events)) == ("Let me see.", "Yes.")
    assert name in events[0]["choices"][0]["delta"]
    usage = events[-1]["usage"]
    assert usage["completion_tokens"] == 6
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 4}
    _, whole = ask(connection)
    assert whole["choices"][0]["message"] == {"role": "assistant", name: "Let me see.", "content": "Yes."}


def test_thinking_inside_the_text(demo: DemoProcess, connection: HTTPConnection) -> None:
    """The field "think" puts the thinking between tags into the text."""
    demo.set_behaviour({"models": {"m": {"reply": "Yes.", "reasoning": "Hm.", "reasoning_field": "think"}}})
    _, events = ask(connection, stream=True)
    assert text_of(events) == "<think>Hm.</think>\n\nYes."


def test_thinking_eats_max_tokens(demo: DemoProcess, connection: HTTPConnection) -> None:
    """When the tokens run out while thinking, the text is empty and the end is "length"."""
    demo.set_behaviour({"models": {"m": {"reply": "Yes.", "reasoning": "a b c d e f"}}})
    _, whole = ask(connection, max_tokens=3)
    assert whole["choices"][0]["message"] == {"role": "assistant", "reasoning": "a b c", "content": ""}
    assert whole["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"enabled": False}},
        {"reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
def test_thinking_can_be_switched_off(
    demo: DemoProcess, connection: HTTPConnection, fields: dict[str, Any]
) -> None:
    """Each way in which services switch thinking off is honoured."""
    demo.set_behaviour({"models": {"m": {"reply": "Yes.", "reasoning": "Hm."}}})
    _, whole = ask(connection, **fields)
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Yes."}


def test_usage_may_come_apart_or_not_at_all(demo: DemoProcess, connection: HTTPConnection) -> None:
    """`usage_chunk` sends usage with empty choices, `usage = false` none; a client may decline it."""
    demo.set_behaviour(
        {"models": {"m": {"reply": "Yes.", "usage_chunk": True}, "n": {"reply": "Yes.", "usage": False}}}
    )
    _, events = ask(connection, stream=True, stream_options={"include_usage": True})
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 2
    assert "usage" not in events[-2]
    _, events = ask(connection, stream=True, stream_options={"include_usage": False})
    assert not any("usage" in event for event in events)
    _, events = ask(connection, "n", stream=True)
    assert not any("usage" in event for event in events)
    assert "usage" not in ask(connection, "n")[1]


def test_replies_come_in_turn(demo: DemoProcess, connection: HTTPConnection) -> None:
    """A list of replies is used one after the other, from the start again at its end."""
    demo.set_behaviour({"models": {"m": {"replies": ["a", "b"]}}})
    said = [ask(connection)[1]["choices"][0]["message"]["content"] for _ in range(3)]
    assert said == ["a", "b", "a"]


def test_echo_is_the_request(demo: DemoProcess, connection: HTTPConnection) -> None:
    """`echo` replies with the request's body as JSON, uncut, for any model id."""
    demo.set_behaviour({"any_model": True, "models": {"*": {"echo": True}}})
    _, answer = ask(connection, "any/model", "héllo", max_tokens=1, seed=7)
    body = json.loads(answer["choices"][0]["message"]["content"])
    assert body["messages"] == [{"role": "user", "content": "héllo"}]
    assert (body["model"], body["seed"]) == ("any/model", 7)


def test_stamps_tell_the_time_of_each_token(demo: DemoProcess, connection: HTTPConnection) -> None:
    """`stamps` says the monotonic time in every token, on the configured schedule."""
    demo.set_behaviour({"models": {"m": {"stamps": 20, "tokens_per_second": 200}}})
    before = time.monotonic()
    _, events = ask(connection, stream=True)
    times = [float(line) for line in text_of(events).split()]
    assert len(times) == 20
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.monotonic()
    assert times[-1] - times[0] >= 19 / 200 - 0.01


def test_delay_first_token_and_rate_add_up(demo: DemoProcess, connection: HTTPConnection) -> None:
    """The answer takes the configured seconds: to the headers, to the first token, and for the rest."""
    demo.set_behaviour(
        {"models": {"m": {"reply": "a b c d e", "delay": 0.1, "first_token": 0.1, "tokens_per_second": 40}}}
    )
    for stream in (False, True):
        start = time.monotonic()
        ask(connection, stream=stream)
        seconds = time.monotonic() - start
        assert seconds >= 0.3 - 0.01
        assert in_time(seconds, 2)
    start = time.monotonic()
    connection.request("POST", CHAT, chat_body(stream=True))
    response = connection.getresponse()
    head = time.monotonic() - start
    response.read1()
    first = time.monotonic() - start
    response.read()
    assert 0.09 <= head < first
    assert first >= 0.19


def test_recorded_answers_are_looked_up_by_the_last_prompt(
    demo: DemoProcess, connection: HTTPConnection, tmp_path: Any
) -> None:
    """The reply is the one recorded for exactly the last user message; another prompt is refused."""
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"instruction": "Hi \n", "outputs": {"A": "Recorded."}}), encoding="utf-8")
    demo.set_behaviour({"models": {"m": {"recorded": str(path), "recorded_as": "A"}}})
    assert ask(connection, prompt="Hi \n")[1]["choices"][0]["message"]["content"] == "Recorded."
    status, answer = ask(connection, prompt="Hi")
    assert (status, answer["error"]["code"]) == (400, "not_recorded")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("{", None),
        (b"\xff", None),
        ("[]", None),
        ("[" * 100_000, None),
        ('{"messages": [{"role": "user", "content": "x"}]}', "model"),
        ('{"model": "demo/reader"}', "messages"),
        ('{"model": "demo/reader", "messages": []}', "messages"),
        ('{"model": "demo/reader", "messages": [3]}', "messages[0]"),
        ('{"model": "demo/reader", "messages": [{"role": "king", "content": "x"}]}', "messages[0].role"),
        ('{"model": "demo/reader", "messages": [{"role": "user"}]}', "messages[0].content"),
        (
            '{"model": "demo/reader", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}',
            "max_tokens",
        ),
        (
            '{"model": "demo/reader", "messages": [{"role": "user", "content": "x"}], "temperature": 9}',
            "temperature",
        ),
        (
            '{"model": "demo/reader", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}',
            "stream",
        ),
    ],
)
def test_a_bad_request_is_refused_by_field(
    connection: HTTPConnection, body: str | bytes, param: str | None
) -> None:
    """A broken body is a 400 in OpenAI's shape that names the field; the connection lives on."""
    status, answer = send(connection, "POST", CHAT, body)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "code", "param"}
    assert answer["error"]["param"] == param
    assert send(connection, "GET", "/healthz")[0] == 200


def test_unknown_things_are_named(connection: HTTPConnection) -> None:
    """An unknown path and an unknown model are a 404 that names them; a wrong method is a 405."""
    status, answer = send(connection, "GET", "/v1/nothing")
    assert status == 404
    assert "/v1/nothing" in answer["error"]["message"]
    status, answer = ask(connection, "no/such-model")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert "no/such-model" in answer["error"]["message"]
    connection.request("DELETE", CHAT)
    response = connection.getresponse()
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert json.loads(response.read())["error"]["code"] == "method_not_allowed"
    connection.request("HEAD", "/v1/models")
    response = connection.getresponse()
    assert (response.status, response.read()) == (405, b"")
    assert send(connection, "GET", "/healthz")[0] == 200


def test_a_huge_body_is_refused(demo: DemoProcess) -> None:
    """More than 64 MB, announced or sent in chunks, is a 413 that the client can read."""
    address = urlsplit(demo.url).netloc
    connection = HTTPConnection(address, timeout=LIMIT)
    connection.putrequest("POST", CHAT)
    connection.putheader("content-length", str(65 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    connection = HTTPConnection(address, timeout=LIMIT)
    chunk = b" " * 2**20
    try:
        connection.request("POST", CHAT, (chunk for _ in range(65)), encode_chunked=True)
    except ConnectionError:
        pytest.fail("the refusal could not be read")
    assert connection.getresponse().status == 413
    connection.close()


def test_what_is_not_http_is_refused(demo: DemoProcess) -> None:
    """Noise instead of a request gets a 400, and the connection is closed."""
    host, port = urlsplit(demo.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
        client.sendall(b"\x16\x03\x01 this is no request\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_an_old_client_is_answered_without_chunks(demo: DemoProcess) -> None:
    """A client of HTTP/1.0 gets a stream without chunk framing, ended by the close."""
    demo.set_behaviour({"models": {"m": {"reply": "a b"}}})
    host, port = urlsplit(demo.url).netloc.split(":")
    body = chat_body(stream=True).encode()
    with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
        client.sendall(b"POST %b HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert content.startswith(b"data: ")
    assert content.endswith(b"data: [DONE]\n\n")


def test_expect_100_continue(demo: DemoProcess) -> None:
    """`Expect: 100-continue` is answered before the body is read."""
    host, port = urlsplit(demo.url).netloc.split(":")
    body = b'{"model": "demo/reader", "messages": [{"role": "user", "content": "x"}]}'
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
        client.sendall(head % (CHAT.encode(), len(body)))
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_answered_in_order(demo: DemoProcess) -> None:
    """Pipelined requests on one connection get their answers one after the other."""
    host, port = urlsplit(demo.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
        client.sendall(
            b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
            b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"ok") < answer.index(b"demo/outliner")


def test_a_key_is_required(demo: DemoProcess, connection: HTTPConnection) -> None:
    """Without the required key, of a model or of the service, the answer is a 401 that shows no key."""
    demo.set_behaviour({"models": {"m": {"reply": "ok", "require_key": "s3cret"}}})
    body = chat_body()
    for headers in ({}, {"authorization": "Bearer wr0ng"}):
        status, answer = send(connection, "POST", CHAT, body, **headers)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert "s3cret" not in str(answer)
        assert "wr0ng" not in str(answer)
    assert send(connection, "POST", CHAT, body, authorization="Bearer s3cret")[0] == 200
    demo.set_behaviour({"require_key": "s3cret", "models": {"m": {"reply": "ok"}}})
    assert send(connection, "GET", "/v1/models")[0] == 401
    assert send(connection, "POST", CHAT, body)[0] == 401
    assert send(connection, "GET", "/v1/models", authorization="Bearer s3cret")[0] == 200
    assert send(connection, "POST", CHAT, body, authorization="Bearer s3cret")[0] == 200


def test_a_rejected_field_is_named(demo: DemoProcess, connection: HTTPConnection) -> None:
    """A field of the body that a model rejects is a 400 that names it."""
    demo.set_behaviour({"models": {"m": {"reply": "ok", "reject_fields": ["seed"]}}})
    assert ask(connection)[0] == 200
    status, answer = ask(connection, seed=1)
    assert (status, answer["error"]["param"]) == (400, "seed")


@pytest.mark.parametrize("own", [False, True])
def test_too_many_at_once_are_refused(demo: DemoProcess, connection: HTTPConnection, *, own: bool) -> None:
    """Above max_concurrent, of the model or of the service, a request is a 429; afterwards it is not."""
    limit = {"max_concurrent": 1}
    model = {"reply": "ok", "failures": [{"kind": "stall", "times": 1}], **(limit if own else {})}
    demo.set_behaviour({"models": {"m": model}, **({} if own else limit)})
    other = HTTPConnection(urlsplit(demo.url).netloc, timeout=LIMIT)
    other.request("POST", CHAT, chat_body())
    until(lambda: len(demo.requests()) == 1)
    status, answer = ask(connection)
    assert (status, answer["error"]["type"]) == (429, "rate_limit_error")
    other.close()
    until(lambda: demo.requests()[0]["cancelled"])
    assert ask(connection)[0] == 200


def test_a_context_is_enforced(demo: DemoProcess, connection: HTTPConnection) -> None:
    """A prompt with its max_tokens above the context is a 400 that names both numbers."""
    demo.set_behaviour({"models": {"m": {"reply": "ok", "context": 20}}})
    assert ask(connection, prompt="one two", max_tokens=14)[0] == 200
    status, answer = ask(connection, prompt="one two", max_tokens=15)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert (
        "maximum context length is 20 tokens. However, you requested 21 tokens" in answer["error"]["message"]
    )


def test_requests_are_remembered(demo: DemoProcess, connection: HTTPConnection) -> None:
    """Inspection lists the chat requests in order, with headers, body, times and connection."""
    opened = demo.connections()["opened"]
    before = time.monotonic()
    send(connection, "POST", CHAT, "no json", authorization="Bearer abc")
    ask(connection, "demo/reader", "two")
    first, second = demo.requests()
    assert first["body"] is None
    assert first["headers"]["authorization"] == "Bearer abc"
    assert second["body"]["messages"][0]["content"] == "two"
    assert second["n"] == first["n"] + 1
    assert first["connection"] == second["connection"]
    assert before <= first["time"] <= first["ended"] <= second["time"] <= time.monotonic()
    assert (second["finished"], second["cancelled"]) == (True, False)
    assert demo.connections() == {"opened": opened + 1, "open": 1}
    connection.close()
    until(lambda: demo.connections()["open"] == 0)
    demo.clear_requests()
    assert demo.requests() == []


def test_a_disconnect_is_noticed(demo: DemoProcess, connection: HTTPConnection) -> None:
    """When the client closes during a stream, the answer stops and is recorded as cancelled."""
    demo.set_behaviour({"models": {"m": {"failures": [{"kind": "repeat"}], "tokens_per_second": 50}}})
    connection.request("POST", CHAT, chat_body(stream=True))
    response = connection.getresponse()
    assert response.read(100)
    record = demo.requests()[0]
    assert (record["finished"], record["cancelled"], record["ended"]) == (False, False, None)
    response.close()
    connection.close()
    until(lambda: demo.requests()[0]["cancelled"])
    assert demo.requests()[0]["finished"] is False


def test_a_wrong_behaviour_is_refused(demo: DemoProcess, connection: HTTPConnection) -> None:
    """A wrong behaviour sent to the running service is a 400 that names the key; the old one stays."""
    demo.set_behaviour({"models": {"m": {"reply": "still here"}}})
    with pytest.raises(ConfigError, match=r'models\."m"\.delay'):
        demo.set_behaviour({"models": {"m": {"delay": "long"}}})
    assert send(connection, "POST", "/demo/behaviour", "{")[0] == 400
    assert ask(connection)[1]["choices"][0]["message"]["content"] == "still here"


def test_without_inspection_nothing_is_shown_or_kept() -> None:
    """The plain service has no inspection routes and remembers no request."""

    async def look() -> None:
        async with DemoService() as service:

            def talk() -> None:
                connection = HTTPConnection(urlsplit(service.url).netloc, timeout=LIMIT)
                assert ask(connection, "demo/reader")[0] == 200
                for path in ("/demo/requests", "/demo/connections", "/demo/behaviour"):
                    assert send(connection, "GET", path)[0] == 404
                connection.close()

            await asyncio.to_thread(talk)
            assert service.request_log.requests == []

    asyncio.run(look())


def test_a_port_in_use_is_an_error() -> None:
    """A second service on the same port says which port is in use."""

    async def both() -> None:
        async with DemoService() as first:
            port = urlsplit(first.base_url).port or 0
            with pytest.raises(MoaError, match=f"port {port} on 127.0.0.1 is in use"):
                async with DemoService(port=port):
                    pass

    asyncio.run(both())


@pytest.mark.parametrize("port", [-1, 70000])
def test_an_impossible_port_is_an_error(port: int) -> None:
    """A port that does not exist is an error in one line."""

    async def start() -> None:
        async with DemoService(port=port):
            pass

    with pytest.raises(MoaError, match="cannot listen"):
        asyncio.run(start())


def test_a_megabyte_prompt_is_answered_quickly(connection: HTTPConnection) -> None:
    """A prompt of 1 MB is answered in well under two seconds by every demonstration model."""
    prompt = "What do these many words mean, all in all? " * 23_000
    for model in (*DEMO_REFERENCES, DEMO_AGGREGATOR):
        start = time.monotonic()
        assert ask(connection, model, prompt)[0] == 200
        assert in_time(time.monotonic() - start, 2)


def test_the_real_client_understands_it(demo: DemoProcess) -> None:
    """The together SDK reads answers, streams, thinking, usage and errors as it does a real service's."""
    from together import NotFoundError, Together

    demo.set_behaviour({"models": {"m": {"reply": "Hello  there.\n", "reasoning": "Hm."}}})
    with Together(base_url=demo.url, api_key="k", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        whole = client.chat.completions.create(model="m", messages=messages)
        assert whole.choices[0].message is not None
        assert whole.choices[0].message.content == "Hello  there.\n"
        assert whole.usage is not None
        chunks = list(client.chat.completions.create(model="m", messages=messages, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello  there.\n"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
        with pytest.raises(NotFoundError, match="nope"):
            client.chat.completions.create(model="nope", messages=messages)
    assert {record["headers"]["authorization"] for record in demo.requests()} == {"Bearer k"}
