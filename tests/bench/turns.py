"""What a warm turn takes over what its models take; its gap between rounds, connections and CPU.

What the models take is what the service measured: of each round its slowest call.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

import psutil
from common import MODELS, ROOT, Row, environment, home, simulated

from bot.app.app import App
from bot.app.load_settings import load_settings
from bot.demo.process import DemoProcess
from bot.events import TurnFinished

ROUNDS = 2
THINKS, FIRST, TOKENS, EACH = 1.0, 0.3, 50, 0.01
"""Six models take 1.0 s a round; the aggregator 0.3 s to its first token, then 50 tokens at 10 ms."""

FLOOR = """
import asyncio, json, os, sys, time
from together import AsyncTogether
url, turns, rounds, models = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
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
        cpu = time.process_time()
        for _ in range(rounds):
            await asyncio.gather(*(ask(model) for model in models))
        await ask("judge")
        taken.append((time.monotonic() - started, time.process_time() - cpu))
    print(json.dumps(taken))
asyncio.run(main())
"""


def measure(*, short: bool) -> list[Row]:
    """Return the rows about turns."""
    turns = 3 if short else 10
    rows = _warm_turns(turns)
    rows += _cpu(2 if short else 4)
    return rows


def _warm_turns(turns: int) -> list[Row]:
    models: dict[str, dict[str, Any]] = {name: {"reply": "an answer", "delay": THINKS} for name in MODELS}
    models["judge"] = {"reply": "word " * TOKENS, "first_token": FIRST, "tokens_per_second": 1 / EACH}
    with simulated(models) as service:
        floor = [seconds for seconds, _ in _floor(service, turns)]
        bare_over, bare_gap = _over_models(floor, service.requests())
        service.clear_requests()
        opened = service.connections()["opened"]
        ours, first_connections = _ours(service, turns)
        requests = service.requests()
        connections = service.connections()["opened"] - opened
    over, gap = _over_models(ours, requests)
    return [
        Row("warm turn over its models", "ms", over, bare_over, 40, "≤ 40 ms"),
        Row("last answer to next round", "ms", gap, bare_gap, 15, "≤ 15 ms"),
        Row(
            "new connections after turn 1", "", connections - first_connections, None, 0, "none", counts=True
        ),
        Row("requests a turn", "", len(requests) / turns, None, ROUNDS * 6 + 1, "13", counts=True),
    ]


def _ours(service: DemoProcess, turns: int) -> tuple[list[float], int]:
    """Run turns in one conversation; returns seconds each, and the connections after the first."""
    before = service.connections()["opened"]
    connections: list[int] = []

    async def talk(app: App) -> list[float]:
        session = app.session()
        taken = []
        for _ in range(turns):
            started = time.monotonic()
            async for event in session.turn("hi"):
                if isinstance(event, TurnFinished):
                    assert event.result.status == "done", event.result
                    taken.append(time.monotonic() - started)
            connections.append(service.connections()["opened"] - before)
        return taken

    return with_program(service, talk), connections[0]


def with_program(
    service: DemoProcess, work: Callable[[App], Coroutine[Any, Any, Any]], **options: Any
) -> Any:
    """Run `work` with an open program whose models are the simulated six and their judge."""
    with home() as folder:
        os.environ.update(MOA_BOT_HOME=folder, TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="x")
        settings = load_settings(
            {
                "reference_models": list(MODELS),
                "aggregator": "judge",
                "rounds": ROUNDS,
                "max_tokens": 4096,
                **options,
            }
        )

        async def run() -> Any:
            async with App(settings, print) as app:
                return await work(app)

        return asyncio.run(run())


def _floor(service: DemoProcess, turns: int) -> list[tuple[float, float]]:
    command = [sys.executable, "-c", FLOOR, service.url, str(turns), str(ROUNDS), ",".join(MODELS)]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


def _over_models(seconds: list[float], requests: list[dict[str, Any]]) -> tuple[float, float]:
    """Return (a turn's time over its models', last answer to the next round's first request).

    Medians in milliseconds, of all turns but the first, which is a cold one.
    """
    over, gaps = [], []
    for turn, took in enumerate(seconds):
        calls = requests[turn * 13 : turn * 13 + 13]
        rounds = [calls[:6], calls[6:12], calls[12:]]
        models = sum(max(call["ended"] - call["time"] for call in round_) for round_ in rounds)
        over.append((took - models) * 1000)
        ended = max(call["ended"] for call in rounds[0])
        gaps.append((min(call["time"] for call in rounds[1]) - ended) * 1000)
    return median(over[1:]), median(gaps[1:])


def _cpu(turns: int) -> list[Row]:
    """CPU seconds of a turn of 6 × 2 answers of 500 tokens, all processes."""
    models = {name: {"reply": "word " * 500, "tokens_per_second": 500} for name in (*MODELS, "judge")}
    with simulated(models) as service:
        floor = median(cpu for _, cpu in _floor(service, turns + 1)[1:])

        async def talk(app: App) -> float:
            session = app.session()
            used = []
            for _ in range(turns + 1):
                before = _cpu_of_family(service.pid)
                async for _ in session.turn("hi"):
                    pass
                used.append(_cpu_of_family(service.pid) - before)
            return median(used[1:])

        ours = with_program(service, talk)
    return [Row("CPU of a turn, 13 × 500 tokens", "ms", ours * 1000, floor * 1000)]


def _family(without: int) -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *(child for child in me.children(recursive=True) if child.pid != without)]


def _cpu_of_family(without: int) -> float:
    times = [process.cpu_times() for process in _family(without)]
    return sum(time_.user + time_.system for time_ in times)


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__, ensure_ascii=False))
