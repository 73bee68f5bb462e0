"""How fast the engine inside is, alone and beside other work, and how much of a prompt it reads again.

    python tests/bench/engine.py --model FILE.gguf [--tokens 48] [--turns 3]

The first table has a row for each setting of the engine's threads: tokens read and written in a second, on
the machine as it is and beside as many busy processes as there are cores. The engine's threads wait for
one another hundreds of times per token; `spins` is how often one of them looks before it sleeps (OpenMP's
GOMP_SPINCOUNT). Below it: what the program's own setting writes alone, of the fastest one, and beside
other work, of what one thread writes there. A 0 is an answer that did not come in time.

The second table has a row for each turn of a conversation: two references of the one model and the
aggregator, as the program runs them; tokens of all prompts, those of them that were read, seconds.

Run it on an idle machine; it takes two minutes with a model of 100 MB on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

import httpx  # noqa: E402 - its place is known only now

from bot.api import library  # noqa: E402
from bot.local.engine_cache import usable_cores  # noqa: E402
from bot.local.engine_process import EngineProcess  # noqa: E402
from bot.local.gguf_header import read_model  # noqa: E402
from bot.messages import Endpoint  # noqa: E402

CONTEXT = 4096
READ_WORDS = 200
SETTLE_SECONDS = 0.5
TIMEOUT = 20.0
"""Seconds for one answer; a setting that needs more is as good as stuck."""
QUESTIONS = (
    "What is the capital of France?", "And of Italy?", "Which of them is larger?", "Which is older?",
    "Where is it warmer?", "Sum up in one sentence.",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How the engine's threads run; None is the program's own number."""

    name: str
    threads: int
    writing_threads: int | None
    spins: int | None


@dataclass(frozen=True)
class Speed:
    """Tokens in a second; 0 when no answer came in time."""

    read: float = 0.0
    write: float = 0.0


def settings() -> list[Setting]:
    """The settings that are compared; the last is the program's own."""
    cores = usable_cores()
    return [
        Setting("one thread", 1, 1, None),
        Setting("all cores, OpenMP's 300,000 spins", cores, cores, 300_000),
        Setting("all cores, the program's spins", cores, cores, None),
        Setting("as in the program", cores, None, None),
    ]


@contextmanager
def engine(file: Path, setting: Setting) -> Iterator[Endpoint]:
    """Run the engine with a setting."""
    environment = {} if setting.spins is None else {"GOMP_SPINCOUNT": str(setting.spins)}
    with mock.patch.dict(os.environ, environment):
        process = EngineProcess(read_model(file), CONTEXT, setting.threads, setting.writing_threads)
    try:
        yield process.wait()
    finally:
        process.stop()


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run so many processes that use a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def speed(endpoint: Endpoint, tokens: int) -> Speed:
    """Ask for so many tokens; the prompt begins anew each time, so that all of it is read."""
    words = " ".join(["It rains in Paris."] * (READ_WORDS // 4))
    message = {"role": "user", "content": f"{secrets.token_hex(4)} {words} Go on."}
    body = {"model": "m", "messages": [message], "max_tokens": tokens, "ignore_eos": True, "temperature": 0.8}
    try:
        response = httpx.post(
            f"{endpoint.base_url}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {endpoint.key}"},
            timeout=TIMEOUT,
        )
    except httpx.TimeoutException:
        return Speed()
    timings = response.raise_for_status().json()["timings"]
    return Speed(timings["prompt_per_second"], timings["predicted_per_second"])


def measure(file: Path, setting: Setting, tokens: int) -> tuple[Speed, Speed]:
    """Return the speeds alone and beside other work."""
    with engine(file, setting) as endpoint:
        speed(endpoint, 2)  # reads the weights from the disk
        alone = speed(endpoint, tokens)
        with busy_processes(os.cpu_count() or 1):
            return alone, speed(endpoint, tokens)


def print_speeds(file: Path, tokens: int) -> None:
    """Measure every setting, and print the table."""
    print(f"{'tokens in a second':36}{'alone':>16}{'beside other work':>22}")
    print(f"{'':36}{'read':>8}{'write':>8}{'read':>14}{'write':>8}")
    found = []
    for setting in settings():
        alone, beside = measure(file, setting, tokens)
        found.append((alone.write, beside.write))
        print(
            f"{setting.name:36}{alone.read:8.0f}{alone.write:8.1f}{beside.read:14.0f}{beside.write:8.1f}",
            flush=True,
        )
    ours_alone, ours_beside = found[-1]
    print(
        f"\nwritten as in the program, alone: {ours_alone / (max(found)[0] or 1):.0%} of the fastest (≥ 90 %)"
    )
    print(f"beside other work: {ours_beside / (found[0][1] or 1):.0%} of one thread (≥ 70 %)")


async def print_turns(file: Path, turns: int, tokens: int) -> None:
    """Hold a conversation, and print what of its prompts was read."""
    options: dict[str, Any] = {
        "local": True, "models_dir": file.parent, "save": False, "reference_models": f"{file.name}*2",
        "aggregator": file.name, "max_tokens": tokens, "temperature": 0.0,
    }  # fmt: skip
    print(f"\n{'turn':>6}{'prompt tokens':>15}{'read':>8}{'seconds':>10}")
    async with library.Mixture(**options) as mixture:
        chat = mixture.chat()
        for number, question in enumerate(QUESTIONS[:turns], 1):
            result = await chat.aask(question)
            usages = [call.completion.usage for call in result.calls if call.completion]
            sent = sum(usage.prompt_tokens or 0 for usage in usages)
            read = sent - sum(usage.cached_tokens or 0 for usage in usages)
            print(f"{number:6}{sent:15,}{read:8,}{result.seconds:10.1f}", flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=48, help="the length of an answer")
    parser.add_argument("--turns", type=int, default=3, choices=range(len(QUESTIONS) + 1))
    arguments = parser.parse_args()
    file = arguments.model.absolute()
    if hasattr(os, "getloadavg"):
        print(f"{file.name}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    print_speeds(file, arguments.tokens)
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"MOA_BOT_HOME": home}):
        asyncio.run(print_turns(file, arguments.turns, arguments.tokens))
    return 0


if __name__ == "__main__":
    sys.exit(main())
