"""A batch of 805 prompts for five models and an aggregator, half a second each, 64 calls in flight."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
from common import MODELS, ROOT, Row, environment, home, moa, simulated

PROMPTS, IN_FLIGHT, EACH = 805, 64, 0.5
REFERENCES = MODELS[:5]


def measure(*, short: bool) -> list[Row]:
    """Return the rows about packing: how near to a schedule without any gap, and what a call costs."""
    prompts = 192 if short else PROMPTS
    models = {name: {"reply": "an answer", "delay": EACH} for name in (*REFERENCES, "judge")}
    with simulated(models) as service, home() as folder:
        source = Path(folder) / "prompts.jsonl"
        source.write_text("".join(json.dumps({"prompt": f"prompt {n}"}) + "\n" for n in range(prompts)))
        command = moa("batch", str(source), "--out", str(Path(folder) / "answers.jsonl"))
        command += ["-r", ",".join(REFERENCES), "-a", "judge", "--concurrency", str(IN_FLIGHT)]
        settings = environment(TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY="x", MOA_BOT_HOME=folder)
        process = subprocess.Popen(
            command,
            env=settings,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        cpu = _cpu_until_over(process)
        assert process.returncode == 0, process.communicate()[1]
        process.communicate()
        requests = service.requests()
    took = max(request["ended"] for request in requests) - min(request["time"] for request in requests)
    calls = len(requests)
    perfect = calls * EACH / IN_FLIGHT
    return [
        Row("batch: time over perfect packing", "s", took, perfect, perfect / 0.95, "≥ 95 % of perfect"),
        Row("batch: CPU a call", "ms", cpu / calls * 1000),
        Row("batch: calls", "", calls, None, prompts * 6, "6 a prompt", counts=True),
    ]


def _cpu_until_over(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds of the process and all below it, as last seen before the end."""
    seen: dict[int, float] = {}
    family = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            for member in (family, *family.children(recursive=True)):
                times = member.cpu_times()
                seen[member.pid] = times.user + times.system
        except psutil.Error:
            pass  # it ended while it was looked at
        time.sleep(0.1)
    return sum(seen.values())


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__, ensure_ascii=False))
