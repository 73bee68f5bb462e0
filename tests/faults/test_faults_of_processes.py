"""Workers, the program and its terminal die at bad moments: replies still come, nothing is left behind."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from running import LIMIT, Tag, end, until, wait, workers
from services import models

from bot.demo.process import DemoProcess
from bot.demo.references import split_prompt

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals of POSIX")

SLOW = {"reply": "word " * 400, "tokens_per_second": 60}
KILLS = 6
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline(models(a={}, judge={}))


@pytest.fixture
def environment(service: DemoProcess, tag: Tag, tmp_path: Path) -> dict[str, str]:
    return tag.environment(
        tmp_path / "home",
        TOGETHER_BASE_URL=service.base_url,
        TOGETHER_API_KEY="the-key",
        MOA_BOT_REFERENCE_MODELS="a",
        MOA_BOT_AGGREGATOR="judge",
        TERM="xterm-256color",
    )


@pytest.fixture
def started(environment: dict[str, str]) -> Iterator[Start]:
    """Start the program with pipes and leave it running; at the end it is killed if it still runs."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "bot", *arguments],
            env=environment | more,
            text=True,
            **pipes,  # type: ignore[call-overload]  # three pipes, whatever the overloads say
        )
        running.append(process)
        return process

    yield start
    end(running)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bot/__init__.py", "json.py", "threading.py", "httpx.py"])
def test_modules_of_the_working_folder_are_not_run(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    """Neither the program nor a process that it starts imports what lies in the working folder."""
    script, module = tmp_path / "bin" / "moa-bot", tmp_path / "work" / name
    script.parent.mkdir()
    script.write_text("from bot.__main__ import main\nmain()\n", encoding="utf-8")
    module.parent.mkdir(parents=True)
    module.write_text("open('was-run', 'w')\nraise SystemExit(9)", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, "ask", "hello"],
        env=environment,
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "work" / "was-run").exists()


def test_killed_workers_cost_no_reply(service: DemoProcess, started: Start) -> None:
    """All workers get SIGKILL while the reference thinks: it is asked again, and the reply comes."""
    service.set_behaviour(models(a={"reply": "from a", "delay": 0.7}, judge={"reply": "the reply"}))
    process = started("ask", "why?")
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    until(service.requests)
    for worker in workers(process.pid):
        worker.kill()
    out, error = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (0, "the reply\n")
    assert "Traceback" not in error
    assert [request["body"]["model"] for request in service.requests()] == ["a", "a", "judge"]


def test_a_worker_killed_under_the_reply(service: DemoProcess, started: Start) -> None:
    """SIGKILL while the reply streams: the rest is asked for, and the person gets one whole reply."""
    text = " ".join(f"word{number}" for number in range(120))
    service.set_behaviour(models(a={"reply": "from a"}, judge={"reply": text, "tokens_per_second": 100}))
    process = started("ask", "why?")
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    assert process.stdout
    begun = process.stdout.read(60)
    for worker in workers(process.pid):
        worker.kill()
    assert begun + process.stdout.read() == f"{text}\n"
    assert wait(process, 10) == 0
    assert process.stderr
    assert "It was asked for the rest" in process.stderr.read()


@pytest.mark.parametrize(
    "arguments", [(), ("--demo",)], ids=["service elsewhere", "with the offline service"]
)
@pytest.mark.parametrize("stage", ["in mid-turn", "between turns"])
def test_nothing_outlives_a_killed_program(
    service: DemoProcess, started: Start, tag: Tag, arguments: tuple[str, ...], stage: str
) -> None:
    """The program gets SIGKILL: two seconds later neither worker nor offline service is there."""
    service.set_behaviour(models(a=SLOW if stage == "in mid-turn" else {}, judge={}))
    offline = {"MOA_BOT_REFERENCE_MODELS": "", "MOA_BOT_AGGREGATOR": ""} if arguments else {}
    process = started(*arguments, **offline)
    assert process.stdin
    assert process.stdout
    process.stdin.write("why do cats purr?\n")
    process.stdin.flush()
    if arguments:
        assert process.stdout.readline()
    else:
        until(service.requests)
    assert workers(process.pid)
    if stage == "between turns" and not arguments:
        until(lambda: any(r["body"]["model"] == "judge" for r in service.requests()))
    process.kill()
    process.communicate(timeout=LIMIT)
    assert tag.none_left(2.0)


