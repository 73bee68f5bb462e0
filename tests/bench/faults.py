"""What one straggler costs: a 5 s model among six at 1 s, two rounds, beside a gather that waits for all.

    python tests/bench/faults.py [--rounds 2] [--slow 5] [--quick 1]

The gather is what one writes first: the SDK, asyncio.gather, every round waits for its last model.
All against the offline service on this machine, in fresh pools that are warm; seconds of a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bot.app.app import App
from bot.app.load_settings import load_settings
from bot.demo.process import DemoProcess
from bot.events import TurnFinished
from bot.messages import Endpoint, Message, Request

REFERENCES = ("one", "two", "three", "four", "five", "straggler")
JUDGE = "judge"
WARM = "warm"
"""Asked once before the clock starts, so that every import is made and a connection open."""
PROMPT = "What is a straggler?"
WAYS: dict[str, dict[str, object]] = {
    "moa-bot": {},
    "moa-bot --deadline 2": {"deadline": 2.0},
    "moa-bot --quorum 5 --grace 0.5": {"quorum": 5.0, "grace": 0.5},
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--slow", type=float, default=5.0)
    parser.add_argument("--quick", type=float, default=1.0)
    args = parser.parse_args()
    said = {"reply": "A straggler is the last one that all others wait for. " * 8}
    models = {name: {**said, "delay": args.quick} for name in REFERENCES}
    models["straggler"]["delay"] = args.slow
    models |= {JUDGE: {**said, "delay": args.quick}, WARM: said}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "behaviour.json"
        file.write_text(json.dumps({"models": models}), encoding="utf-8")
        os.environ["MOA_BOT_HOME"] = folder
        with DemoProcess(file) as service:
            waiting = asyncio.run(plain(service, args.rounds))
            rows = [("plain gather over the SDK", waiting, len(REFERENCES))]
            for name, options in WAYS.items():
                seconds, answers = asyncio.run(ours(service, args.rounds, options))
                rows.append((name, seconds, answers))
    even = (args.rounds + 1) * args.quick
    print(
        f"{len(REFERENCES)} references, one of them {args.slow:g} s, the others and the aggregator "
        f"{args.quick:g} s, {args.rounds} rounds; without a straggler {even:g} s\n"
    )
    print(f"{'':34} {'seconds':>8} {'of gather':>10} {'answers read':>13}")
    for name, seconds, answers in rows:
        print(f"{name:34} {seconds:8.2f} {seconds / waiting:9.0%} {answers:13}")
    return 0


async def plain(service: DemoProcess, rounds: int) -> float:
    """A turn with nothing but the SDK and gather."""
    import together

    async with together.AsyncTogether(
        api_key="none", base_url=service.base_url.removesuffix("/v1"), max_retries=0
    ) as client:

        async def ask(model: str, answers: list[str]) -> str:
            messages = [
                *({"role": "system", "content": "\n\n".join(answers)} for _ in answers[:1]),
                {"role": "user", "content": PROMPT},
            ]
            done = await client.chat.completions.create(model=model, messages=messages)  # type: ignore[arg-type]  # plain dictionaries
            message = done.choices[0].message
            return str(message.content) if message else ""

        await ask(WARM, [])
        started = time.monotonic()
        answers: list[str] = []
        for _ in range(rounds):
            answers = list(await asyncio.gather(*(ask(model, answers) for model in REFERENCES)))
        await ask(JUDGE, answers)
        return time.monotonic() - started


async def ours(service: DemoProcess, rounds: int, options: Mapping[str, object]) -> tuple[float, int]:
    """A turn of the program's own mixture and pool; seconds, and how many answers the aggregator read."""
    given = {
        "demo": False,
        "save": False,
        "rounds": rounds,
        "reference_models": REFERENCES,
        "aggregator": JUDGE,
    }
    environ = {"TOGETHER_BASE_URL": service.base_url, "TOGETHER_API_KEY": "none"}
    os.environ.update(environ)
    settings = load_settings({**given, **options})
    async with App(settings, lambda text: print(text, file=sys.stderr)) as app:
        endpoint = Endpoint("warm", service.base_url)
        async for _ in app.pool.ask(Request(endpoint, WARM, (Message("user", "hi"),), 0.0, 100)):
            pass
        started = time.monotonic()
        async for event in app.session().turn(PROMPT):
            if isinstance(event, TurnFinished):
                if event.result.status != "done":
                    raise SystemExit(f"the turn is {event.result.status}: {event.result.failure}")
                answers = sum(bool(call.answer) for call in event.result.rounds[-1])
                return time.monotonic() - started, answers
    raise SystemExit("the turn did not end")


if __name__ == "__main__":
    sys.exit(main())
