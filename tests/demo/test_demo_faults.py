"""Every kind of fault, as a client of the service sees it, streamed and not."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPResponse, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import psutil
import pytest
from running import LIMIT, until

from bot.demo.fault_rules import KIND_KEYS
from bot.demo.process import DemoProcess, start_demo

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = "/v1/chat/completions"
REPLY = "one two three four"
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
BOTH = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture(scope="module")
def demo(processes: None) -> Iterator[DemoProcess]:
    """One service for all tests of this module; it has to end."""
    with start_demo(inspect=True) as demo:
        yield demo
    assert not psutil.pid_exists(demo.pid)


class Client:
    """One connection to the service, whose model "m" fails by the given rules."""

    def __init__(self, demo: DemoProcess, *rules: dict[str, Any], **model: Any) -> None:
        demo.set_behaviour({"models": {"m": {"reply": REPLY, "failures": list(rules), **model}}})
        demo.clear_requests()
        self.connection = HTTPConnection(urlsplit(demo.url).netloc, timeout=LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, *, stream: bool = False, prompt: str = "hi", **fields: Any) -> HTTPResponse:
        """Ask the model; the body is not read yet."""
        messages = [{"role": "user", "content": prompt}]
        body = {"model": "m", "messages": messages, "stream": stream, **fields}
        self.connection.request("POST", CHAT, json.dumps(body))
        return self.connection.getresponse()

    def status(self, **fields: Any) -> int:
        """Ask, and return the status only."""
        response = self.ask(**fields)
        response.read()
        return response.status

    def whole(self) -> Any:
        """Ask without a stream; return the JSON."""
        return json.loads(self.ask().read())

    def events(self) -> list[Any]:
        """Ask for a stream; return the data of its events, parsed where they are JSON objects."""
        lines = self.ask(stream=True).read().decode().split("\n\n")
        assert lines.pop() == ""
        return [json.loads(line[6:]) if line.startswith("data: {") else line for line in lines]


def text_of(events: list[Any]) -> str:
    """Put the text of the deltas together."""
    choices = [choice for event in events if isinstance(event, dict) for choice in event.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_every_kind_has_a_test() -> None:
    """Every kind of fault has a test in this file."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert not [kind for kind in KIND_KEYS if source.count(f'"{kind}"') == 0]


@BOTH
def test_status(demo: DemoProcess, *, stream: bool) -> None:
    """ "status" answers with the status, the message in OpenAI's shape and the headers, then succeeds."""
    rule = {"status": 429, "times": 2, "message": "Slow down.", "code": "slow", "headers": {"Retry-After": 2}}
    with Client(demo, rule) as client:
        for _ in range(2):
            response = client.ask(stream=stream)
            error = json.loads(response.read())["error"]
            assert (response.status, response.headers["retry-after"]) == (429, "2")
            assert error == {
                "message": "Slow down.",
                "type": "rate_limit_error",
                "code": "slow",
                "param": None,
            }
        assert client.status(stream=stream) == 200
        # All on one connection: a refusal is no reason to close it.
        assert len({record["connection"] for record in demo.requests()}) == 1


def test_status_by_default_is_500(demo: DemoProcess) -> None:
    """A rule without other keys is a 500 each time; the model's own headers are sent."""
    with Client(demo, {"kind": "status"}, headers={"x-ratelimit-limit": 60}) as client:
        response = client.ask()
        assert json.loads(response.read())["error"]["type"] == "server_error"
        assert (response.status, response.headers["x-ratelimit-limit"]) == (500, "60")


def test_rules_pick_their_requests(demo: DemoProcess) -> None:
    """`every`, `skip`, `contains`, `references` and `probability` choose which requests fail."""
    with Client(demo, {"every": 2}) as client:
        assert [client.status() for _ in range(4)] == [200, 500, 200, 500]
    with Client(demo, {"skip": 1, "times": 1, "status": 503}) as client:
        assert [client.status() for _ in range(3)] == [200, 503, 200]
    with Client(demo, {"contains": "boom"}) as client:
        assert [client.status(prompt=prompt) for prompt in ("a", "a boom", "b")] == [200, 500, 200]
    with Client(demo, {"references": True}) as client:
        system = "Answers of models:\n<answer 1 of 1 · 3f9a1c02b7de>\nx\n</answer 1 · 3f9a1c02b7de>"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": "x"}]
        assert (client.status(), client.status(messages=messages)) == (200, 500)
    with Client(demo, {"probability": 0.5, "seed": 3}) as client:
        first = [client.status() for _ in range(20)]
    with Client(demo, {"probability": 0.5, "seed": 3}) as client:
        assert [client.status() for _ in range(20)] == first
    assert set(first) == {200, 500}


