"""Fixtures of the tests of evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest
from bulk_runs import BulkRuns
from recorded_runs import JUDGE_PROMPT

from bot.bulk.files import write_rows


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRuns:
    """Runs with a home of their own."""
    return BulkRuns(tmp_path / "home", monkeypatch)


@pytest.fixture
def small_alpaca(tmp_path: Path) -> Path:
    """A folder of AlpacaEval's files with four made-up instructions."""
    data = tmp_path / "data"
    rows = [
        {"instruction": f"Question {n}?", "dataset": "made", "output": "A baseline of some length."}
        for n in range(4)
    ]
    write_rows(data / "alpaca_eval_gpt4_baseline.json", rows)
    (data / "alpaca_eval_clf.txt").write_text(JUDGE_PROMPT)
    columns = "index,preference,std_delta_len,instruction_difficulty\n"
    (data / "df_gamed.csv").write_text(columns + "0,0.5,1.0,0.1\n")
    (data / "instruction_difficulty.csv").write_text(",instruction_difficulty\n0,0.1\n")
    return data
