"""The event loop never waits for a worker that does not read."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from running import LIMIT, in_time
from services import models

from bot.demo.process import DemoProcess
from bot.messages import Completion, Endpoint, Message, Request
from bot.workers.pool import Pool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped on Windows")


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline(models(a={"reply": "one two"}))


MASKS = """
import signal
from multiprocessing import resource_tracker
from bot.workers.forkserver import starting_processes

def blocked():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

with starting_processes():
    resource_tracker.ensure_running()  # multiprocessing does so before it starts a process
    inside = blocked()
print(inside, blocked())
"""


@pytest.mark.slow
def test_ctrl_c_is_blocked_in_processes_that_start() -> None:
    """Also in the first one; a terminal sends SIGINT to all of them."""
    done = subprocess.run(
        [sys.executable, "-c", MASKS], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")


def test_a_stopped_worker_does_not_block_the_event_loop(service: DemoProcess) -> None:
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
        pool = Pool(1, frozen_seconds=60)
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

    assert in_time(asyncio.run(run()), 2)
    arrived = [request["body"]["messages"][0]["content"] for request in service.requests()]
    assert sorted(arrived) == sorted(["first", *prompts])
