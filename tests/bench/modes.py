"""What each mode takes over ideal models: calls, tokens, seconds, and seconds to the first word.

The models answer after 1.0 s, the writers and the judge 0.3 s to their first token and 10 ms a token.
The floor of critique's first word is one model alone; fusion's own time is what is left of a turn
without the calls that follow one another.
"""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import median
from typing import Any

from common import MODELS, Row, simulated
from turns import EACH, FIRST, THINKS, TOKENS, with_program

from bot.app.app import App
from bot.app.make_plan import mode_instructions
from bot.events import TurnFinished, TurnResult

COMPARISON = json.dumps({"consensus": [{"claim": "agreed", "answers": [1, 2]}], "blind_spots": ["spot"]})
CALLS = {"single": 1, "moa": 7, "fusion": 8, "critique": 8, "vote": 6, "compare": 7, "rank": 7}
"""The calls of a turn with six models and one round; the vote has a majority, the comparison a judge."""


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

        async def talk(app: App) -> dict[str, list[TurnResult]]:
            return {mode: await _turns(app, mode, turns) for mode in CALLS}

        results = with_program(service, talk, rounds=1, judge="comparer")
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
    own = median(1000 * (each.seconds - _of_models(each)) for each in results["fusion"])
    rows.append(Row("fusion over its models", "ms", own, None, 40, "≤ 40 ms"))
    return rows


async def _turns(app: App, mode: Any, turns: int) -> list[TurnResult]:
    """Run turns in one mode, each a conversation of its own, after one that is not counted."""
    results: list[TurnResult] = []
    for _ in range(turns + 1):
        session = app.session()
        session.mixture = app.mixture(alone=mode == "single")
        if mode != "single":
            plan = session.mixture.plan
            session.mixture.plan = replace(
                plan, mode=mode, instructions=mode_instructions(app.settings, mode)
            )
        async for event in session.turn("hi"):
            if isinstance(event, TurnFinished):
                assert event.result.status == "done", event.result
                results.append(event.result)
    return results[1:]


def _first_word(results: list[TurnResult]) -> float:
    return median(each.first_token or 0.0 for each in results)


def _of_models(result: TurnResult) -> float:
    """Return the seconds of the calls that follow one another: in each layer the slowest."""
    layers: dict[int, float] = {}
    for call in result.calls:
        seconds = call.completion.seconds if call.completion else 0.0
        layers[call.slot.round] = max(layers.get(call.slot.round, 0.0), seconds)
    return sum(layers.values())
