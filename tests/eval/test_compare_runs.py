"""Runs of several kinds in one comparison: which arms are read from which files, and how they are paired."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.bulk.files import write_json, write_rows
from bot.cli.eval import typer_app
from bot.errors import MoaError, UsageError
from bot.eval.arms import Arm, Outcome, Proposal, Study, read_arm, write_arm, write_outcomes
from bot.eval.compare_runs import read_runs


def outcomes(scores: str) -> tuple[Outcome, ...]:
    return tuple(Outcome(f"q{n}", float(each), reply="x") for n, each in enumerate(scores))


def own_run(folder: Path, **arms: str) -> Path:
    """A run of `eval own`, by one scorer."""
    for name, scores in arms.items():
        kind = "alone" if name.startswith("alone") else "mixture"
        arm = Arm(name, kind, outcomes(scores), f"maker/{name}", ("maker/a",) if kind == "mixture" else ())
        write_arm(folder / "exact" / name, arm, Study((arm,), "exact", "", "2026-03-04", "mine.jsonl"))
        write_rows(folder / name / "results.jsonl", [{"id": "q0"}])
    return folder


def lm_eval_samples(folder: Path, task: str, values: Iterable[float]) -> Path:
    rows = (
        {"doc_id": n, "resps": [["x"]], "filter": "none", "metrics": ["acc"], "acc": value}
        for n, value in enumerate(values)
    )
    write_rows(folder / f"samples_{task}_2026-03-04T10-00-00.jsonl", rows)
    return folder


def benchmark_run(folder: Path, benchmark: str, rows: list[dict[str, Any]], **manifest: Any) -> Path:
    """A run of a benchmark over two items, with the judgments of one judge."""
    write_json(folder / "manifest.json", {"benchmark": benchmark, "name": folder.name, **manifest})
    answers = [
        {"id": str(n), "turns": [f"reply {n}"], "cost": 0.5, "seconds": 2.0, "calls": 3} for n in (81, 82)
    ]
    write_rows(folder / "results.jsonl", answers)
    if benchmark == "alpaca_eval":
        write_json(folder / "model_outputs.json", [{"instruction": "a"}, {"instruction": "b"}])
        write_json(folder / "judges" / "j" / "annotations.json", rows)
    elif benchmark == "flask":
        write_rows(folder / "judges" / "j" / "reviews.jsonl", rows)
    else:
        write_rows(
            folder / "judges" / "j" / "data" / "mt_bench" / "model_judgment" / "gpt-4_single.jsonl", rows
        )
    return folder


def test_an_arm_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Nothing of an arm, and nothing that the study says of it, is lost."""
    outcome = Outcome("q", 0.5, "g", 2, "x", (Proposal("m", "y", 1.0),), 3, 40, 0.1, 2.0, 0.5)
    study = Study((Arm("a b", "mixture", (outcome,), "w", ("m",)),), "exact", "j", "2026-03-04", "f")
    write_arm(tmp_path / "a", study.arms[0], study)
    assert read_arm(tmp_path / "a") == study


def test_an_arm_without_a_description(tmp_path: Path) -> None:
    """Outcomes alone are enough: the folder names the arm."""
    write_outcomes(tmp_path / "lone", outcomes("10"))
    write_outcomes(tmp_path / "mixed", [Outcome("q0", 1.0, proposals=(Proposal("m", "y"),))])
    assert [(arm.name, arm.kind) for arm in read_runs([tmp_path]).arms] == [
        ("lone", "alone"),
        ("mixed", "mixture"),
    ]


def test_runs_of_ones_own(tmp_path: Path) -> None:
    """Arms of the same name are told apart by their runs, others keep their names."""
    first = own_run(tmp_path / "monday", fusion="1111", alone_x="1010")
    second = own_run(tmp_path / "tuesday", fusion="0111")
    study = read_runs([first, second])
    assert [arm.name for arm in study.arms] == ["alone_x", "fusion (monday)", "fusion (tuesday)"]
    assert (study.scorer, study.date, study.source) == ("exact", "2026-03-04", "mine.jsonl")
    assert study.arms[1].members == ("maker/a",)


def test_arms_are_in_the_order_of_their_study(tmp_path: Path) -> None:
    """The first mixture is the one that the sentence is about, in `eval own` and here."""
    arms = tuple(Arm(name, "mixture", outcomes("10")) for name in ("moa", "alone", "fusion"))
    for arm in arms:
        write_arm(tmp_path / arm.name, arm, Study(arms, "exact"))
    assert [arm.name for arm in read_runs([tmp_path]).arms] == ["moa", "alone", "fusion"]


def test_the_same_run_twice(tmp_path: Path) -> None:
    run = own_run(tmp_path / "run", fusion="11")
    assert [arm.name for arm in read_runs([run, run]).arms] == ["fusion (run)", "fusion (run) #2"]


def test_scorers_are_not_mixed(tmp_path: Path) -> None:
    """Scores of different scorers are no difference of arms."""
    run = own_run(tmp_path / "run", fusion="11")
    arm = Arm("fusion", "mixture", outcomes("01"))
    write_arm(run / "number" / "fusion", arm, Study((arm,), "number"))
    with pytest.raises(UsageError, match="several scorers: exact, number"):
        read_runs([run])
    assert read_runs([run / "number"]).scorer == "number"


