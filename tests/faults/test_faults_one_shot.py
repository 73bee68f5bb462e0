"""Every fault with one question: each at one place, in turn, a program for each."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest
from faulty import FAULTS, PLACES, REPLY, Cell, Kept, check_kept, expected, kept, variables
from running import LIMIT, Tag, in_time
from services import start_service

from bot.demo.process import DemoProcess

pytestmark = pytest.mark.slow
AT_ONCE = 4


def _cells() -> list[Cell]:
    """Each fault that stays at the next of the places at which it can strike."""
    cells = []
    for number, fault in enumerate(fault for fault in FAULTS if "times" not in fault.rule):
        place = PLACES[number % len(PLACES)]
        cells.append(Cell(fault, "after" if place == "before" and fault.late else place))
    return cells


CELLS = _cells()


@dataclass
class Came:
    """What came of a question."""

    done: subprocess.CompletedProcess[str]
    seconds: float
    kept: Kept
    survived: bool


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Came]:
    """Ask them all, some at a time."""
    folder = tmp_path_factory.mktemp("one-shot")
    free: SimpleQueue[DemoProcess] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            free.put(stack.enter_context(start_service(folder, {})))
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        done = list(threads.map(lambda cell: _ask(cell, folder / str(cell), free), CELLS))
    return dict(zip(map(str, CELLS), done, strict=True))


def _ask(cell: Cell, home: Path, free: SimpleQueue[DemoProcess]) -> Came:
    service, tag = free.get(), Tag()
    service.set_behaviour(cell.behaviour())
    environment = tag.environment(
        home, TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="the-key", **variables(cell.place)
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bot", "ask", cell.prompt],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment,
        check=False,
    )
    seconds = time.monotonic() - started
    free.put(service)
    return Came(done, seconds, kept(home, cell.prompt), not tag.none_left())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_comes_of_a_fault_in_one_question(came: dict[str, Came], cell: Cell) -> None:
    """Reply on stdout, message on stderr, the exit code, the time, the stored turn; no process is left."""
    what, want, fault = came[str(cell)], expected(cell), cell.fault
    out, error = what.done.stdout, what.done.stderr
    # A discarded text that has been streamed already stands before the reply, with a blank line between.
    shown = out.removesuffix("\n")
    assert want.reply((shown.rpartition("\n\n")[2] if cell.place == "before" else shown) or None)
    assert all(part in error for part in want.said), error
    if cell.place in {"one", "second"} and fault.kind and not fault.torn:
        assert f"alpha left out: {fault.kind}" in error
    if want.status == "done":
        assert out == f"{REPLY}\n"
        assert cell.place == "after" or fault.kind or fault.torn or error == ""
    assert "Traceback" not in error
    assert what.done.returncode == want.code
    assert in_time(what.seconds, cell.bound + 6)
    assert not what.survived
    check_kept(cell, what.kept)
