"""Processes that tests have started, and their end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import Any


def end(running: Iterable[subprocess.Popen[Any]]) -> None:
    """Kill what still runs and close every pipe."""
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was not written yet has no reader any more
                    pipe.close()
