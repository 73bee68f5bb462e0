"""Ctrl-C in each phase of a turn, signals, suspension: what is kept, how soon, and what is left."""

from __future__ import annotations

import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from running import wait
from services import conversation

pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")

from chat_service import Service
from pty_window import PtyWindow

Open = Callable[..., PtyWindow]

CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"
SOON = 1.0
"""Seconds from Ctrl-C to the prompt that a busy machine is granted; 0.2 is what a person is promised."""
STALLS = {"failures": [{"kind": "stall"}]}
WORDS = "word " * 400
SLOW = {"reply": WORDS, "tokens_per_second": 40}
QUICK = {"reply": "an answer that is long enough to be of use"}


def turns(home: Path) -> list[tuple[str, str, str]]:
    """What is kept: (prompt, status, reply) of every turn."""
    with closing(sqlite3.connect(home / "conversations.db")) as database:
        return database.execute("SELECT prompt, status, reply FROM turns ORDER BY rowid").fetchall()


def stopped(talk: PtyWindow) -> float:
    """Press Ctrl-C and wait for the prompt; returns the seconds that it took."""
    talk.type(CTRL_C)
    return talk.prompt()


def test_ctrl_c_in_each_phase(window: Open, service: Service, home: Path) -> None:
    """In the references the first press goes on, the second stops; of a reply the beginning is kept."""
    service.says(a=QUICK, b=STALLS, judge=QUICK)
    times = {}
    with window() as talk:
        talk.prompt()
        talk.type("first\r")
        talk.shows("✓ a")
        times["hurry"] = stopped(talk)
        assert "  1 of 2 answered; left out: b (not waited for)\n" in talk.text
        assert "an answer that is long enough to be of use\n\n  " in talk.text
        assert len(service.bodies()) == 1
        assert QUICK["reply"] in service.bodies()[0]["messages"][0]["content"]

        talk.type("second\r")
        talk.until(lambda: len(service.prompts("b")) == 2)
        service.says(a=QUICK, b=STALLS, judge=STALLS)
        talk.type(CTRL_C)
        talk.until(lambda: len(service.bodies()) == 2)
        talk.type(CTRL_C)
        times["stop before the reply"] = talk.prompt("second")
        assert "\n  Stopped before the reply began.\n>>> second" in talk.text
        talk.type(CTRL_C)
        talk.prompt()

        service.says(a=QUICK, b=QUICK, judge=SLOW)
        talk.type("third\r")
        talk.shows("word word word")
        talk.type("typed meanwhile")
        talk.type(CTRL_C)
        times["stop in the reply"] = talk.prompt("typed meanwhile")
        assert "\n…\n" in talk.text
        assert "partial: stopped" in talk.text

        service.says(a=QUICK, b=QUICK, judge=QUICK)
        talk.type("\r")
        talk.until(lambda: len(service.bodies()) == 4)
        talk.prompt()
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()
    kept = turns(home)
    assert [(prompt, status) for prompt, status, _ in kept] == [
        ("first", "done"), ("second", "failed"), ("third", "partial"), ("typed meanwhile", "done"),
    ]  # fmt: skip
    part = kept[2][2]
    assert part.startswith("word word word")
    assert len(part) < len(WORDS)
    assert conversation(service.bodies()[-1]) == ["first", QUICK["reply"], "third", part, "typed meanwhile"]
    print({what: f"{seconds:.3f} s" for what, seconds in times.items()})
    assert max(times.values()) < SOON


def test_ctrl_c_twice_at_once(window: Open, service: Service, home: Path) -> None:
    """Two presses while the references think stop the turn; no reply is asked for, the prompt is back."""
    service.says(a=STALLS, b=STALLS)
    with window("--rounds", "2") as talk:
        talk.prompt()
        talk.type("first\r")
        talk.until(lambda: len(service.prompts("b")) == 1)
        talk.type(CTRL_C + CTRL_C)
        assert talk.prompt("first") < SOON
        assert talk.text.endswith(">>> first\n\n  Stopped before the reply began.\n>>> first")
        assert service.bodies() == []
    assert turns(home)[0][:2] == ("first", "failed")


