"""What each mode takes over ideal models: calls, tokens, seconds, and seconds to the first word.

The models answer after 1.0 s, the writers and the judge 0.3 s to their first token and 10 ms a token.
The floor of critique's first word is one model alone. Fusion's own time is what is left of a turn without
the slowest call of each layer, as the service measured them; its floor is a bare script with the same calls.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from common import MODELS, ROOT, Row, environment, simulated
from turns import EACH, FIRST, THINKS, TOKENS, with_program

from bot.app.app import App
from bot.app.make_plan import mode_instructions
from bot.demo.process import DemoProcess
from bot.events import TurnFinished
from bot.turn_result import TurnResult

COMPARISON = json.dumps({"consensus": [{"claim": "agreed", "answers": [1, 2]}], "blind_spots": ["spot"]})
CALLS = {"single": 1, "moa": 7, "fusion": 8, "critique": 8, "vote": 6, "compare": 7, "rank": 7}
"""The calls of a turn with six models and one round; the vote has a majority, the comparison a judge."""

LAYERS = (MODELS, ("comparer",), ("judge",))
"""The calls of a turn in mode "fusion"."""

FLOOR = """
import asyncio, json, sys, time
from together import AsyncTogether
url, turns, layers = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
async def main():
    client = AsyncTogether(api_key="x", base_url=url, max_retries=0)
    async def ask(model):
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hi"}], max_tokens=4096, stream=True)
        async for chunk in stream:
            pass
    taken = []
    for turn in range(turns):
        started = time.monotonic()
        for layer in layers:
            await asyncio.gather(*(ask(model) for model in layer))
        taken.append(time.monotonic() - started)
    print(json.dumps(taken))
asyncio.run(main())
"""


def measure(*, short: bool) -> list[Row]:
    """Return the rows about modes."""
    turns = 2 if short else 5
    models: dict[str, dict[str, Any]] = {
        name: {"reply": "- one concern\nANSWER: 42", "delay": THINKS} for name in MODELS
    }
    writes = {"first_token": FIRST, "tokens_per_second": 1 / EACH}
    models["judge"] = {"reply": "word " * TOKENS, **writes}
    models["comparer"] = {"reply": COMPARISON, **writes}
    with simulated(models) as service:

        async def talk(app: App) -> tuple[dict[str, list[TurnResult]], float]:
            results = {mode: (await _turns(app, mode, turns))[0] for mode in CALLS}
            service.clear_requests()
            _, seconds = await _turns(app, "fusion", turns)
            return results, _over_models(seconds, service.requests())

        results, own = with_program(service, talk, rounds=1, judge="comparer")
        floor = _floor(service, turns)
    single = _first_word(results["single"])
    rows = []
    for mode, done in results.items():
        calls, tokens = done[-1].calls, done[-1].usage.total_tokens or 0
        rows += [
            Row(f"{mode}: calls", "", len(calls), None, CALLS[mode], str(CALLS[mode]), counts=True),
            Row(f"{mode}: tokens", "", tokens),
            Row(f"{mode}: seconds", "s", median(each.seconds for each in done)),
        ]
        if mode == "critique":
            rows.append(Row("critique: first word", "s", _first_word(done), single, 1.1 * single, "≤ 1.1 ×"))
        else:
            rows.append(Row(f"{mode}: first word", "s", _first_word(done)))
    rows.append(Row("fusion over its models", "ms", own, floor, 40, "≤ 40 ms"))
    return rows


async def _turns(app: App, mode: Any, turns: int) -> tuple[list[TurnResult], list[float]]:
    """Run turns in one mode, each a conversation of its own; returns results and seconds.

    The first turn is not among them, but its requests are made.
    """
    results: list[TurnResult] = []
    seconds: list[float] = []
    for _ in range(turns + 1):
        session = app.session()
        session.mixture = app.mixture(alone=mode == "single")
        if mode != "single":
            plan = session.mixture.plan
            session.mixture.plan = replace(
                plan, mode=mode, instructions=mode_instructions(app.settings, mode)
            )
        started = time.monotonic()
        async for event in session.turn("hi"):
            if isinstance(event, TurnFinished):
                assert event.result.status == "done", event.result
                results.append(event.result)
                seconds.append(time.monotonic() - started)
    return results[1:], seconds[1:]


def _first_word(results: list[TurnResult]) -> float:
    return median(each.first_token or 0.0 for each in results)


def _floor(service: DemoProcess, turns: int) -> float:
    """Return what a bare script takes over the models, in milliseconds."""
    service.clear_requests()
    command = [sys.executable, "-c", FLOOR, service.url, str(turns + 1), json.dumps(LAYERS)]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True, cwd=ROOT)
    return _over_models(json.loads(done.stdout)[1:], service.requests())


def _over_models(seconds: Sequence[float], requests: Sequence[dict[str, Any]]) -> float:
    """Return the median of turns without the slowest call of each layer, in milliseconds.

    `requests` are those of one turn more, the first.
    """
    calls = sum(map(len, LAYERS))
    over = []
    for turn, took in enumerate(seconds, start=1):
        rest, models = list(requests[turn * calls : (turn + 1) * calls]), 0.0
        for names in LAYERS:
            layer, rest = rest[: len(names)], rest[len(names) :]
            models += max(call["ended"] - call["time"] for call in layer)
        over.append((took - models) * 1000)
    return median(over)
