"""`eval … --dry_run`: what a run may cost, the judge included."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk
from virtual_time import run as run_virtually

from bot.app.streams import Streams
from bot.eval.eval_context import EvalOptions
from bot.eval.judges import JudgeOptions
from bot.eval.sweep import sweep

PRICES = """
[models."a"]
input_price = 1.0
output_price = 2.0
[models."b"]
input_price = 1.0
output_price = 2.0
[models."judge"]
input_price = 1.0
output_price = 2.0
[models."reviewer"]
input_price = 10.0
output_price = 30.0
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRuns:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(PRICES)
    return BulkRuns(home, monkeypatch)


@pytest.fixture
def options(recorded: Path, tmp_path: Path) -> Callable[..., EvalOptions]:
    def make(benchmark: str = "mt_bench", **changes: Any) -> EvalOptions:
        known: dict[str, Any] = {"judge": "together:reviewer", "data_dir": recorded, "dry_run": True}
        return EvalOptions(benchmark, tmp_path / "run", **{**known, **changes})

    return make


def dry(runs: BulkRuns, options: EvalOptions, stages: Any = ("generate", "judge", "score")) -> dict[str, Any]:
    """What a run with --dry_run prints; it asks nothing and makes no folder."""
    ask = FakeAsk({})
    assert runs.evaluate(options, ask, stages) == 0
    assert not ask.requests
    assert options.out is not None
    assert not options.out.exists()
    return runs.summary


def test_the_judge_is_part_of_the_cost(runs: BulkRuns, options: Callable[..., EvalOptions]) -> None:
    """MT-Bench: 160 turns of two references and an aggregator, and 160 judgments."""
    found = dry(runs, options())
    answers, judge = found["parts"]
    assert (answers["name"], answers["calls"]) == ("answers", 160 * 3)
    assert (judge["name"], judge["calls"]) == ("judge together:reviewer", 160)
    assert 0 < answers["likely"] < answers["most"]
    # Between 160 × (200 to 3,000 tokens read, 300 written).
    assert 160 * (200 * 10 + 300 * 30) / 1e6 < judge["likely"] < 160 * (3000 * 10 + 300 * 30) / 1e6
    assert judge["most"] > judge["likely"]
    assert found["likely"] == pytest.approx(answers["likely"] + judge["likely"])
    assert not answers["unpriced"] + judge["unpriced"]


@pytest.mark.parametrize(
    ("stages", "names"), [(("generate",), ["answers"]), (("judge", "score"), ["judge together:reviewer"])]
)
def test_only_what_the_stage_does_is_counted(
    runs: BulkRuns, options: Callable[..., EvalOptions], stages: tuple[str, ...], names: list[str]
) -> None:
    """`generate` has no judge, `judge` no mixture."""
    assert [part["name"] for part in dry(runs, options(first=2), stages)["parts"]] == names


def test_fewer_items_and_more_judges(runs: BulkRuns, options: Callable[..., EvalOptions]) -> None:
    """--limit and a jury count; so does what a judge may write."""
    jury = ("together:reviewer", "together:stranger")
    found = dry(runs, options(limit=8, judge=jury))
    assert [part["calls"] for part in found["parts"]] == [16 * 3, 16, 16]
    assert found["parts"][2]["unpriced"] == ["stranger"]
    short = dry(runs, options(limit=8, judging=JudgeOptions(max_tokens=10)))
    assert short["parts"][1]["most"] < found["parts"][1]["most"]


def test_no_key_of_the_judge_is_needed(runs: BulkRuns, options: Callable[..., EvalOptions]) -> None:
    """The official judge's cost is estimated before one has its key."""
    assert dry(runs, options(judge=None, first=1))["parts"][1]["name"] == "judge gpt-4"


def test_a_judge_by_text_is_asked_twice(
    runs: BulkRuns, options: Callable[..., EvalOptions], small_alpaca: Path
) -> None:
    """Both orders of the answers are counted."""
    common = {"data_dir": small_alpaca, "accept_altered": True}
    once = dry(runs, options("alpaca_eval", **common))["parts"][1]
    twice = dry(runs, options("alpaca_eval", **common, judging=JudgeOptions(by="text")))["parts"][1]
    assert (once["calls"], twice["calls"]) == (4, 8)
    assert twice["likely"] > 2 * once["likely"]


def test_a_sweep_counts_all_its_mixtures(runs: BulkRuns, options: Callable[..., EvalOptions]) -> None:
    """Two mixtures of a sweep: their answers and twice the judgments; as text, with a sum."""
    streams = Streams(None, io.StringIO(), io.StringIO(), False, False, False)  # noqa: FBT003 - no terminal
    settings = runs.settings()
    assert run_virtually(sweep(settings, streams, options(first=1), ("proposers",))) == 0
    assert isinstance(streams.stdout, io.StringIO)
    text = streams.stdout.getvalue()
    assert "1 item of each of 2 mixtures" in text
    assert "judge together:reviewer: 4 calls" in text
    assert f"answers: {2 * (2 + 3)} calls" in text
    assert "together: about $" in text
