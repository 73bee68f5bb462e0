"""Every fault at every place, at the prompt: one chat a place, all places at once."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from chatting import chatting
from faulty import ALL, ANSWERS, PLACES, REPLY, Cell, Kept, cells, check_kept, expected, kept, options
from running import in_time
from services import start_service

from bot.demo.process import DemoProcess
from bot.errors import ExitCode

pytestmark = pytest.mark.slow


@dataclass
class Came:
    """What a cell brought: what is on the screen, the seconds until the next prompt, what was stored."""

    text: str
    seconds: float
    kept: Kept


@dataclass
class Run:
    """What came of all cells of a place."""

    cells: dict[str, Came]
    code: ExitCode


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Run all places at once, as windows of one user: they share home and store."""
    folder = tmp_path_factory.mktemp("chats")
    home = folder / "home"
    home.mkdir()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    with ExitStack() as stack:
        services = {place: stack.enter_context(start_service(folder, {})) for place in PLACES}
        for place, service in services.items():
            with (home / "config.toml").open("a", encoding="utf-8") as config:
                config.write(f'[endpoints.{place}]\nbase_url = "{service.base_url}"\n')
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MOA_BOT_HOME", str(home))
        try:
            done = asyncio.run(_all_places(home, services))
        finally:
            # Chats side by side do not give signals back in the order in which they took them.
            for number, handler in before.items():
                signal.signal(number, handler)
    return dict(zip(PLACES, done, strict=True))


async def _all_places(home: Path, services: dict[str, DemoProcess]) -> list[Run]:
    return await asyncio.gather(*(_run(place, home, service) for place, service in services.items()))


async def _run(place: str, home: Path, service: DemoProcess) -> Run:
    given = {**options(place), "endpoint": place, "multi_turn": False}
    came: dict[str, Came] = {}
    async with chatting(given, width=240, height=60) as chat:
        for cell in cells(place):
            await asyncio.to_thread(service.set_behaviour, cell.behaviour())
            started = time.monotonic()
            text = await chat.enter(cell.prompt)
            seconds = time.monotonic() - started
            came[str(cell)] = Came(text, seconds, await asyncio.to_thread(kept, home, cell.prompt))
        code = await chat.leave()
    return Run(came, code)


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_what_comes_of_a_fault_in_a_chat(runs: dict[str, Run], cell: Cell) -> None:
    """The reply or the message is on the screen in time, whoever failed is named, and all of it is stored."""
    came, want, fault = runs[cell.place].cells[str(cell)], expected(cell), cell.fault
    words = " ".join(came.text.split())
    if want.status == "done":
        assert REPLY in words
    elif cell.place == "before" and not fault.torn:
        assert any(answer in words for answer in ANSWERS.values())
    elif cell.place == "after":
        assert REPLY[:20] in words
    assert all(part in words for part in want.said), came.text
    if cell.place in {"one", "second"} and fault.kind and not fault.torn:
        assert f"alpha left out: {fault.kind}" in words
    assert "Traceback" not in words
    assert in_time(came.seconds, cell.bound + 2)
    check_kept(cell, came.kept)


@pytest.mark.parametrize("place", PLACES)
def test_the_chat_goes_on_to_its_end(runs: dict[str, Run], place: str) -> None:
    """Whatever the turns came to, Ctrl-D leaves well."""
    assert runs[place].code is ExitCode.DONE


def test_no_worker_is_left(runs: dict[str, Run]) -> None:
    """After the chats no worker process of theirs is there."""
    servers = [p for p in psutil.Process().children() if "forkserver" in " ".join(p.cmdline())]
    assert [child for server in servers for child in server.children()] == []
