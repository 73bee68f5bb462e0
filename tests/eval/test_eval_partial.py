"""Partial runs do not mislead: what counts as a score, what is comparable, when a run has failed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk

from bot.bulk.files import Row, write_rows
from bot.errors import ExitCode
from bot.eval.eval_context import EvalOptions
from bot.eval.mt_bench.score import score as mt_bench_score

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRuns:
    return BulkRuns(tmp_path / "home", monkeypatch)


def turns(ids: range, model: str = "moa", judge: str = "gpt-4") -> list[Row]:
    """Judgments of both turns of these questions."""
    return [
        {"question_id": n, "turn": turn, "model": model, "judgment": "[[7]]", "judge": [judge, "single-v1"]}
        for n in ids
        for turn in (1, 2)
    ]


@pytest.mark.parametrize(
    ("rows", "comparable", "says"),
    [
        (turns(range(81, 161)), True, ""),
        (turns(range(81, 160)), False, "158 of 160 turns"),
        (turns(range(1, 81)), False, "0 of 160 turns"),
        (turns(range(80, 160)), False, "158 of 160 turns"),
        (turns(range(81, 161), judge="gpt-4o"), False, "the judge is gpt-4o"),
        (turns(range(81, 160)) + turns(range(160, 161), judge="gpt-4o"), False, "the judge is gpt-4o"),
        ([*turns(range(81, 161))[:-1], {**turns(range(160, 161))[1], "judgment": "[[11]]"}], False, "159 of"),
    ],
)
def test_only_the_whole_set_with_the_official_judge_is_comparable(
    *, rows: list[Row], comparable: bool, says: str
) -> None:
    """As many rows as the set has are not the set, and one row of another judge is another judge."""
    found = mt_bench_score(rows)["moa"]
    assert found["comparable"] is comparable
    assert any(says in note for note in found["notes"]) or comparable


@pytest.mark.parametrize(
    ("benchmark", "rows"),
    [
        ("mt_bench", []),
        ("mt_bench", [{"question_id": 81, "turn": 1, "model": "moa", "judgment": "no idea"}]),
        ("mt_bench", [{"question_id": 81, "turn": 1, "model": "moa", "score": 11}]),
        ("flask", [{"idx": 1, "review": "no idea"}]),
        ("flask", [{"idx": 1, "review": "{'readability': 7}"}]),
        ("flask", []),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_file_without_any_score_is_an_error(
    here: Run, tmp_path: Path, benchmark: str, rows: list[Row], form: tuple[str, ...]
) -> None:
    """`score FILE` ends with 1 when no row has a score, and says so."""
    write_rows(tmp_path / "rows.jsonl", rows)
    done = here("eval", benchmark, "score", str(tmp_path / "rows.jsonl"), "--data_dir", str(tmp_path), *form)
    assert done.returncode == 1
    assert "no row has a score" in done.stderr
    assert not form or json.loads(done.stdout) is not None


@pytest.mark.parametrize(
    ("judge", "max_errors", "code"),
    [("Good. [[9]]", 0, 0), ("no idea", 0, 1), ("no idea", 100, 1), ("[[11]]", 100, 1), ("[[0]]", 100, 1)],
)
def test_a_run_without_any_score_has_failed(
    runs: BulkRuns, recorded: Path, tmp_path: Path, judge: str, max_errors: int, code: int
) -> None:
    """However many errors are allowed, a run without a figure ends with 1; so does scoring it anew."""
    options: dict[str, Any] = {
        "benchmark": "mt_bench",
        "out": tmp_path / "run",
        "limit": 2,
        "judge": "together:reviewer",
        "data_dir": recorded,
        "max_errors": max_errors,
    }
    ask = FakeAsk({"reviewer": judge})
    assert runs.evaluate(EvalOptions(**options), ask) == code
    assert runs.summary["unparsable"] == (4 if code else 0)
    assert ("no score at all" in runs.err) == bool(code)
    again = EvalOptions("mt_bench", tmp_path / "run", data_dir=recorded, max_errors=max_errors)
    assert runs.evaluate(again, ask, ("score",)) == code


def test_a_run_without_any_answer_has_failed(runs: BulkRuns, recorded: Path, tmp_path: Path) -> None:
    """An aggregator that never answers fails the run, also with --max_errors above the number of items."""
    options = EvalOptions("mt_bench", tmp_path / "run", limit=2, data_dir=recorded, max_errors=9)
    assert runs.evaluate(options, FakeAsk({"judge": ""}), ("generate",)) is ExitCode.FAILED
    assert "no answer at all" in runs.err
