"""What the benchmarks share: rows of the table, floors as scripts, the simulated models."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bot.demo.process import DemoProcess

ROOT = Path(__file__).parents[2]
# An installed program is compiled once, by pip or by its first run. Where PYTHONDONTWRITEBYTECODE is set,
# as in many containers, a checkout would be compiled at every start, and the libraries beside it not.
compileall.compile_dir(ROOT / "bot", quiet=2)

MODELS = tuple(f"model-{number}" for number in range(1, 7))


@dataclass(frozen=True)
class Row:
    """A line of the table. `limit` is what `ours` may be at most; None: nothing is asked of it.

    `counts` says that the figure is a count, which is the same on every machine.
    """

    name: str
    unit: str
    ours: float
    floor: float | None = None
    limit: float | None = None
    target: str = ""
    counts: bool = False

    @property
    def held(self) -> bool | None:
        """Whether the target is held, None when there is none."""
        return None if self.limit is None else self.ours <= self.limit


def environment(**more: str) -> dict[str, str]:
    """The environment without the settings of whoever runs this."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MOA_BOT_", "TOGETHER_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def simulated(models: Mapping[str, Mapping[str, Any]]) -> Iterator[DemoProcess]:
    """Start the offline service with these models."""
    import json

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "behaviour.json"
        file.write_text(json.dumps({"models": {name: dict(model) for name, model in models.items()}}))
        with DemoProcess(file, inspect=True) as service:
            yield service


@contextmanager
def home() -> Iterator[str]:
    """A home for one run of the program."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def seconds_of(command: Sequence[str], times: int = 7, **env: str) -> float:
    """Return the median seconds of a command from its start to its end."""
    taken = []
    for _ in range(times):
        started = time.monotonic()
        subprocess.run(command, env=environment(**env), check=True, capture_output=True, cwd=ROOT)
        taken.append(time.monotonic() - started)
    return median(taken)


def python(code: str) -> list[str]:
    """Return the command that runs this code."""
    return [sys.executable, "-c", code]


def moa(*arguments: str) -> list[str]:
    """Return the command that runs the program as its console script does."""
    return [sys.executable, "-c", "import sys; from bot.__main__ import main; sys.exit(main())", *arguments]


def alternating(measures: Sequence[Callable[[], float]], times: int) -> list[float]:
    """Return the median of each measure, taken in turns: what disturbs one disturbs all."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(times):
        for values, measure in zip(taken, measures, strict=True):
            values.append(measure())
    return [median(values) for values in taken]
