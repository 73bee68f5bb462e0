"""A long run with random faults: no turn is lost, and nothing grows.

    python tests/bench/soak.py [--turns 1000] [--seed 4] [--folder KEPT]

One program, prompts piped in one after another with --json, against the offline service whose
models fail by a schedule that the seed fixes: refusals, overload, rate limits, lost connections,
cuts, garbage, silence; and every 100 turns a worker is killed. Checked at the end: every prompt has
its line on stdout and its turn in the store, both with a reply or a failure; memory and open files
of the main process and its workers after the first 100 turns and after the last. Exit code 1 when
something is lost or grows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from bot.demo.process import DemoProcess

WARM = 100
"""Turns after which memory and files are taken as what they should stay."""
GROWTH = 1.15
SPARE_MB = 12.0
SPARE_FILES = 4
PATIENCE = 60.0
REFERENCES = ("alpha", "beta", "gamma")
JUDGE = "judge"
TIMEOUT = 0.5

FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429, "headers": {"Retry-After": "0.02"}},
    {"status": 500, "headers": {"Retry-After": "0.02"}},
    {"status": 503, "headers": {"Retry-After": "0.02"}},
    {"status": 400, "message": "no"},
    {"status": 404, "message": "gone"},
    {"kind": "html"},
    {"kind": "refuse"},
    {"kind": "reset"},
    {"kind": "cut", "tokens": 0},
    {"kind": "cut", "tokens": 12},
    {"kind": "cut", "tokens": 12, "reset": True},
    {"kind": "garbage", "tokens": 4},
    {"kind": "error_in_stream", "tokens": 0},
    {"kind": "error_in_stream", "tokens": 9},
    {"kind": "empty"},
    {"kind": "null_content"},
    {"kind": "no_choices"},
    {"kind": "empty_delta"},
    {"kind": "invalid_utf8", "tokens": 3},
    {"kind": "comments"},
    {"kind": "split", "size": 3},
    {"kind": "huge", "bytes": 2_000_000},
)
RARE: tuple[dict[str, Any], ...] = ({"kind": "stall"}, {"kind": "stall_after", "tokens": 12})


@dataclass
class Taken:
    """Memory in MB (that no other process shares) and open files, of all processes of the program."""

    turn: int
    memory: float
    files: int
    processes: int


def main() -> int:
    """Run, check, print; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        file = folder / "behaviour.json"
        file.write_text(json.dumps(behaviour(args.seed)), encoding="utf-8")
        with DemoProcess(file) as service:
            started = time.monotonic()
            lines, taken, code = run(service, folder / "home", args.turns, args.seed)
            seconds = time.monotonic() - started
        problems = check(lines, taken, folder / "home", args.turns)
    report(lines, taken, seconds)
    print(f"\nexit code of the program: {code}")
    for problem in problems:
        print(f"BROKEN: {problem}")
    return 1 if problems else 0


def behaviour(seed: int) -> dict[str, Any]:
    """Models of which each call may fail in any of the ways, each with a small chance of its own."""
    text = "It is as it is, and there are reasons for that, of which these are the first ones. " * 4
    models: dict[str, Any] = {}
    for name in (*REFERENCES, JUDGE):
        rules = [{**rule, "probability": 0.012, "seed": seed + n} for n, rule in enumerate(FAULTS)]
        rules += [{**rule, "probability": 0.003, "seed": seed + 100 + n} for n, rule in enumerate(RARE)]
        models[name] = {"reply": f"{name} says: {text}", "failures": rules}
    return {"models": models, "demo_models": False}


def run(
    service: DemoProcess, home: Path, turns: int, seed: int
) -> tuple[list[dict[str, Any]], list[Taken], int]:
    """Pipe the prompts through one program; returns its JSON lines, what it took, and its exit code."""
    environment = {
        **os.environ,
        "MOA_BOT_HOME": str(home),
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": "none",
        "MOA_BOT_REFERENCE_MODELS": ",".join(REFERENCES),
        "MOA_BOT_AGGREGATOR": JUDGE,
        "MOA_BOT_TIMEOUT": str(TIMEOUT),
        "MOA_BOT_MAX_TOKENS": "256",
    }
    chance = random.Random(seed)
    lines: list[dict[str, Any]] = []
    taken: list[Taken] = []
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "--json", "--no_multi_turn"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        for turn in range(1, turns + 1):
            process.stdin.write(f"{prompt(turn)}\n".encode())
            process.stdin.flush()
            if not turn % WARM and turn < turns:
                kill_one(process.pid, chance)
            line = read(process, process.stdout)
            if line is None:
                break
            lines.append(json.loads(line))
            if turn % WARM == WARM - 1 or turn == turns:
                taken.append(measure(process.pid, turn))
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
    return lines, taken, process.returncode


