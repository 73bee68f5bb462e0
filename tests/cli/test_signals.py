"""Ctrl-C and SIGTERM at every stage: the right exit code, what came is kept, no process survives."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from running import in_time, until, wait

from bot.demo.process import DemoProcess

SLOW = {"reply": "word " * 400, "tokens_per_second": 40}
STAGES: dict[str, dict[str, Any]] = {
    "before the first word": {"a": {"failures": [{"kind": "stall"}]}, "b": {}, "judge": {}},
    "while references write": {"a": SLOW, "b": SLOW, "judge": {}},
    "while the aggregator is silent": {"a": {}, "b": {}, "judge": {"failures": [{"kind": "stall"}]}},
    "while the reply streams": {"a": {}, "b": {}, "judge": SLOW},
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("way", ["ask", "pipe"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_interrupted(
    start: Callable[..., subprocess.Popen[bytes]],
    moa: Callable[..., Any],
    environment: dict[str, str],
    service: DemoProcess,
    stage: str,
    number: signal.Signals,
    way: str,
) -> None:
    """The program ends at once with 130, keeps prompt and partial reply, and leaves no process."""
    service.set_behaviour({"models": STAGES[stage]})
    process = start(["ask", "why?"] if way == "ask" else [], env=environment)
    assert process.stdin
    process.stdin.write(b"" if way == "ask" else b"why?\nand then?\n")
    process.stdin.close()
    asked = 3 if "reply" in stage or "aggregator" in stage else 2
    until(lambda: len(service.requests()) >= asked)
    if stage == "while the reply streams":
        assert process.stdout
        assert process.stdout.read(5) == b"word "
    process.send_signal(number)
    sent = time.monotonic()
    assert wait(process, 10) == 130
    assert in_time(time.monotonic() - sent, 2)
    assert process.stderr
    assert b"Traceback" not in process.stderr.read()
    shown = moa("history", "show").stdout
    assert "why?" in shown
    assert ("word word" in shown) == (stage == "while the reply streams")


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.3, 0.45])
def test_interrupted_while_starting(
    start: Callable[..., subprocess.Popen[bytes]],
    environment: dict[str, str],
    service: DemoProcess,
    delay: float,
) -> None:
    """At whatever moment of the start Ctrl-C comes, there is no traceback and nothing is left."""
    service.set_behaviour({"models": STAGES["before the first word"]})
    process = start(["ask", "why?"], env=environment, stdin=subprocess.DEVNULL)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    code = wait(process, 10)
    assert process.stderr
    error = process.stderr.read()
    if b"Traceback" in error:  # Python itself was still starting, on a busy machine for longer
        assert b"/bot/" not in error
    else:
        assert code in {130, -signal.SIGINT}
