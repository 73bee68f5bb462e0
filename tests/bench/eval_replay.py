"""AlpacaEval and MT-Bench, whole, against recorded answers and judgments; and what a call costs.

The offline service plays references, aggregator and judge with what was recorded. All 805
instructions and all 80 questions are run by `moa-bot eval … run`, and the figures have to be the
published ones; then AlpacaEval is run again, killed (SIGKILL) twice on the way and resumed, with the
same figures, and only what was under way at a kill is asked twice. Last, a batch of prompts over slow
models shows how well requests are packed.

    python tests/bench/eval_replay.py [--data FOLDER] [--prompts N]

Exits with 1 when a figure differs, or a request was made twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import recorded_runs as recordings  # noqa: E402 - the tests' own helpers
from services import start_service  # noqa: E402 - likewise

from bot.demo.process import DemoProcess  # noqa: E402 - likewise

IN_FLIGHT = 64
UNDER_WAY = 32
"""Requests that may be under way at a kill: what nobody has written down has to be asked again."""
SECONDS = 0.5
MODELS = 5


def main() -> int:
    """Run everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="the recorded data"
    )
    parser.add_argument("--prompts", type=int, default=805, help="prompts of the batch")
    arguments = parser.parse_args()
    if not (arguments.data / "alpaca_eval").is_dir():
        print("skipped: there is no recorded data beside the checkout (--data FOLDER)")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = [alpaca(arguments.data, folder), mt_bench(arguments.data, folder)]
        batch(folder, arguments.prompts)
    return 0 if all(right) else 1


def alpaca(data: Path, folder: Path) -> bool:
    """Run AlpacaEval; its raw win rate must be claude-2's."""
    official = recordings.alpaca_data(data, folder)
    behaviour = recordings.alpaca_behaviour(data, official, folder)
    with start_service(folder, behaviour) as service:
        options = ["-r", ",".join(recordings.REFERENCES), "-a", recordings.UNDER_TEST]
        summary, seconds = evaluate(service, folder, "alpaca_eval", official, options)
        calls = service.requests()
        service.clear_requests()
        resumed = killed_twice(service, folder, official, options, seconds)
        again = len(service.requests()) - len(calls)
    figures = summary["figures"]
    print(
        f"alpaca_eval  raw {figures['win_rate']:.2f} (recorded 17.19)"
        f", LC {figures['length_controlled_winrate']:.2f}"
        f", {summary['n']} of {summary['n_expected']}, {len(calls)} requests, {seconds:.1f} s"
    )
    same = resumed["figures"] == figures and resumed["n"] == summary["n"]
    print(f"  killed twice: {'the same figures' if same else 'OTHER FIGURES'}, {again} requests asked again")
    right = abs(figures["win_rate"] - 17.18824) < 1e-4 and len(calls) == 805 * 4
    return right and same and again <= 2 * UNDER_WAY


def killed_twice(
    service: DemoProcess, folder: Path, data: Path, options: list[str], seconds: float
) -> dict[str, Any]:
    """Run AlpacaEval, kill it at about a third and two thirds of its way, and let it finish."""
    command = command_of("alpaca_eval", data, options, folder / "killed")
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", *command],
            stdout=subprocess.DEVNULL,
            env=environment_of(service, folder),
            cwd=ROOT,
        )
        time.sleep(seconds / 3)
        process.kill()
        process.wait()
    done, _, _ = run(service, folder, command)
    summary: dict[str, Any] = json.loads(done)
    return summary


def mt_bench(data: Path, folder: Path) -> bool:
    """Run MT-Bench; its score must be the published one."""
    with start_service(folder, recordings.mt_behaviour(data, folder)) as service:
        options = ["-r", "reference", "-a", recordings.MT_MODEL]
        summary, seconds = evaluate(service, folder, "mt_bench", data, options)
        calls = service.requests()
    [figures] = summary["figures"].values()
    print(
        f"mt_bench     {figures['score']:.3f} (published 7.12), {summary['n']} of {summary['n_expected']}"
        f", {len(calls)} requests, {seconds:.1f} s"
    )
    return abs(figures["score"] - 7.12) < 0.005 and len(calls) == 480


def evaluate(
    service: DemoProcess, folder: Path, name: str, data: Path, options: list[str]
) -> tuple[dict[str, Any], float]:
    """Run a benchmark; returns its summary and the seconds it took."""
    done, seconds, _ = run(service, folder, command_of(name, data, options, folder / name))
    summary: dict[str, Any] = json.loads(done)
    return summary, seconds


def command_of(name: str, data: Path, options: list[str], out: Path) -> list[str]:
    """Return the arguments that run a benchmark into this folder."""
    command = ["eval", name, "run", "--data_dir", str(data), "--accept_altered", "--json", "--quiet"]
    command += [*options, "--judge", f"together:{recordings.JUDGE}", "--max_tokens", "100000"]
    return [*command, "--out", str(out)]


def environment_of(service: DemoProcess, folder: Path) -> dict[str, str]:
    """Return the environment of a run against this service."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MOA_BOT_")},
        "TOGETHER_BASE_URL": service.base_url,
        "TOGETHER_API_KEY": "none-needed",
        "MOA_BOT_HOME": str(folder / "home"),
    }


def batch(folder: Path, count: int) -> None:
    """Ask five slow models and an aggregator about each prompt, 64 requests at once."""
    says = {f"m{number}": {"reply": "a short answer", "delay": SECONDS} for number in range(MODELS - 1)}
    says["last"] = {"reply": "the reply", "delay": SECONDS}
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(count)))
    with start_service(folder, {"models": says}) as service:
        command = ["batch", str(file), "-r", ",".join(list(says)[:-1]), "-a", "last", "--quiet"]
        _, seconds, cpu = run(service, folder, [*command, "--concurrency", str(IN_FLIGHT)])
        requests = service.requests()
    span = max(each["ended"] for each in requests) - min(each["time"] for each in requests)
    ideal = len(requests) * SECONDS / IN_FLIGHT
    print(
        f"batch        {len(requests)} calls, {span:.1f} s from the first request to the last answer, perfect"
        f" {ideal:.1f} s: {ideal / span:.1%}; {seconds:.1f} s in all"
        f", {cpu / len(requests) * 1000:.2f} ms CPU a call"
    )


def run(service: DemoProcess, folder: Path, arguments: list[str]) -> tuple[str, float, float]:
    """Run the program; returns what it printed, the seconds it took, and those of CPU time."""
    command = [sys.executable, "-m", "bot", *arguments]
    started, cpu = time.monotonic(), Cpu()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment_of(service, folder), cwd=ROOT
    ) as process:
        watching = threading.Thread(target=cpu.watch, args=(process,), daemon=True)
        watching.start()
        printed = process.stdout.read() if process.stdout else b""
        process.wait()
        watching.join()
    if process.returncode:
        raise SystemExit(f"moa-bot {' '.join(arguments[:3])} ended with {process.returncode}")
    return printed.decode(), time.monotonic() - started, cpu.total()


class Cpu:
    """CPU seconds of a process and all below it, looked at five times a second."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Look until the process has ended."""
        root = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                for each in (root, *root.children(recursive=True)):
                    times = each.cpu_times()
                    self._seconds[each.pid] = times.user + times.system
            time.sleep(0.2)

    def total(self) -> float:
        """Return the sum of what was last seen of each process."""
        return sum(self._seconds.values())


if __name__ == "__main__":
    sys.exit(main())
