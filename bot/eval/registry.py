"""The benchmarks by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.errors import UsageError
from bot.eval.alpaca_eval.benchmark import AlpacaEval
from bot.eval.benchmark import Benchmark
from bot.eval.flask.benchmark import Flask
from bot.eval.mt_bench.benchmark import MtBench
from bot.eval.official_data import OfficialData

BENCHMARKS = {kind.name: kind for kind in (AlpacaEval, MtBench, Flask)}


def open_benchmark(
    name: str, data_dir: Path | None = None, *, accept_altered: bool = False
) -> Benchmark[Any]:
    """Return the benchmark of that name over the official data, or over that in `data_dir`.

    With `accept_altered` files in `data_dir` need not be the official ones; scores made with such
    files say so and are not called comparable. Raises UsageError for an unknown name. Reads
    nothing yet.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"No benchmark is called {name!r}.", hint=f"there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name](OfficialData(data_dir, accept_altered=accept_altered))