@BOTH
def test_refuse(demo: DemoProcess, *, stream: bool) -> None:
    """ "refuse" closes the connection without a byte; the next connection is served."""
    with Client(demo, {"kind": "refuse", "times": 1}) as client:
        with pytest.raises(RemoteDisconnected):
            client.ask(stream=stream)
        client.connection.close()
        assert client.status(stream=stream) == 200


@BOTH
def test_reset(demo: DemoProcess, *, stream: bool) -> None:
    """ "reset" breaks the connection with RST before the headers."""
    with Client(demo, {"kind": "reset"}) as client, pytest.raises(ConnectionResetError) as caught:
        client.ask(stream=stream)
    # A close without RST is reported as RemoteDisconnected, which is a ConnectionResetError as well.
    assert not isinstance(caught.value, RemoteDisconnected)


@BOTH
def test_stall(demo: DemoProcess, *, stream: bool) -> None:
    """ "stall" never answers; the service notices when the client disconnects."""
    with Client(demo, {"kind": "stall"}) as client:
        client.connection.timeout = 0.2
        with pytest.raises(TimeoutError):
            client.ask(stream=stream)
    until(lambda: demo.requests()[0]["cancelled"])


@BOTH
def test_redirect(demo: DemoProcess, *, stream: bool) -> None:
    """ "redirect" answers 307, or another status, with a Location."""
    with Client(demo, {"kind": "redirect", "location": "http://other.invalid/v1", "times": 1}) as client:
        response = client.ask(stream=stream)
        assert (response.status, response.headers["location"]) == (307, "http://other.invalid/v1")
        response.read()
        assert client.status() == 200


@BOTH
def test_html(demo: DemoProcess, *, stream: bool) -> None:
    """ "html" is a page with status 200 in place of JSON."""
    with Client(demo, {"kind": "html"}) as client:
        response = client.ask(stream=stream)
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/html")
        assert response.read().startswith(b"<!doctype html>")


@BOTH
def test_context_length(demo: DemoProcess, *, stream: bool) -> None:
    """ "context_length" is OpenAI's 400 with both numbers; with a limit, only above it."""
    with Client(demo, {"kind": "context_length"}) as client:
        response = client.ask(stream=stream, max_tokens=10)
        error = json.loads(response.read())["error"]
        assert (response.status, error["code"]) == (400, "context_length_exceeded")
        assert (
            "context length is 14 tokens. However, you requested 15 tokens (5 in the messages"
            in error["message"]
        )
    rule = {"kind": "context_length", "limit": 15, "message": "{requested} > {limit}", "times": 1}
    with Client(demo, rule) as client:
        assert client.status(stream=stream, max_tokens=10) == 200
        response = client.ask(stream=stream, max_tokens=11)
        assert json.loads(response.read())["error"]["message"] == "16 > 15"


def read_until_broken(response: HTTPResponse) -> tuple[bytes, Exception]:
    """Read a body that breaks off; return what arrived, and the error."""
    content = b""
    try:
        while piece := response.read1():
            content += piece
        # An early end of chunks is told only by a read of all the rest.
        response.read()
    except (IncompleteRead, OSError) as error:
        return content, error
    pytest.fail("the body came to its proper end")


@pytest.mark.parametrize("reset", [False, True])
@BOTH
def test_cut(demo: DemoProcess, *, stream: bool, reset: bool) -> None:
    """ "cut" breaks the connection after so many tokens, by close or by RST; what came before arrives."""
    with Client(demo, {"kind": "cut", "tokens": 2, "reset": reset}) as client:
        response = client.ask(stream=stream)
        assert response.status == 200
        content, broken = read_until_broken(response)
        assert isinstance(broken, ConnectionResetError if reset else IncompleteRead)
        assert b"DONE" not in content
        assert content.count(b"data: ") == (2 if stream else 0)
        assert (b" two" if stream else b"one two") in content
        assert b"three" not in content


