"""Replays recorded answers through the whole program and checks every one of them.

The offline service serves the recorded AlpacaEval answers of five models, and the published
mixture's replies as the aggregator's; all 805 instructions are piped through
`moa-bot --no_multi_turn --json --null`, and each reply and each reference must be the recorded one.

    python tests/bench/replay.py [--limit N] [--data FOLDER]

Prints the whole time, the time per prompt, and beside it the floor: the same requests made by a
bare loop over one HTTP connection per model. Exits with 1 when an answer differs.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.demo.process import DemoProcess

ROOT = Path(__file__).parents[2]
REFERENCES = (
    "Qwen1.5-110B-Chat",
    "Qwen1.5-72B-Chat",
    "Mixtral-8x22B-Instruct-v0.1",
    "Meta-Llama-3-70B-Instruct",
    "dbrx-instruct",
)
AGGREGATOR = "Together-MoA"
LONGEST = 100_000
"""Tokens: recorded answers are replayed whole."""


def main() -> int:
    """Run the replay; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, help="only the first N instructions")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="the recorded data"
    )
    arguments = parser.parse_args()
    recorded = arguments.data / "alpaca_eval" / "recorded_answers.jsonl.gz"
    if not recorded.exists():
        print("skipped: there are no recorded answers beside the checkout (--data FOLDER)")
        return 0
    with gzip.open(recorded, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][: arguments.limit]
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder), recorded) as service:
        ours, results = _ours(service, rows, Path(folder))
        floor = _floor(service, rows)
    wrong = [
        problem for row, result in zip(rows, results, strict=True) for problem in _differences(row, result)
    ]
    for problem in wrong[:10]:
        print(f"differs: {problem}")
    checked = len(rows) * (len(REFERENCES) + 1)
    print(f"{checked - len(wrong)} of {checked} answers are the recorded ones ({len(rows)} prompts)")
    print(f"{'':14}{'all':>9}{'a prompt':>12}")
    for name, seconds in (("moa-bot", ours), ("bare loop", floor)):
        print(f"{name:14}{seconds:>7.1f} s{seconds / len(rows) * 1000:>9.1f} ms")
    print(f"ratio {ours / floor:.2f}")
    return 1 if wrong else 0


def _service(folder: Path, recorded: Path) -> DemoProcess:
    says = {model: {"recorded": str(recorded), "recorded_as": model} for model in (*REFERENCES, AGGREGATOR)}
    file = folder / "behaviour.json"
    file.write_text(json.dumps({"models": says}), encoding="utf-8")
    return DemoProcess(file)


def _ours(
    service: DemoProcess, rows: list[dict[str, Any]], folder: Path
) -> tuple[float, list[dict[str, Any]]]:
    """Pipe all instructions through the program; returns seconds and one result a prompt."""
    prompts = "\0".join(row["instruction"] for row in rows)
    command = [sys.executable, "-m", "bot", "--no_multi_turn", "--json", "--null", "--quiet"]
    command += ["-r", ",".join(REFERENCES), "-a", AGGREGATOR, "--max_tokens", str(LONGEST)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MOA_BOT_")},
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": "none-needed",
        "MOA_BOT_HOME": str(folder / "home"),
    }
    started = time.monotonic()
    done = subprocess.run(
        command, input=prompts.encode(), stdout=subprocess.PIPE, env=environment, cwd=ROOT, check=True
    )
    seconds = time.monotonic() - started
    return seconds, [json.loads(line) for line in done.stdout.decode().splitlines()]


def _differences(row: dict[str, Any], result: dict[str, Any]) -> list[str]:
    problems = []
    if result["reply"] != row["outputs"][AGGREGATOR]:
        problems.append(f"{row['index']}: the reply")
    [answers] = result["references"]
    for model, answer in zip(REFERENCES, answers, strict=True):
        if answer["model"] != model or answer["text"] != row["outputs"][model]:
            problems.append(f"{row['index']}: {model}")
    return problems


def _floor(service: DemoProcess, rows: list[dict[str, Any]]) -> float:
    """Ask the same of the service with as little as possible around it; returns seconds."""
    address = urlsplit(service.base_url)
    connections = {
        model: http.client.HTTPConnection(address.hostname or "", address.port or 80)
        for model in (*REFERENCES, AGGREGATOR)
    }

    def ask(model: str, prompt: str) -> None:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
            "max_tokens": LONGEST,
        }
        connections[model].request("POST", f"{address.path}/chat/completions", json.dumps(body))
        for line in connections[model].getresponse():
            if line.startswith(b"data: {"):
                json.loads(line[6:])

    started = time.monotonic()
    with ThreadPoolExecutor(len(REFERENCES)) as pool:
        for row in rows:
            list(pool.map(ask, REFERENCES, [row["instruction"]] * len(REFERENCES)))
            ask(AGGREGATOR, row["instruction"])
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
