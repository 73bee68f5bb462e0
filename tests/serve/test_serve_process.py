"""`moa-bot serve` as a process: where it listens, clients that disconnect, silence, and shutdown."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from running import LIMIT, in_time, until, wait

from bot.demo.process import DemoProcess

SLOW = {"reply": "word " * 400, "tokens_per_second": 40}
STALLED = {"failures": [{"kind": "stall"}]}
ASKED = {"model": "moa", "messages": [{"role": "user", "content": "why?"}]}
Serve = Callable[..., Any]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")


def asked(service: DemoProcess, count: int) -> None:
    until(lambda: len(service.requests()) >= count)


@pytest.mark.parametrize("stage", ["references", "reply"])
def test_a_disconnect_cancels_calls(serve: Serve, service: DemoProcess, stage: str) -> None:
    """Within a second all open calls of the request are cancelled at the models' service."""
    reply_begins = stage == "reply"
    first = {} if reply_begins else STALLED
    service.set_behaviour({"models": {"a": first, "b": first, "judge": SLOW}})
    url = httpx.URL(serve().url)
    for stream in (True, False):
        service.clear_requests()
        body = json.dumps({**ASKED, "stream": stream}).encode()
        head = ["POST /v1/chat/completions HTTP/1.1", f"Host: {url.netloc.decode()}"]
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((url.host, url.port or 0), timeout=LIMIT) as client:
            client.sendall("\r\n".join(head).encode() + body)
            asked(service, 3 if reply_begins else 2)
            came = b"" if stream and reply_begins else b"word"
            while b"word" not in came:
                came += client.recv(4096)
        left = time.monotonic()
        until(lambda: all(request["ended"] is not None for request in service.requests()), 5)
        assert in_time(time.monotonic() - left, 1.0)
        cancelled = [request["body"]["model"] for request in service.requests() if request["cancelled"]]
        assert sorted(cancelled) == (["judge"] if reply_begins else ["a", "b"])


def test_a_silent_stream_is_kept_alive(serve: Serve, service: DemoProcess) -> None:
    """Before the first word of the reply, comments are sent; a failure after them is an event."""
    late = {"delay": 0.6, "failures": [{"status": 404}]}
    service.set_behaviour({"models": {"a": late, "b": {}, "judge": {}}})
    answer = serve("--keep_alive", "0.1", "--min_references", "2").post({**ASKED, "stream": True})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *comments, event, last = answer.text.split("\n\n")
    assert len(comments) >= 3
    assert all(comment.startswith(":") and "\n" not in comment for comment in comments)
    assert json.loads(event.removeprefix("data: "))["error"]["code"] == "upstream_error"
    assert last == ""