def test_samples_of_lm_eval(tmp_path: Path) -> None:
    """All tasks of a model are one arm, and the same number in another task is another item."""
    for model in ("moa", "other"):
        for task in ("gsm8k", "ifeval"):
            lm_eval_samples(tmp_path / model, task, [1.0, 0.0])
    study = read_runs([tmp_path / "moa", tmp_path / "other"])
    assert [(arm.name, arm.kind, len(arm.outcomes)) for arm in study.arms] == [
        ("moa", "mixture", 4),
        ("other", "alone", 4),
    ]
    assert {outcome.item for outcome in study.arms[0].outcomes} == {
        "gsm8k 0",
        "gsm8k 1",
        "ifeval 0",
        "ifeval 1",
    }


@pytest.mark.parametrize(
    ("benchmark", "rows", "items", "scores"),
    [
        (
            "alpaca_eval",
            [
                {"instruction": "b", "preference": 1.25, "annotator": "x"},
                {"instruction": "a", "preference": 0},
            ],
            ["a", "b"],
            [0.5, 0.25],
        ),
        (
            "mt_bench",
            [
                {"question_id": 81, "turn": 1, "score": 10, "judge": ["x", "y"]},
                {"question_id": 81, "turn": 2, "score": 1},
                {"question_id": 82, "turn": 1, "score": 5},
                {"question_id": 82, "turn": 2, "score": -1},
            ],
            ["81", "82"],
            [0.5, None],
        ),
        (
            "flask",
            [{"idx": 81, "score": {"a": 5, "b": 3, "c": "N/A"}, "judge": "x"}, {"idx": 82, "score": {}}],
            ["81", "82"],
            [0.75, None],
        ),
    ],
)
def test_benchmarks(
    tmp_path: Path, benchmark: str, rows: list[dict[str, Any]], items: list[str], scores: list[float | None]
) -> None:
    """Scores are from 0 to 1, joined to the answers' costs; what the judge left unreadable has none."""
    mixture = {"layers": [[{"model": "a"}, {"model": "b"}]], "aggregator": {"model": "w"}}
    run = benchmark_run(tmp_path / "mine", benchmark, rows, judges={"judges/j": {}}, mixture=mixture)
    study = read_runs([run])
    [arm] = study.arms
    assert (arm.name, arm.kind, arm.model, arm.members) == ("mine", "mixture", "w", ("a", "b"))
    assert (study.scorer, study.judge) == (benchmark, "x")
    assert [outcome.item for outcome in arm.outcomes] == items
    assert [outcome.score for outcome in arm.outcomes] == scores
    assert [(each.dollars, each.seconds, each.calls) for each in arm.outcomes] == [(0.5, 2.0, 3)] * 2
    assert read_runs([run / "judges" / "j"]).arms[0].outcomes == arm.outcomes


def test_a_lone_model_on_a_benchmark(tmp_path: Path) -> None:
    mixture = {"layers": [], "aggregator": {"model": "w"}}
    rows = [{"idx": 81, "score": {"a": 5}}]
    run = benchmark_run(tmp_path / "x", "flask", rows, judges={"judges/j": {}}, mixture=mixture)
    assert read_runs([run]).arms[0].kind == "alone"


@pytest.mark.parametrize("name", ["missing", "empty", "damaged", "unjudged"])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A path without runs, and files that are none, are errors that name the path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "outcomes.jsonl").write_text('{"item": 1, "colour": 2}\n')
    benchmark_run(tmp_path / "unjudged", "flask", [])
    with pytest.raises(UsageError, match=name):
        read_runs([tmp_path / name])


@pytest.mark.parametrize("row", ["[1]", '{"members": 3}', '{"place": "x"}', "{"])
def test_a_damaged_description(tmp_path: Path, row: str) -> None:
    write_outcomes(tmp_path, outcomes("1"))
    (tmp_path / "arm.json").write_text(row)
    with pytest.raises(UsageError, match="does not describe an arm"):
        read_arm(tmp_path)


def test_the_command(tmp_path: Path) -> None:
    """JSON on stdout, the page in a file."""
    run = own_run(tmp_path / "run", fusion="1" * 20, alone_x="1" * 8 + "0" * 12)
    done = CliRunner().invoke(
        typer_app, ["compare", str(run), "--json", "--html", str(tmp_path / "new" / "page.html")]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["sentence"].startswith("fusion beats the only lone model (alone_x) by 60.0 points")
    assert "fusion beats" in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    text = CliRunner().invoke(
        typer_app, ["compare", str(run / "exact" / "fusion"), str(run / "exact" / "alone_x")]
    )
    assert text.stdout.startswith("fusion beats the only lone model (alone_x) by 60.0 points")


def test_runs_without_common_questions(tmp_path: Path) -> None:
    """Nothing to pair is a failure (exit code 1), not a wrong use."""
    own_run(tmp_path / "run", fusion="11")
    write_outcomes(tmp_path / "other", [Outcome("another", 1.0)])
    done = CliRunner().invoke(typer_app, ["compare", str(tmp_path / "run"), str(tmp_path / "other")])
    assert isinstance(done.exception, MoaError)
    assert done.exception.exit_code == 1