@pytest.mark.parametrize("stage", ["at the prompt", "in mid-reply"])
def test_a_closed_window(service: DemoProcess, environment: dict[str, str], tag: Tag, stage: str) -> None:
    """The terminal goes away: the chat ends by itself, what came is kept, and no process is left."""
    service.set_behaviour(models(a={"reply": "from a"}, judge=SLOW))
    child, window = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "bot"], environment)
    seen = b""

    def shows(text: bytes) -> bool:
        nonlocal seen
        with suppress(OSError):
            seen += os.read(window, 65536)
        return text in seen

    try:
        until(lambda: shows(b">>>"))
        if stage == "in mid-reply":
            os.write(window, b"why?\r")
            until(lambda: shows(b"word word"))
    finally:
        os.close(window)
    until(lambda: os.waitpid(child, os.WNOHANG)[0] == child, 5)
    assert tag.none_left(2.0)
    if stage == "in mid-reply":
        [(prompt, reply, status)] = rows(environment)
        assert (prompt, status) == ("why?", "partial")
        assert reply.startswith("word word")


def rows(environment: dict[str, str]) -> list[tuple[str, str, str]]:
    """What the store holds of all turns, read past the program."""
    file = Path(environment["MOA_BOT_HOME"]) / "conversations.db"
    if not file.exists():
        return []
    database = sqlite3.connect(file)
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute("SELECT prompt, reply, status FROM turns ORDER BY id").fetchall()
    finally:
        database.close()


def test_killed_at_any_instant(service: DemoProcess, environment: dict[str, str], started: Start) -> None:
    """SIGKILL at random instants: every prompt that was asked and every reply that was seen is kept."""
    service.set_behaviour(
        models(a={"reply": "from a", "delay": 0.02}, judge={"reply": "the reply is here", "delay": 0.02})
    )
    chance = random.Random(4)
    seen: list[str] = []
    for number in range(KILLS):
        process = started("--json")
        assert process.stdin
        assert process.stdout
        prompts = [f"run {number} prompt {turn}" for turn in range(100)]
        process.stdin.write("".join(f"{prompt}\n" for prompt in prompts))
        process.stdin.flush()
        first = process.stdout.readline() if number % 2 else ""
        time.sleep(chance.uniform(0.0, 0.4 if number % 2 else 1.0))
        process.send_signal(signal.SIGKILL)
        with suppress(BrokenPipeError):  # what was not read of standard input
            out, _ = process.communicate(timeout=LIMIT)
        lines = [line for line in (first + out).splitlines() if line.endswith("}")]
        assert all(json.loads(line)["reply"] == "the reply is here" for line in lines)
        seen += prompts[: len(lines)]
    kept = {prompt: (reply, status) for prompt, reply, status in rows(environment)}
    assert len(kept) == len(rows(environment)), "a prompt was kept twice"
    assert seen
    assert all(kept[prompt] == ("the reply is here", "done") for prompt in seen)
    asked = {split_prompt(request["body"]["messages"][-1]["content"])[0] for request in service.requests()}
    assert asked <= set(kept)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "--continue", "ask", "what now?"],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "the reply is here\n")


def test_programs_side_by_side(service: DemoProcess, environment: dict[str, str], started: Start) -> None:
    """Four programs that write into one store at once lose none of their turns."""
    service.set_behaviour(models(a={"reply": "from a"}, judge={"reply": "the reply"}))
    running = [started() for _ in range(4)]
    for number, process in enumerate(running):
        assert process.stdin
        process.stdin.write("".join(f"window {number} prompt {turn}\n" for turn in range(10)))
        process.stdin.close()
        process.stdin = None
    for process in running:
        out, error = process.communicate(timeout=LIMIT)
        assert (process.returncode, out, error) == (0, "the reply\n" * 10, "")
    kept = rows(environment)
    assert len(kept) == 40
    assert {row[1:] for row in kept} == {("the reply", "done")}
