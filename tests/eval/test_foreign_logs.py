"""Logs of inspect_ai and samples of lm-eval, read as arms of a comparison."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bot.errors import UsageError
from bot.eval.arms import Proposal
from bot.eval.inspect_logs import read_inspect_log
from bot.eval.lm_eval_samples import read_lm_eval_samples

TURN = {
    "model": "judge",
    "references": [
        [{"model": "a", "text": "early", "error": None}],
        [
            {"model": "a", "text": "four", "error": None},
            {"model": "b", "text": None, "error": "timed out"},
            {"model": "a", "text": "five", "error": None},
        ],
    ],
    "calls": 5,
    "cost": 0.25,
    "seconds": 2.0,
    "first_token": 0.5,
}


def event(*, metadata: Any = None, **changes: Any) -> SimpleNamespace:
    """Return a model event as inspect's reader has it."""
    usage = SimpleNamespace(total_tokens=30, total_cost=0.5)
    output = SimpleNamespace(choices=[object()], metadata=metadata, usage=usage)
    told = {"event": "model", "model": "moa/demo", "role": None, "output": output, "working_time": 1.5}
    return SimpleNamespace(**{**told, **changes})


def sample(value: object, *events: SimpleNamespace, **changes: Any) -> SimpleNamespace:
    """Return a sample with one score."""
    score = SimpleNamespace(value=value, reason=changes.pop("reason", None), explanation=None)
    told = {
        "id": 7,
        "epoch": 1,
        "scores": {"match": score},
        "error": None,
        "metadata": {"group": "sums"},
        "events": events or (event(),),
        "output": SimpleNamespace(completion="four"),
    }
    return SimpleNamespace(**{**told, **changes})


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that reads samples as inspect's own reader would return them."""

    def of(*samples: SimpleNamespace, headline: object = None) -> Any:
        log = SimpleNamespace(
            samples=list(samples),
            status="success",
            eval=SimpleNamespace(model="moa/demo"),
            results=SimpleNamespace(headline=headline),
        )
        module = ModuleType("inspect_ai.log")
        module.read_eval_log = lambda path, **_: log  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "inspect_ai", ModuleType("inspect_ai"))
        monkeypatch.setitem(sys.modules, "inspect_ai.log", module)
        return read_inspect_log(Path("x.eval"))

    return of


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("C", 1), ("I", 0), ("P", 0.5), ("N", 0), ("yes", 1), ("True", 1), ("no", 0), ("0.25", 0.25),
        (1, 1), (True, 1), (False, 0), (0.75, 0.75), ({"strict": True, "loose": False}, 1),
        (float("nan"), None), (7, None), (-1, None), ("A", None), ([1, 0], None), ({}, None),
    ],
)  # fmt: skip
def test_scores_of_inspect(read: Any, value: object, score: float | None) -> None:
    """Its letters and words are numbers from 0 to 1; what is none is not scored, and says why."""
    [outcome] = read(sample(value)).outcomes
    assert outcome.score == score
    assert bool(outcome.error) == (score is None)


def test_the_headline_score_counts(read: Any) -> None:
    """Of several scorers, and of several values of one, that which the log names as its headline."""
    scores = {
        "match": SimpleNamespace(value="I", reason=None, explanation=None),
        "rules": SimpleNamespace(value={"strict": 0, "loose": 1}, reason=None, explanation=None),
    }
    headline = SimpleNamespace(scorer="rules", score="loose")
    assert read(sample("I", scores=scores)).outcomes[0].score == 0
    assert read(sample("I", scores=scores), headline=headline).outcomes[0].score == 1


def test_a_mixture_in_a_log(read: Any) -> None:
    """Members, the answers that the aggregator read, tokens, dollars and seconds are the provider's."""
    arm = read(sample("C", event(metadata={"moa": TURN})))
    assert (arm.name, arm.kind, arm.model, arm.members) == ("moa/demo", "mixture", "judge", ("a", "b"))
    [outcome] = arm.outcomes
    assert outcome.proposals == (Proposal("a", "four"), Proposal("a", "five"))
    assert (outcome.item, outcome.group, outcome.calls, outcome.tokens) == ("7", "sums", 5, 30)
    assert (outcome.dollars, outcome.seconds, outcome.first_word) == (0.25, 2.0, 0.5)


