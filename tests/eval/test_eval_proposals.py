"""Similarity and choice of the best answer on a run's own folder: its proposals are kept and judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk

from bot.cli.reports import similarity
from bot.errors import MoaError, UsageError
from bot.eval.arms import Proposal
from bot.eval.eval_context import EvalOptions
from bot.eval.official_data import read_rows
from bot.eval.proposals import ScoredTurn, Turn, scored_turns, selection
from bot.eval.similarity import own_instances
from bot.messages import Request

GRADES = {"poor words": 2, "fair words, more of them": 6, "good words, and even more of them": 9}


@pytest.fixture
def options(recorded: Path, tmp_path: Path) -> Callable[..., EvalOptions]:
    def make(**changes: Any) -> EvalOptions:
        known: dict[str, Any] = {"judge": "together:reviewer", "first": 3, "data_dir": recorded}
        return EvalOptions("mt_bench", tmp_path / "run", **{**known, **changes})

    return make


def grade(request: Request) -> str:
    """A reviewer that grades the answer to the last turn that it is shown."""
    text = request.messages[-1].content
    return f"[[{GRADES[max(GRADES, key=text.rfind)]}]]"


POOR, FAIR, GOOD = GRADES


def test_a_runs_own_proposals_are_kept_judged_and_compared(
    runs: BulkRuns, options: Callable[..., EvalOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --proposals each answer that a reply was made from has a score, beside that of the reply."""
    ask = FakeAsk({"a": POOR, "b": FAIR, "judge": GOOD, "reviewer": grade})
    assert runs.evaluate(options(), ask) == 0
    run = tmp_path / "run"
    rows = read_rows(run / "proposals.jsonl")
    assert [(row["id"], row["turn"]) for row in rows] == [
        (f"{81 + n}", turn) for n in range(3) for turn in (1, 2)
    ]
    assert [[each["model"], each["text"]] for each in rows[0]["proposals"]] == [["a", POOR], ["b", FAIR]]
    with pytest.raises(UsageError, match="not judged") as caught:
        scored_turns(run)
    assert "mt_bench judge --proposals" in caught.value.hint
    before = len(ask.requests)
    assert runs.evaluate(options(proposals=True), ask, ("judge", "score")) == 0
    assert len(ask.requests) - before == 3 * 2 * 2
    turns = scored_turns(run)
    assert {(each.reply, each.proposals) for each in turns} == {(9, (2, 6))}
    assert selection(turns) == {
        "n": 6, "reply": 9, "best": 6, "mean": 4, "chosen": 0, "accuracy": None, "chance": None,
    }  # fmt: skip
    assert own_instances(turns)[0].preferences == (2, 6)
    similarity(answers=run, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["instructions"] == 6
    assert found["control"]["length"]["mean"] == pytest.approx(1)
    assert found["selection"]["reply"] == 9
    similarity(answers=run, limit=2)
    assert "Mean score of the replies 9.000" in capsys.readouterr().out
    again = FakeAsk({})
    assert runs.evaluate(options(proposals=True), again) == 0
    assert not again.requests


def test_how_well_a_ranker_chooses(
    runs: BulkRuns, options: Callable[..., EvalOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In mode rank the reply is one of the proposals: how often the best one, and how often by chance."""
    ask = FakeAsk({"a": POOR, "b": FAIR, "judge": ["2", "1", "2", "2", "2", "2"], "reviewer": grade})
    assert runs.evaluate(options(proposals=True, concurrency=1), ask, mode="rank") == 0
    found = selection(scored_turns(tmp_path / "run"))
    assert (found["chosen"], found["chance"]) == (6, 50)
    assert found["accuracy"] == pytest.approx(100 * 5 / 6)
    similarity(answers=tmp_path / "run")
    assert "Of 6 replies that are one of the proposals, 83.3 % are the best one" in capsys.readouterr().out


def test_several_judges_of_proposals_are_averaged(
    runs: BulkRuns, options: Callable[..., EvalOptions], tmp_path: Path
) -> None:
    """The scores are the means of the judges that judged last."""
    ask = FakeAsk({"a": POOR, "b": FAIR, "judge": GOOD, "reviewer": grade, "other": "[[4]]"})
    judges = ("together:reviewer", "together:other")
    assert runs.evaluate(options(judge=judges, proposals=True), ask) == 0
    assert {(each.reply, each.proposals) for each in scored_turns(tmp_path / "run")} == {(6.5, (3, 5))}


def test_a_smaller_limit_keeps_proposals_and_their_scores(
    runs: BulkRuns, options: Callable[..., EvalOptions], tmp_path: Path
) -> None:
    """What the folder has of other items stays."""
    ask = FakeAsk({"a": POOR, "b": FAIR, "judge": GOOD, "reviewer": grade})
    assert runs.evaluate(options(proposals=True), ask) == 0
    before = scored_turns(tmp_path / "run")
    asked = len(ask.requests)
    assert runs.evaluate(options(first=1, proposals=True), ask) == 0
    assert scored_turns(tmp_path / "run") == before
    assert len(ask.requests) == asked


def test_a_run_without_proposals_says_how_to_make_them(
    runs: BulkRuns, options: Callable[..., EvalOptions], tmp_path: Path
) -> None:
    """A folder of an earlier version gets its proposals by `generate`, which asks nothing again."""
    ask = FakeAsk({"a": POOR, "b": FAIR, "judge": GOOD, "reviewer": grade})
    assert runs.evaluate(options(), ask) == 0
    (tmp_path / "run" / "proposals.jsonl").unlink()
    with pytest.raises(UsageError, match="no proposals"):
        scored_turns(tmp_path / "run")
    with pytest.raises(MoaError, match="no proposals to judge"):
        runs.evaluate(options(proposals=True), ask, ("judge", "score"))
    asked = len(ask.requests)
    assert runs.evaluate(options(), ask, ("generate",)) == 0
    assert len(ask.requests) == asked
    assert runs.evaluate(options(proposals=True), ask, ("judge", "score")) == 0
    assert len(scored_turns(tmp_path / "run")) == 6


def scored(reply: str, given: float | None, *proposals: tuple[str, float | None]) -> ScoredTurn:
    turn = Turn("1", 1, reply, tuple(Proposal("m", text) for text, _ in proposals))
    return ScoredTurn(turn, given, tuple(score for _, score in proposals))


@pytest.mark.parametrize(
    ("turns", "n", "chosen", "accuracy", "chance"),
    [
        ([], 0, 0, None, None),
        ([scored("a", 1, ("a", 1), ("b", 0))], 1, 1, 100, 50),
        ([scored("b", 0, ("a", 1), ("b", 0))], 1, 1, 0, 50),
        # Equally good answers: whichever is chosen is the best one.
        ([scored("a", 1, ("a", 1), ("b", 1), ("c", 0))], 1, 1, 100, 200 / 3),
        ([scored("x", 1, ("a", 1), ("b", 0))], 1, 0, None, None),
        # A single proposal is no choice; an unknown score says nothing.
        ([scored("a", 1, ("a", 1))], 1, 0, None, None),
        ([scored("a", None, ("a", 1), ("b", 0))], 0, 0, None, None),
        ([scored("a", 1, ("a", 1), ("b", None))], 0, 0, None, None),
        ([scored("a", 1)], 0, 0, None, None),
    ],
)
def test_selection(
    turns: list[ScoredTurn], n: int, chosen: int, accuracy: float | None, chance: float | None
) -> None:
    """Accuracy and chance over the turns that can be counted."""
    found = selection(turns)
    assert (found["n"], found["chosen"], found["accuracy"]) == (n, chosen, accuracy)
    assert found["chance"] == (None if chance is None else pytest.approx(chance))