def test_ctrl_c_in_the_first_of_two_rounds(window: Open, service: Service) -> None:
    """The rounds to come are left out, and it says so."""
    service.says(a=QUICK, b=STALLS)
    with window("--rounds", "2") as talk:
        talk.prompt()
        talk.type("first\r")
        talk.shows("✓ a")
        assert stopped(talk) < SOON
        words = " ".join(talk.text.split())
        assert "Stopped waiting in round 1 of 2: the reply is made from the answers that were there." in words
        assert talk.text.count("the reply is made from") == 1
        assert len(service.prompts("a")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_signals_at_the_prompt(window: Open, number: signal.Signals) -> None:
    """The program ends with 130 and leaves the terminal as it was; half a line is nobody's business."""
    with window() as talk:
        talk.prompt()
        talk.type("half a thought")
        talk.prompt("half a thought")
        talk.signal(number)
        assert talk.end() == 130
        assert "Traceback" not in talk.text
        talk.assert_as_found()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_signals_in_a_turn(window: Open, service: Service, home: Path, number: signal.Signals) -> None:
    """The same while references think or the reply streams; what has come by then is kept."""
    service.says(a=QUICK, b=QUICK, judge=SLOW)
    with window() as talk:
        talk.prompt()
        talk.type("why?\r")
        talk.shows("word word word")
        talk.signal(number)
        assert talk.end() == 130
        assert "Traceback" not in talk.text
        talk.assert_as_found()
    ((prompt, status, reply),) = turns(home)
    assert (prompt, status) == ("why?", "partial")
    assert reply.startswith("word word")


def test_a_window_that_is_closed(window: Open, service: Service, home: Path) -> None:
    """When the terminal itself goes away in the middle of a turn, the program ends and keeps what came."""
    service.says(a=QUICK, b=QUICK, judge=SLOW)
    with window() as talk:
        talk.prompt()
        talk.type("why?\r")
        talk.shows("word word word")
        talk.close()
        assert wait(talk.process, 10) is not None
    assert turns(home)[0][:2] == ("why?", "partial")


@pytest.fixture
def shell(tagged: dict[str, str], environment: dict[str, str], service: Service) -> Callable[[], PtyWindow]:
    """A window with a shell that has job control."""

    def start() -> PtyWindow:
        env = {**tagged, **environment, "PS1": "$ ", "HISTFILE": ""}
        del env["COLUMNS"], env["LINES"]
        return PtyWindow(["bash", "--norc", "--noprofile", "-i"], env)

    return start


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash for job control")
def test_suspended_and_brought_back(shell: Callable[[], PtyWindow], service: Service) -> None:
    """Ctrl-Z gives the shell back at the prompt, while models think and in the reply; `fg` goes on."""
    service.says(
        a=QUICK,
        b={**QUICK, "delay": 1.5},
        judge={"reply": " ".join(f"w{n:03}" for n in range(120)), "tokens_per_second": 120},
    )
    with shell() as talk:
        talk.until(lambda: talk.here == "$")
        talk.type(f"{sys.executable} -m bot\r")
        talk.prompt()
        talk.type("half a thought")
        talk.prompt("half a thought")
        suspend(talk)
        talk.type("fg\r")
        talk.prompt("half a thought")
        talk.type("\r")
        talk.shows("✓ a")
        suspend(talk)
        assert "✓ a" not in talk.text
        talk.type("fg\r")
        talk.shows("✓ a")
        talk.shows("w030")
        suspend(talk)
        talk.type("fg\r")
        talk.prompt()
        assert [int(n) for n in re.findall(r"\bw(\d{3})\b", talk.text)] == list(range(120))
        talk.type(CTRL_D)
        talk.until(lambda: talk.here == "$")
        talk.emulator.assert_unchanged()
        talk.type("exit\r")
        talk.end()


def suspend(talk: PtyWindow) -> None:
    """Press Ctrl-Z, wait for the shell, and see that its terminal is a usual one."""
    talk.type(CTRL_Z)
    talk.until(lambda: talk.here == "$", "the shell")
    processes = psutil.Process(talk.process.pid).children(recursive=True)
    assert any(process.status() == psutil.STATUS_STOPPED for process in processes)
    talk.type("echo $((6 * 7))\r")
    talk.shows("\n42\n")
