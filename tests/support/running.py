"""Processes that tests have started: how they are recognised, waited for and ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

LIMIT = 120.0
"""Seconds that anything may take on a machine that is busy with other things."""


def slowness() -> float:
    """How many times longer work takes now than on an idle machine: 1, or more where others compute too."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < 0.1:
        pass
    busy = (time.perf_counter() - wall) / 0.1
    recent = psutil.getloadavg()[0] / (os.cpu_count() or 1)
    # A loop alone gets more of a shared core than several processes that wait for each other.
    return max(1.0, 3 * busy if busy > 1.2 else 1.0, 2 * recent)


def in_time(seconds: float, limit: float) -> bool:
    """Whether something took no longer than it may on an idle machine, or in proportion on a busy one."""
    return seconds < limit or seconds < limit * slowness()


def until(condition: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Wait until the condition holds and return what it gave; the test fails if it does not in time."""
    began = time.monotonic()
    while not (found := condition()):
        assert in_time(time.monotonic() - began, seconds), "waited in vain"
        time.sleep(0.01)
    return found


async def until_async(condition: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Like `until`, in an event loop that goes on meanwhile."""
    began = time.monotonic()
    while not (found := condition()):
        assert in_time(time.monotonic() - began, seconds), "waited in vain"
        await asyncio.sleep(0.01)
    return found


def wait(process: subprocess.Popen[Any], seconds: float = LIMIT) -> int:
    """Wait for the end of a process and return its exit code; the test fails if it does not end in time."""
    until(lambda: process.poll() is not None, seconds)
    return int(process.returncode)


@dataclass
class Tag:
    """A mark in the environment by which the processes of a run are recognised."""

    name: str = "MOA_BOT_TEST_RUN"
    value: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """An environment with the mark, a home of its own, and nothing of whoever runs the tests."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MOA_BOT_", "TOGETHER_")) and not name.endswith("_API_KEY")
        }
        return {**own, self.name: self.value, "MOA_BOT_HOME": str(home), "PYTHONUNBUFFERED": "1", **more}

    def processes(self) -> list[psutil.Process]:
        """All that carry the mark, but this one."""
        return [process for process in psutil.process_iter() if self._carries(process)]

    def none_left(self, seconds: float = 10.0) -> bool:
        """Whether all of them end within so many seconds; those that do not are killed."""
        began = time.monotonic()
        while left := self.processes():
            if not in_time(time.monotonic() - began, seconds):
                for process in left:
                    process.kill()
                return False
            time.sleep(0.02)
        return True

    def _carries(self, process: psutil.Process) -> bool:
        try:
            return (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(self.name) == self.value
            )
        except psutil.Error:
            return False


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The worker processes below this process or another: forked by its fork server, or spawned."""
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):
            line = " ".join(child.cmdline())
            if "forkserver" in line:
                found += child.children()
            elif "spawn_main" in line:
                found.append(child)
    return found


def end(running: Iterable[subprocess.Popen[Any]]) -> None:
    """Kill what still runs and close every pipe."""
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was not written yet has no reader any more
                    pipe.close()