def test_cut_at_the_end_of_a_short_answer(demo: DemoProcess) -> None:
    """A cut after more tokens than there are takes effect before the end of the answer."""
    with Client(demo, {"kind": "cut", "tokens": 99}) as client, pytest.raises(IncompleteRead):
        client.ask(stream=True).read()


@BOTH
def test_stall_after(demo: DemoProcess, *, stream: bool) -> None:
    """ "stall_after" sends so many tokens and then nothing, on an open connection."""
    with Client(demo, {"kind": "stall_after", "tokens": 2}) as client:
        response = client.ask(stream=stream)
        assert client.connection.sock is not None
        client.connection.sock.settimeout(0.3)
        content, broken = read_until_broken(response)
        assert isinstance(broken, TimeoutError)
        assert (b" two" if stream else b"one two") in content
        assert b"three" not in content
        response.close()
    until(lambda: demo.requests()[0]["cancelled"])


def test_garbage(demo: DemoProcess) -> None:
    """ "garbage" is a data line, or a whole body, that is not JSON."""
    with Client(demo, {"kind": "garbage", "tokens": 1}) as client:
        lines = client.ask(stream=True).read().decode().split("\n\n")
        with pytest.raises(json.JSONDecodeError):
            json.loads(lines[1].removeprefix("data: "))
        assert "four" in lines[4]
        response = client.ask()
        assert response.headers["content-type"] == "application/json"
        with pytest.raises(json.JSONDecodeError):
            json.loads(response.read())


@BOTH
def test_invalid_utf8(demo: DemoProcess, *, stream: bool) -> None:
    """ "invalid_utf8" puts bytes into the text that are not UTF-8; the rest arrives."""
    with Client(demo, {"kind": "invalid_utf8", "tokens": 2}) as client:
        content = client.ask(stream=stream).read()
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        repaired = content.decode(errors="replace")
        assert "four" in repaired
        if not stream:
            assert json.loads(repaired)["choices"][0]["message"]["content"].startswith("one two\ufffd")


def test_error_in_stream(demo: DemoProcess) -> None:
    """ "error_in_stream" is an error object after so many tokens, and no [DONE]."""
    with Client(demo, {"kind": "error_in_stream", "tokens": 2, "message": "Lost it."}) as client:
        events = client.events()
        assert text_of(events) == "one two"
        assert events[-1]["error"]["message"] == "Lost it."
        assert client.whole()["error"]["message"] == "Lost it."
        # The stream was ended properly, so the connection goes on.
        assert len({record["connection"] for record in demo.requests()}) == 1


def test_empty(demo: DemoProcess) -> None:
    """ "empty" is an answer without text that is otherwise correct."""
    with Client(demo, {"kind": "empty"}) as client:
        assert client.whole()["choices"][0]["message"]["content"] == ""
        events = client.events()
        assert text_of(events) == ""
        assert events[-1] == "data: [DONE]"
        assert events[-2]["usage"]["completion_tokens"] == 0


def test_null_content(demo: DemoProcess) -> None:
    """ "null_content" has null in place of the text."""
    with Client(demo, {"kind": "null_content"}) as client:
        assert client.whole()["choices"][0]["message"] == {"role": "assistant", "content": None}
        assert client.events()[0]["choices"][0]["delta"]["content"] is None


def test_no_choices(demo: DemoProcess) -> None:
    """ "no_choices" has an empty list of choices."""
    with Client(demo, {"kind": "no_choices"}) as client:
        assert client.whole()["choices"] == []
        events = client.events()
        assert [event["choices"] for event in events[:-1]] == [[]]
        assert events[-1] == "data: [DONE]"


