"""What one straggler costs: a 5 s model among six at 1 s, two rounds, beside a gather that waits for all.

    python tests/bench/faults.py [--rounds 2] [--slow 5] [--quick 1]
    python tests/bench/faults.py --hostile [WORD …]

The second table is of one hostile service among three, as a reference and as the aggregator: what came of
the turn, its seconds, and the most memory of the whole program (proportional set size, sampled).

The gather is what one writes first: the SDK, asyncio.gather, every round waits for its last model.
All against the offline service on this machine, in fresh pools that are warm; seconds of a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, environment, moa
from hostile_service import (
    EVENTS,
    GZIP_JSON,
    GZIP_PAGE,
    JSON,
    OK,
    Answer,
    answer,
    bomb,
    event,
    refusal,
    serving,
)

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
    parser.add_argument("--hostile", nargs="*", metavar="WORD", help="the second table, or rows of it")
    args = parser.parse_args()
    if args.hostile is not None:
        return hostile(args.hostile)
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


TIMEOUT = 4.0
MOST_MEGABYTES = 300.0
LIMIT_MESSAGE = {
    "error": {"message": f"maximum context length is {'9' * 400}", "code": "context_length_exceeded"}
}
QUOTA = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
HOSTILE: dict[str, Answer] = {
    "limit of 400 digits": (refusal(400, LIMIT_MESSAGE), b"", 0),
    "status as ²": (EVENTS + b'data: {"error": {"message": "no", "code": "\xc2\xb2"}}\n\n', b"", 0),
    "200 KB of <": (refusal(500, b"<" * 200_000), b"", 0),
    "200 KB of <script>": (refusal(500, b"<script>" * 25_000), b"", 0),
    "6 MB of gzip JSON": (GZIP_JSON + bomb(b" "), b"", 0),
    "6 MB of gzip lists": (GZIP_JSON + bomb(b"[],"), b"", 0),
    "6 MB of gzip page": (GZIP_PAGE + bomb(b"<br>"), b"", 0),
    "6 MB of gzip error": (refusal(500, b"<", encoding=b"gzip") + bomb(b"<br>"), b"", 0),
    "3 MB of JSON lists": (JSON + b'{"choices": [' + b"[]," * 900_000 + b"[]]}", b"", 0),
    "8 MB of empty events": (EVENTS, b"data: {}\n\n" * 5000, 0),
    "a byte a second head": (OK, b"x", 1),
    "a byte a second JSON": (JSON, b" ", 1),
    "a byte a second error": (refusal(500, b"no"), b".", 1),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 1),
    "comments": (EVENTS, b": alive\n\n", 1),
    "blanks": (EVENTS, event({"content": " \n"}), 1),
    "empty deltas": (EVENTS, event({}), 1),
    "blanks only": (answer(" \n\n "), b"", 0),
    "no JSON": (EVENTS + b"data: {no JSON\n\n", b"", 0),
    "empty body": (JSON, b"", 0),
    "refusal": (EVENTS + event({"refusal": "I cannot."}, "stop") + b"data: [DONE]\n\n", b"", 0),
    "quota used up": (refusal(429, QUOTA), b"", 0),
}


def hostile(words: list[str]) -> int:
    """Print the table of hostile services; returns 1 when a turn has no reply or takes too much memory."""
    rows = {name: each for name, each in HOSTILE.items() if not words or any(word in name for word in words)}
    print(f"--timeout {TIMEOUT:g}\n")
    print(f"{'fault':26} {'role':10} {'seconds':>7} {'MB':>5}  what came")
    failed = False
    with serving(rows, lambda model: answer(f"The answer of {model}.")) as url:
        for name in rows:
            for role in ("reference", "aggregator"):
                came, seconds, megabytes = one_turn(url, name, role)
                failed |= megabytes > MOST_MEGABYTES or not came.startswith("reply")
                print(f"{name:26} {role:10} {seconds:7.1f} {megabytes:5.0f}  {came}", flush=True)
    return int(failed)


def one_turn(url: str, name: str, role: str) -> tuple[str, float, float]:
    """Return what came of a turn of the program, in a process of its own, its seconds and the most MB."""
    models = ["one", "two", "three"] if role == "aggregator" else [name, "two", "three"]
    with tempfile.TemporaryDirectory() as folder:
        env = environment(
            MOA_BOT_HOME=folder,
            TOGETHER_BASE_URL=url,
            TOGETHER_API_KEY="x",
            MOA_BOT_REFERENCE_MODELS=",".join(models),
            MOA_BOT_AGGREGATOR=name if role == "aggregator" else "judge",
            MOA_BOT_TIMEOUT=f"{TIMEOUT:g}",
        )
        most = 0.0
        with (Path(folder) / "out").open("w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                [*moa(), "ask", "--json", PROMPT], stdout=out, stderr=subprocess.DEVNULL, env=env, cwd=ROOT
            )
            while process.poll() is None:
                most = max(most, _megabytes(process.pid))
                time.sleep(0.2)
            out.seek(0)
            lines = out.read().splitlines()
    result = json.loads(lines[-1]) if lines else {}
    return _what_came(result), result.get("seconds", 0.0), most


def _megabytes(pid: int) -> float:
    """Return the proportional set size of a process and those below it, 0 when it has ended meanwhile."""
    try:
        main = psutil.Process(pid)
        return sum(each.memory_full_info().pss for each in (main, *main.children(recursive=True))) / 2**20
    except psutil.Error:
        return 0.0


def _what_came(result: dict[str, Any]) -> str:
    calls = [call for each in result.get("references", []) for call in each]
    calls += [*result.get("attempts", []), result.get("aggregator") or {}]
    errors = sorted({str(call["error"])[:60] for call in calls if call.get("error")})
    return "; ".join([f"reply: {result['reply']}" if result.get("reply") else "no reply", *errors])


if __name__ == "__main__":
    sys.exit(main())
