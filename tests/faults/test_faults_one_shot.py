"""Every fault with one question: each at one place, in turn; a program of its own for each place."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty import FAULTS, PLACES, REPLY, Cell, Kept, check_kept, expected, kept, options, variables
from running import LIMIT, Tag, in_time, workers
from services import start_service

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.ask import ask_once
from bot.demo.process import DemoProcess
from bot.settings.settings import Settings

pytestmark = pytest.mark.slow
AT_ONCE = 6
"""Programs that run side by side, each with a service of its own."""


def _cells() -> list[Cell]:
    """Each fault that stays at the next of the places at which it can strike."""
    cells = []
    for number, fault in enumerate(fault for fault in FAULTS if "times" not in fault.rule):
        place = PLACES[number % len(PLACES)]
        cells.append(Cell(fault, "after" if place == "before" and fault.late else place))
    return cells


CELLS = _cells()
OWN_PROCESS = CELLS[: len(PLACES)]
"""Cells that are run as a user does, too: one at each place."""


@dataclass
class Came:
    """What came of a question."""

    code: int
    out: str
    error: str
    seconds: float
    kept: Kept


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Came]:
    """Ask them all in this process, side by side, with the streams and exit codes of a program."""
    folder = tmp_path_factory.mktemp("one-shot")
    home = folder / "home"
    home.mkdir()
    # Programs side by side do not give signals back in the order in which they took them.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    with ExitStack() as stack:
        services = {f"lane{lane}": stack.enter_context(start_service(folder, {})) for lane in range(AT_ONCE)}
        config = "".join(
            f'[endpoints.{name}]\nbase_url = "{service.base_url}"\n' for name, service in services.items()
        )
        (home / "config.toml").write_text(config, encoding="utf-8")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MOA_BOT_HOME", str(home))
        try:
            done = asyncio.run(_all_lanes(home, services))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return done


async def _all_lanes(home: Path, services: Mapping[str, DemoProcess]) -> dict[str, Came]:
    done: dict[str, Came] = {}
    cells = iter(CELLS)

    async def lane(name: str, service: DemoProcess) -> None:
        for cell in cells:
            await asyncio.to_thread(service.set_behaviour, cell.behaviour())
            started = time.monotonic()
            code, out, error = await _ask(load_settings({**options(cell.place), "endpoint": name}), cell)
            seconds = time.monotonic() - started
            done[str(cell)] = Came(
                code, out, error, seconds, await asyncio.to_thread(kept, home, cell.prompt)
            )

    await asyncio.gather(*(lane(name, service) for name, service in services.items()))
    return done


async def _ask(settings: Settings, cell: Cell) -> tuple[int, str, str]:
    """The exit code, and what was written to stdout and to stderr."""
    streams = Streams(
        None,
        io.StringIO(),
        io.StringIO(),
        stdin_is_terminal=False,
        stdout_is_terminal=False,
        stderr_is_terminal=False,
    )
    code = await ask_once(settings, streams, [cell.prompt], load_settings)
    return int(code), streams.stdout.getvalue(), streams.stderr.getvalue()


@pytest.fixture(scope="module")
def as_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Came]:
    """Ask some as programs of their own; none of their processes may be left."""
    folder = tmp_path_factory.mktemp("programs")
    done = {}
    with start_service(folder, {}) as service:
        for cell in OWN_PROCESS:
            home, tag = folder / str(cell), Tag()
            service.set_behaviour(cell.behaviour())
            started = time.monotonic()
            program = subprocess.run(
                [sys.executable, "-m", "bot", "ask", cell.prompt],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                env=tag.environment(
                    home,
                    TOGETHER_BASE_URL=service.base_url,
                    TOGETHER_API_KEY="the-key",
                    **variables(cell.place),
                ),
                check=False,
            )
            seconds = time.monotonic() - started
            assert tag.none_left(), f"processes survived {cell}"
            what = kept(home, cell.prompt)
            done[str(cell)] = Came(program.returncode, program.stdout, program.stderr, seconds, what)
    return done


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_comes_of_a_fault_in_one_question(in_process: dict[str, Came], cell: Cell) -> None:
    """Reply on stdout, message on stderr, the exit code, the time, the stored turn."""
    _check(in_process[str(cell)], cell)


def test_no_worker_is_left(in_process: dict[str, Came]) -> None:
    """After the questions no worker process of theirs is there."""
    assert in_process
    assert workers() == []


@pytest.mark.parametrize("cell", OWN_PROCESS, ids=str)
def test_what_comes_of_a_fault_in_a_program_of_its_own(as_processes: dict[str, Came], cell: Cell) -> None:
    """The same, as a shell sees it; no process is left."""
    _check(as_processes[str(cell)], cell)


def _check(what: Came, cell: Cell) -> None:
    want, fault, out, error = expected(cell), cell.fault, what.out, what.error
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
    assert what.code == want.code
    assert in_time(what.seconds, cell.bound + 6)
    check_kept(cell, what.kept)
