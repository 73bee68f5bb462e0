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

LIMIT = 60.0
"""Seconds that anything may take on a machine that is busy with other things."""


def until(condition: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Wait until the condition holds and return what it gave; the test fails if it never does."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


async def until_async(condition: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Like `until`, in an event loop that goes on meanwhile."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)
    return found


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
        end = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > end:
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
