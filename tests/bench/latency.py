"""From the service's socket to the terminal: how long a token of the reply is on its way."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator
from statistics import median, quantiles
from typing import Any

from common import MODELS, Row, simulated
from turns import with_program

from bot.app.app import App
from bot.events import ReplyDelta
from bot.messages import Delta, Message, Request
from bot.render.reply import PipeView


def measure(*, short: bool) -> list[Row]:
    """Return the rows about latency, of tokens that carry the time they were sent at."""
    tokens = 200 if short else 1000
    busy: dict[str, dict[str, Any]] = {
        name: {"reply": "word " * tokens, "tokens_per_second": 100} for name in MODELS
    }
    busy["judge"] = {"stamps": tokens, "tokens_per_second": 100}
    with simulated(busy) as service:
        late = with_program(service, lambda app: _stream(app, tokens))
    percentiles = quantiles(late, n=100)
    return [
        Row("token to the terminal, median", "ms", median(late), None, 5, "≤ 5 ms"),
        Row("token to the terminal, p99", "ms", percentiles[98]),
    ]


async def _stream(app: App, tokens: int) -> list[float]:
    """Stream one reply into a pipe while five models stream beside it; returns milliseconds a token."""
    endpoint = app.models.endpoint("together")

    def calls(model: str, delta_interval: float) -> AsyncGenerator[Any, None]:
        request = Request(
            endpoint, model, (Message("user", "hi"),), 0.7, tokens + 10, delta_interval=delta_interval
        )
        return app.ask(request)

    async def drain(model: str) -> None:
        async for _ in calls(model, 0.05):
            pass

    ours, theirs = os.pipe()
    late: list[float] = []
    reader = threading.Thread(target=_read, args=(ours, late))
    reader.start()
    beside = [asyncio.ensure_future(drain(model)) for model in MODELS[:5]]
    with os.fdopen(theirs, "w") as out:
        view = PipeView(out, sys.stderr)
        async for update in calls("judge", 0.0):
            if isinstance(update, Delta):
                view.handle_event(ReplyDelta(update.text))
    await asyncio.gather(*beside)
    reader.join()
    return late


def _read(descriptor: int, late: list[float]) -> None:
    rest = b""
    while chunk := os.read(descriptor, 65536):
        now = time.monotonic()
        *stamps, rest = (rest + chunk).replace(b"\n", b" ").split(b" ")
        late += [(now - float(stamp)) * 1000 for stamp in stamps if stamp]


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__, ensure_ascii=False))
