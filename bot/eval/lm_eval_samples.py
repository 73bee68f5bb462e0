"""Samples of lm-evaluation-harness as an arm of a comparison: what `lm_eval --log_samples` writes.

    OUT/MODEL/samples_TASK_DATE.jsonl, with results_DATE.json beside it

A line has `doc_id`, `resps` (the answers), `filter`, the names of its `metrics`, and each metric under its
name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bot.errors import UsageError
from bot.eval.arms import Arm, ArmKind, Outcome

SERVED = "moa"
"""What `moa-bot serve` calls its mixture."""


def read_lm_eval_samples(path: Path) -> Arm:
    """Return what a model made of a task's items.

    Where a task has several filters or metrics, the first of each in the file counts. Tokens, dollars and
    seconds are not in such a file. Raises UsageError for a file that is none.
    """
    rows = _rows(path)
    first = rows[0]
    metric = first["metrics"][0]
    rows = [row for row in rows if row.get("filter") == first.get("filter")]
    name = _model_name(path)
    kind: ArmKind = "mixture" if name == SERVED or name.startswith(f"{SERVED}/") else "alone"
    return Arm(name, kind, tuple(_outcome(row, metric) for row in rows), model=name)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: these are no samples of lm-eval: {error}") from error
    if not rows:
        raise UsageError(f"{path}: there are no samples in it.")
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row, dict) and "doc_id" in row and row.get("metrics")):
            raise UsageError(
                f"{path}:{number}: this is no sample of lm-eval: it has no doc_id or no metrics."
            )
    return rows


def _outcome(row: dict[str, Any], metric: str) -> Outcome:
    value, error = row.get(metric), ""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        shown = " ".join(str(value).split())[:100]
        value, error = None, f"{metric} is not a number from 0 to 1: {shown}"
    return Outcome(
        item=str(row["doc_id"]),
        score=None if value is None else float(value),
        reply=_reply(row.get("resps")),
        calls=1,
        error=error,
    )


def _reply(answers: object) -> str:
    """Return the first text in lists of lists; "" where the task reads probabilities."""
    while isinstance(answers, list) and answers:
        answers = answers[0]
    return answers if isinstance(answers, str) else ""


def _model_name(path: Path) -> str:
    """Return the model's name in the results of the same run, else the folder's name."""
    results = path.with_name(f"results_{path.stem.rpartition('_')[2]}.json")
    try:
        found = json.loads(results.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.resolve().parent.name
    name = found.get("model_name") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name else path.resolve().parent.name
