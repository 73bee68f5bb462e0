"""Every fault at every place, in a pipe: one prompt a cell, one program a place, all places at once."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faulty import ALL, PLACES, Cell, Kept, cells, check_kept, expected, kept, variables
from running import LIMIT, Tag, in_time
from services import start_service

pytestmark = pytest.mark.slow


@dataclass
class Came:
    """What came of a cell: its JSON, how often each struck model was asked, what was stored."""

    record: dict[str, Any]
    asked: dict[str, int]
    kept: Kept


@dataclass
class Run:
    """What came of all cells of a place."""

    cells: dict[str, Came]
    code: int | None
    errors: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Run all places at once: most of the time they wait."""

    async def all_places() -> list[Run]:
        return await asyncio.gather(*(_run(place, tmp_path_factory.mktemp(place)) for place in PLACES))

    return dict(zip(PLACES, asyncio.run(all_places()), strict=True))


async def _run(place: str, folder: Path) -> Run:
    tag, home = Tag(), folder / "home"
    with await asyncio.to_thread(start_service, folder, {}) as service:
        environment = tag.environment(
            home, TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="the-key", **variables(place)
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "--json", "--no_multi_turn"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            limit=2**22,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        complaining = asyncio.create_task(process.stderr.read())
        came: dict[str, Came] = {}
        for cell in cells(place):
            await asyncio.to_thread(service.set_behaviour, cell.behaviour())
            await asyncio.to_thread(service.clear_requests)
            process.stdin.write(f"{cell.prompt}\n".encode())
            record = json.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT))
            requests = await asyncio.to_thread(service.requests)
            asked = {name: sum(r["body"]["model"] == name for r in requests) for name in cell.struck}
            came[str(cell)] = Came(record, asked, await asyncio.to_thread(kept, home, cell.prompt))
        process.stdin.close()
        code = await asyncio.wait_for(process.wait(), LIMIT)
        errors = (await complaining).decode()
    assert await asyncio.to_thread(tag.none_left), "processes survived"
    return Run(came, code, errors)


@pytest.mark.parametrize("cell", ALL, ids=str)
def test_what_comes_of_a_fault(runs: dict[str, Run], cell: Cell) -> None:
    """The right reply or message, in time, each call told as what it was, and all of it stored."""
    came, want, fault = runs[cell.place].cells[str(cell)], expected(cell), cell.fault
    record = came.record
    assert record["status"] == want.status
    assert want.reply(record["reply"])
    told = " ".join([record["error"] or "", *record["notices"]])
    assert all(part in told for part in want.said), told
    assert in_time(record["seconds"], cell.bound)
    if cell.place in {"one", "all", "second"}:
        struck = record["references"][-1][: len(cell.struck)]
        for reference in struck:
            if fault.kind is None:
                assert (reference["error"], reference["partial"] != "") == (None, fault.torn)
            elif fault.torn:
                assert reference["text"]
                assert reference["partial"].startswith(str(fault.kind))
            else:
                assert reference["error"].startswith(str(fault.kind))
                assert fault.said in reference["error"]
        others = record["references"][-1][len(cell.struck) :]
        assert [reference["error"] for reference in others] == [None] * len(others)
    check_kept(cell, came.kept)


@pytest.mark.parametrize("cell", [cell for cell in ALL if cell.place in {"one", "all", "before"}], ids=str)
def test_how_often_it_is_asked(runs: dict[str, Run], cell: Cell) -> None:
    """What may pass is asked again, and no oftener than three times; all else is asked once."""
    asked = runs[cell.place].cells[str(cell)].asked
    if not cell.fault.torn:
        assert asked == dict.fromkeys(cell.struck, cell.fault.tries)


@pytest.mark.parametrize("place", PLACES)
def test_the_run_as_a_whole(runs: dict[str, Run], place: str) -> None:
    """The exit code is that of the last turn that failed; whoever was left out is named on stderr."""
    run = runs[place]
    codes = [code for cell in cells(place) if (code := expected(cell).code)]
    assert run.code == (codes[-1] if codes else 0)
    assert "Traceback" not in run.errors
    assert "the-key" not in run.errors
    for cell in cells(place):
        if cell.fault.kind and not cell.fault.torn and place in {"one", "all", "second"}:
            assert f"alpha left out: {cell.fault.kind}" in run.errors