def prompt(turn: int) -> str:
    """The prompt of a turn, of which there is no other."""
    return f"Why is it so, number {turn}?"


def read(process: subprocess.Popen[bytes], out: IO[bytes]) -> bytes | None:
    """Return the next line, None when it does not come in time or the program has ended."""
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    try:
        return out.readline() or None
    finally:
        alarm.cancel()


def family(main_pid: int) -> list[psutil.Process]:
    """The program's processes, without the fork server, which holds nothing."""
    try:
        main_process = psutil.Process(main_pid)
        return [main_process, *main_process.children(recursive=True)]
    except psutil.Error:
        return []


def kill_one(main_pid: int, chance: random.Random) -> None:
    """Kill a worker: a child of the fork server."""
    with suppress(psutil.Error):
        servers = [p for p in psutil.Process(main_pid).children() if "forkserver" in " ".join(p.cmdline())]
        workers = [child for server in servers for child in server.children()]
        if workers:
            chance.choice(workers).kill()


def measure(main_pid: int, turn: int) -> Taken:
    """Add up what all processes take."""
    memory, files, processes = 0.0, 0, 0
    for process in family(main_pid):
        with suppress(psutil.Error):
            memory += process.memory_full_info().uss / 2**20
            files += len(process.open_files()) if os.name == "nt" else process.num_fds()
            processes += 1
    return Taken(turn, memory, files, processes)


def check(lines: list[dict[str, Any]], taken: list[Taken], home: Path, turns: int) -> list[str]:
    """Return what is wrong, in sentences."""
    problems = []
    if len(lines) != turns:
        problems.append(f"{len(lines)} of {turns} prompts have a line on standard output")
    if odd := sum(not (line["reply"] or line["error"]) for line in lines):
        problems.append(f"{odd} lines have neither a reply nor an error")
    database = sqlite3.connect(home / "conversations.db")
    rows = database.execute("SELECT prompt, status, reply, error FROM turns").fetchall()
    database.close()
    stored = {row[0]: row for row in rows}
    if missing := [turn for turn in range(1, turns + 1) if prompt(turn) not in stored]:
        problems.append(f"{len(missing)} turns are not in the store, the first is {missing[0]}")
    for number, line in enumerate(lines, start=1):
        _, status, reply, error = stored.get(prompt(number), ("", "", "", ""))
        if (status, reply or None) != (line["status"], line["reply"]) or not (reply or error):
            problems.append(f"turn {number}: {line['status']} on standard output, {status} in the store")
    if len(taken) > 1:
        first, last = taken[0], taken[-1]
        if last.memory > first.memory * GROWTH + SPARE_MB:
            problems.append(f"memory grew from {first.memory:.0f} to {last.memory:.0f} MB")
        if last.files > first.files + SPARE_FILES:
            problems.append(f"open files grew from {first.files} to {last.files}")
    return problems


def report(lines: list[dict[str, Any]], taken: list[Taken], seconds: float) -> None:
    """Print the tables."""
    statuses = Counter(line["status"] for line in lines)
    failures = Counter(
        reference["error"].partition(":")[0]
        for line in lines
        for layer in line["references"]
        for reference in layer
        if reference["error"]
    )
    slowest = max((line["seconds"] for line in lines), default=0.0)
    print(f"{len(lines)} turns in {seconds:.0f} s, the slowest {slowest:.1f} s")
    print("turns:      " + ", ".join(f"{name} {count}" for name, count in sorted(statuses.items())))
    print("references: " + ", ".join(f"{name} {count}" for name, count in failures.most_common()))
    print(f"\n{'after turn':>10} {'memory MB':>10} {'files':>6} {'processes':>10}")
    for row in taken:
        print(f"{row.turn:10} {row.memory:10.1f} {row.files:6} {row.processes:10}")


if __name__ == "__main__":
    sys.exit(main())