def test_another_model_in_a_log(read: Any) -> None:
    """All its calls count, a grader's and those without an answer do not."""
    no_answer = event(output=SimpleNamespace(choices=[], metadata=None, usage=None))
    events = (
        event(),
        event(role="grader"),
        event(model="other"),
        no_answer,
        event(),
        SimpleNamespace(event="info"),
    )
    arm = read(sample("C", *events))
    [outcome] = arm.outcomes
    assert (arm.kind, arm.model, arm.members) == ("alone", "moa/demo", ())
    assert (outcome.calls, outcome.tokens, outcome.dollars, outcome.seconds) == (2, 60, 1.0, 3.0)
    assert outcome.first_word is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"error": SimpleNamespace(message="timed\nout")}, "timed out"),
        ({"scores": None}, "it was not scored"),
        ({"reason": "grader_failed"}, "grader_failed"),
    ],
)
def test_samples_without_a_score(read: Any, changes: dict[str, Any], error: str) -> None:
    """A sample that failed, or was not scored, is there with the reason."""
    [outcome] = read(sample(float("nan"), **changes)).outcomes
    assert (outcome.score, outcome.error) == (None, error)


def test_a_log_without_samples(read: Any) -> None:
    """That is said, with the log's status."""
    with pytest.raises(UsageError, match=r"no samples .*success"):
        read()


def test_inspect_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(UsageError) as raised:
        read_inspect_log(Path("x.eval"))
    assert "moa-bot[inspect]" in raised.value.hint


def lm_row(doc_id: int, score: object, text: str = "four", filter_: str = "none") -> dict[str, object]:
    """Return a line of samples as lm-eval 0.4 writes it."""
    row = {"doc_id": doc_id, "doc": {}, "target": "4", "arguments": {}, "resps": [[text]], "filter": filter_}
    return {**row, "metrics": ["exact_match"], "exact_match": score}


def lm_file(tmp_path: Path, rows: list[dict[str, object]]) -> Path:
    """Write samples as a run does, without its results."""
    file = tmp_path / "folder" / "samples_gsm8k_2026-01-02T03-04-05.678.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_samples_of_lm_eval(tmp_path: Path) -> None:
    """One outcome an item, of the first filter; the model's name is in the results beside them."""
    rows = [lm_row(3, 1.0), lm_row(3, 0.0, filter_="strict"), lm_row(4, 0, "five"), lm_row(5, "?")]
    file = lm_file(tmp_path, rows)
    assert (read_lm_eval_samples(file).name, read_lm_eval_samples(file).kind) == ("folder", "alone")
    file.with_name("results_2026-01-02T03-04-05.678.json").write_text(json.dumps({"model_name": "moa"}))
    arm = read_lm_eval_samples(file)
    assert (arm.name, arm.kind) == ("moa", "mixture")
    assert [(each.item, each.score, each.reply) for each in arm.outcomes] == [
        ("3", 1.0, "four"), ("4", 0.0, "five"), ("5", None, "four"),
    ]  # fmt: skip
    assert arm.outcomes[2].error == "exact_match is not a number from 0 to 1: ?"


@pytest.mark.parametrize(
    "text", ["", "\n", "no JSON", "[]", "{}", '{"doc_id": 1}', '{"doc_id": 1, "metrics": []}']
)
def test_files_that_are_no_samples(tmp_path: Path, text: str) -> None:
    """They are named in a UsageError."""
    file = tmp_path / "samples_x.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"samples_x\.jsonl"):
        read_lm_eval_samples(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """That is said."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_lm_eval_samples(tmp_path / "samples_x.jsonl")
