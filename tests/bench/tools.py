"""What a tool call costs over the tool's and the models' own time, and six references that call at once.

The call's own cost is measured with models and a tool that answer at once, in this process: it is what a
turn with ten calls takes longer than one without. A turn in processes is measured with models that answer
after 0.2 s and a tool that takes 0.2 s: six references that call take as long as one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from common import MODELS, Row, home
from fake_models import FakeAsk, FakeModels, layers, make_plan
from fake_tools import calls
from tool_service import tool_service

from bot.app.app import App
from bot.app.load_settings import load_settings
from bot.events import TurnFinished
from bot.method.mixture import Mixture
from bot.tool_use import Tool, ToolRun

DELAY, TAKES, CALLS = 0.2, 0.2, 10
LIMIT = 10.0
"""Milliseconds of the loop's own for a tool call."""
SEARCH = Tool(
    "web_search", "Search.", {"type": "object", "properties": {"query": {"type": "string"}}}, read_only=True
)


class SlowTools:
    """One tool that takes so many seconds, and returns 5 kB."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.ran = seconds, 0

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        return (SEARCH,) if patterns else ()

    async def permit(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        return ""

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        self.ran += 1
        await asyncio.sleep(self.seconds)
        return ToolRun(name, arguments, "word " * 1000, seconds=self.seconds, bytes=5000)


def measure(*, short: bool) -> list[Row]:
    """Return the rows about tools."""
    turns = 3 if short else 10
    different = {name: [("web_search", {"query": name})] for name in MODELS}
    same = {name: [("web_search", {"query": "cats"})] for name in MODELS}
    own = (_at_once(CALLS, 10 * turns) - _at_once(0, 10 * turns)) / CALLS * 1000
    one, _ = _turns(different, MODELS[:1], turns)
    six, ran = _turns(different, MODELS, turns)
    shared, ran_once = _turns(same, MODELS, turns)
    as_one = {"floor": one * 1000, "limit": one * 1100, "target": "as long as one (10 %)"}
    return [
        Row("a tool call, over tool and models", "ms", own, limit=LIMIT, target=f"≤ {LIMIT:.0f} ms"),
        Row("six references call at once", "ms", six * 1000, **as_one),
        Row("six make the same call", "ms", shared * 1000, **as_one),
        Row("six different calls: tools run", "", ran, limit=6, target="6", counts=True),
        Row("six equal calls: tools run", "", ran_once, limit=1, target="1", counts=True),
    ]


def _at_once(number: int, turns: int) -> float:
    """Return the seconds of a turn whose reference makes so many calls, one after the other: the median."""
    called = [calls(("web_search", {"query": str(place)})) for place in range(number)]
    plan = make_plan(layers("a"), tools=("web",), tool_rounds=CALLS + 1)

    async def run() -> float:
        seconds = []
        for _ in range(turns):
            ask = FakeAsk({"a": [*called, "an answer"]})
            started = time.perf_counter()
            async for _ in Mixture(plan, ask, FakeModels(), tools=SlowTools(0.0)).run((), "why?"):
                pass
            seconds.append(time.perf_counter() - started)
        return median(seconds)

    return asyncio.run(run())


def _turns(called: Mapping[str, Any], models: Sequence[str], turns: int) -> tuple[float, int]:
    """Return the seconds of the fastest warm turn, and how many tools ran in it."""
    with tool_service({**called, "judge": ()}, DELAY) as service, home() as folder:
        os.environ.update(MOA_BOT_HOME=folder, TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="x")
        settings = load_settings(
            {"reference_models": list(models), "aggregator": "judge", "rounds": 1, "tools": ["web"]}
        )

        async def run() -> tuple[float, int]:
            async with App(settings, print) as app:
                tools = SlowTools(TAKES)
                app.permitted = tools  # type: ignore[assignment]  # the tool of this benchmark
                seconds = []
                for _ in range(turns + 1):
                    tools.ran, started = 0, time.monotonic()
                    async for event in app.mixture().run((), "why?"):
                        if isinstance(event, TurnFinished):
                            assert event.result.status == "done", event.result.failure
                    seconds.append(time.monotonic() - started)
                return min(seconds[1:]), tools.ran

        return asyncio.run(run())