def test_progress_on_request(serve: Serve) -> None:
    """With moa.progress the stream reports rounds and calls, in chunks without text."""
    answer = serve("--rounds", "2").post({**ASKED, "stream": True, "moa": {"progress": True}})
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    news = [event["moa"]["progress"] for event in events if "moa" in event]
    assert [each["round"] for each in news if each["event"] == "round"] == [1, 2]
    assert sum(each["event"] == "answered" for each in news) == 5
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == "the reply, in seven words or so"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_large_body_over_the_wire(serve: Serve) -> None:
    """A body over the limit gets its 413, and the service goes on."""
    serving = serve()
    answer = serving.post({**ASKED, "padding": "x" * (9 * 2**20)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert serving.post(ASKED).status_code == 200


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_replies_finish(serve: Serve, service: DemoProcess, number: signal.Signals) -> None:
    """Requests in progress are answered, new ones are refused, and the exit code is 0."""
    service.set_behaviour({"models": {"a": {}, "b": {}, "judge": {"reply": "at last", "delay": 0.8}}})
    serving = serve()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(serving.post(ASKED)))
    asking.start()
    asked(service, 3)
    serving.process.send_signal(number)
    asking.join(LIMIT)
    assert answers[0].json()["choices"][0]["message"]["content"] == "at last"
    assert wait(serving.process, 10) == 0
    with pytest.raises(httpx.ConnectError):
        serving.post(ASKED)


@posix
@pytest.mark.parametrize("how", ["late", "twice"])
def test_a_stop_cuts_what_takes_too_long(serve: Serve, service: DemoProcess, how: str) -> None:
    """After the grace time or a second signal, streams end with an error, and waiting requests with a 503."""
    service.set_behaviour({"models": {"a": {}, "b": {}, "judge": SLOW}})
    serving = serve("--stop_after", "0.3" if how == "late" else "60")
    answers: dict[bool, httpx.Response] = {}

    def ask(*, stream: bool) -> None:
        answers[stream] = serving.post({**ASKED, "stream": stream})

    asking = [threading.Thread(target=ask, kwargs={"stream": stream}) for stream in (False, True)]
    for thread in asking:
        thread.start()
    asked(service, 6)
    began = time.monotonic()
    serving.process.send_signal(signal.SIGTERM)
    if how == "twice":
        until(lambda: not listening(serving))
        serving.process.send_signal(signal.SIGTERM)
    assert wait(serving.process, 10) == 0
    assert in_time(time.monotonic() - began, 4)
    for thread in asking:
        thread.join(LIMIT)
    assert (answers[False].status_code, answers[False].json()["error"]["code"]) == (503, "service_stopping")
    if answers[True].status_code == 200:
        assert "service_stopping" in answers[True].text
        assert "[DONE]" not in answers[True].text
    assert "Traceback" not in "".join(serving.said)


def listening(serving: Any) -> bool:
    """Whether its port still takes connections."""
    url = httpx.URL(serving.url)
    with socket.socket() as probe:
        return probe.connect_ex((url.host, url.port or 0)) == 0


def test_a_port_in_use(here: Callable[..., Any], service: DemoProcess) -> None:
    """Exit code 1 in one line, before any worker is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = here("serve", "--port", str(port), env={"TOGETHER_BASE_URL": service.base_url})
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Cannot listen at 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "env", "code", "said"),
    [
        (["--host", "0.0.0.0"], {}, 2, "MOA_BOT_SERVE_KEY"),
        (["--key_env", "NOBODY"], {}, 2, "NOBODY"),
        (["--endpoint", "openai"], {}, 3, "OPENAI_API_KEY"),
    ],
)
def test_refused_to_start(
    here: Callable[..., Any], arguments: list[str], env: dict[str, str], code: int, said: str
) -> None:
    """Beyond loopback without a key, with wrong options, or without the models' keys: an error."""
    done = here("serve", "--port", "0", *arguments, env={"TOGETHER_BASE_URL": "http://127.0.0.1:9/v1", **env})
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_the_extra(tagged: dict[str, str]) -> None:
    """Without the packages for serving, the error names the extra to install."""
    code = (
        "import sys; sys.modules['starlette'] = None; from bot.cli.app import run; sys.exit(run(['serve']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=tagged, capture_output=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 2
    assert b'pip install "moa-bot[serve]"' in done.stderr


def test_beyond_loopback_with_a_key(serve: Serve) -> None:
    """It starts and requires the key, which neither its output nor its command line shows."""
    key = "a-bearer-key-of-many-letters"
    serving = serve("--host", "0.0.0.0", "--key_env", "MY_KEY", "--verbose", env={"MY_KEY": key})
    assert serving.post(ASKED).status_code == 401
    answer = serving.post(ASKED, headers={"Authorization": f"Bearer {key}"})
    assert answer.json()["choices"][0]["message"]["content"] == "the reply, in seven words or so"
    assert key not in " ".join(psutil.Process(serving.process.pid).cmdline())
    serving.process.terminate()
    wait(serving.process, 10)
    until(lambda: any("turn done" in line for line in serving.said), 5)
    assert key not in "".join(serving.said)


def test_nothing_is_kept(serve: Serve, here: Callable[..., Any]) -> None:
    """What clients ask is not in the user's history."""
    assert serve().post(ASKED).status_code == 200
    assert here("history", "list").stdout == ""