def test_empty_delta(demo: DemoProcess) -> None:
    """ "empty_delta" ends with a delta of {} and no usage; all the text is there."""
    with Client(demo, {"kind": "empty_delta"}) as client:
        events = client.events()
        assert text_of(events) == REPLY
        assert events[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
        assert not any("usage" in event for event in events[:-1])
        assert "usage" not in client.whole()


def test_no_finish(demo: DemoProcess) -> None:
    """ "no_finish" never says why the answer ended."""
    with Client(demo, {"kind": "no_finish"}) as client:
        events = client.events()
        assert text_of(events) == REPLY
        assert {event["choices"][0]["finish_reason"] for event in events[:-1]} == {None}
        assert client.whole()["choices"][0]["finish_reason"] is None


def test_no_done(demo: DemoProcess) -> None:
    """ "no_done" ends the stream properly but without its [DONE]."""
    with Client(demo, {"kind": "no_done"}) as client:
        events = client.events()
        assert text_of(events) == REPLY
        assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_comments(demo: DemoProcess) -> None:
    """ "comments" puts a comment line before every token, which changes nothing else."""
    with Client(demo, {"kind": "comments"}) as client:
        events = client.events()
        assert [event for event in events if isinstance(event, str) and event.startswith(":")] == [
            ": demonstration"
        ] * 4
        assert text_of(events) == REPLY
        assert client.whole()["choices"][0]["message"]["content"] == REPLY


@pytest.mark.parametrize("size", [1, 2, 7])
@BOTH
def test_split(demo: DemoProcess, *, stream: bool, size: int) -> None:
    """ "split" sends pieces of so many bytes, in the middle of lines and characters; the text is complete."""
    text = "zwölf 🙂 日本\n"
    with Client(demo, {"kind": "split", "size": size}, reply=text) as client:
        response = client.ask(stream=stream)
        assert response.headers["transfer-encoding"] == "chunked"
        sizes = []
        content = b""
        while piece := response.read1():
            sizes.append(len(piece))
            content += piece
        assert max(sizes) <= size
        if stream:
            events = [json.loads(line[6:]) for line in content.decode().split("\n\n")[:-2]]
            assert text_of(events) == text
        else:
            assert json.loads(content)["choices"][0]["message"]["content"] == text
        # The end was sent as well: the connection is good for another request.
        assert client.status(stream=stream) == 200


@BOTH
def test_repeat(demo: DemoProcess, *, stream: bool) -> None:
    """ "repeat" sends one token for ever, beyond max_tokens, until the client disconnects."""
    with Client(demo, {"kind": "repeat", "text": " ja"}) as client:
        response = client.ask(stream=stream, max_tokens=5)
        said = 0
        while said < 2000:
            said += response.read1().count(b" ja")
        response.close()
    until(lambda: demo.requests()[0]["cancelled"])


@BOTH
def test_huge(demo: DemoProcess, *, stream: bool) -> None:
    """ "huge" is an answer of so many bytes, at full speed whatever the model's rate."""
    with Client(demo, {"kind": "huge", "bytes": 3_000_000}, tokens_per_second=1) as client:
        content = client.ask(stream=stream, max_tokens=5).read()
        if stream:
            events = [json.loads(line[6:]) for line in content.decode().split("\n\n")[:-2]]
            text = text_of(events)
        else:
            text = json.loads(content)["choices"][0]["message"]["content"]
        assert len(text) == 3_000_000
        assert client.status() == 200


def test_failures_add_up(demo: DemoProcess) -> None:
    """Rules that change an answer work together; the one that ends it comes last."""
    rules = ({"kind": "comments"}, {"kind": "split", "size": 3}, {"kind": "error_in_stream", "tokens": 3})
    with Client(demo, *rules) as client:
        events = client.events()
        assert events[0] == ": demonstration"
        assert text_of(events) == "one two three"
        assert "error" in events[-1]


def test_no_fault_means_an_ordinary_answer(demo: DemoProcess) -> None:
    """Without a rule the answer, its usage and its end are correct."""
    with Client(demo) as client:
        whole = client.whole()
        assert whole["choices"][0]["message"]["content"] == REPLY
        assert whole["usage"] == USAGE
        assert text_of(client.events()) == REPLY


def test_a_client_that_does_not_read_is_waited_for(demo: DemoProcess) -> None:
    """A stream that is not read does not fill the service's memory, and other requests are served."""
    with Client(demo, {"kind": "repeat", "contains": "endless"}) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "endless"}], "stream": True}
        host, port = urlsplit(demo.url).netloc.split(":")
        content = json.dumps(body).encode()
        with socket.create_connection((host, int(port)), timeout=LIMIT) as silent:
            head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
            silent.sendall(head.encode() + content)
            until(lambda: len(demo.requests()) == 1)
            before = psutil.Process(demo.pid).memory_info().rss
            assert [client.status() for _ in range(50)] == [200] * 50
            assert psutil.Process(demo.pid).memory_info().rss - before < 20_000_000
        until(lambda: demo.requests()[0]["cancelled"])
