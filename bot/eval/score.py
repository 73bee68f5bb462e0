"""The figures of a recorded judgments file, one function a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.eval.files import read_rows
from bot.eval.registry import open_benchmark


def score_file(
    name: str, path: Path, data_dir: Path | None = None, *, accept_altered: bool = False
) -> dict[str, Any]:
    """Return the figures of a benchmark's official judgments file as JSON.

    With `accept_altered` the data need not be the official one: see `open_benchmark`. Raises
    DataError for a file that cannot be read, UsageError for a benchmark that is none.
    """
    return open_benchmark(name, data_dir, accept_altered=accept_altered).score(read_rows(path))


def score_alpaca(annotations: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Return AlpacaEval's figures of an `annotations.json`: see `alpaca_eval.score`."""
    return score_file("alpaca_eval", annotations, data_dir)


def score_mt_bench(judgments: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Return MT-Bench's figures of a judgments file, by model: see `mt_bench.score`."""
    return score_file("mt_bench", judgments, data_dir)


def score_flask(reviews: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Return FLASK's figures of a review file: see `flask.score`."""
    return score_file("flask", reviews, data_dir)
