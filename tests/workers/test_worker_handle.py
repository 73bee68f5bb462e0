"""What the event loop may send itself, and what it leaves to the writer thread."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest
from services import models, start_service

from bot.demo.process import DemoProcess
from bot.messages import Completion, Endpoint, Message, Request
from bot.workers.pool import Pool
from bot.workers.worker_handle import AT_ONCE, is_ready

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="orders go without their thread on Linux only"
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoProcess]:
    with start_service(tmp_path, models(a={"reply": "one two"})) as running:
        yield running


def test_what_is_said_to_fit_does() -> None:
    """A pipe that nobody reads takes an order as long as it is ready, and is not ready for ever."""
    ours, theirs = Pipe()
    with ours, theirs:
        os.set_blocking(ours.fileno(), False)  # what does not fit raises BlockingIOError
        assert is_ready(ours)
        sent = 0
        while is_ready(ours):
            ours.send_bytes(b"x" * AT_ONCE)
            sent += 1
        for _ in range(sent):
            assert theirs.recv_bytes() == b"x" * AT_ONCE
        assert is_ready(ours)


def test_a_pipe_whose_other_end_is_gone() -> None:
    """It is not ready: the reader thread has the news."""
    ours, theirs = Pipe()
    theirs.close()
    with ours:
        assert not is_ready(ours)


def test_a_stopped_worker_holds_nobody_up(service: DemoProcess) -> None:
    """However much it is sent, the event loop goes on; afterwards every prompt arrives whole."""
    prompts = [f"{number} " + "x" * size for number, size in enumerate([20_000, 100, 300_000, 31_000] * 20)]

    def request(prompt: str) -> Request:
        endpoint = Endpoint("test", service.base_url, "a-key")
        return Request(endpoint, "a", (Message("user", prompt),), 0.7, 100, timeout=60)

    async def ask(pool: Pool, prompt: str) -> Completion:
        [*_, last] = [update async for update in pool.ask(request(prompt))]
        assert isinstance(last, Completion)
        return last

    async def run() -> float:
        pool = Pool(1, frozen=60)
        try:
            await ask(pool, "first")
            [pid] = pool.pids
            os.kill(pid, signal.SIGSTOP)
            asking = [asyncio.create_task(ask(pool, prompt)) for prompt in prompts]
            longest = 0.0
            for _ in range(50):
                before = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)
            assert not any(task.done() for task in asking)
            os.kill(pid, signal.SIGCONT)
            assert [one.text for one in await asyncio.gather(*asking)] == ["one two"] * len(prompts)
            return longest
        finally:
            await pool.close()

    assert asyncio.run(run()) < 2
    arrived = [request["body"]["messages"][0]["content"] for request in service.requests()]
    assert sorted(arrived) == sorted(["first", *prompts])
