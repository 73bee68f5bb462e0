"""`eval calibrate`: a judge compared with the official one on recorded judgments."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk
from virtual_time import run as run_virtually

from bot.app.streams import Streams
from bot.bulk.files import write_rows
from bot.errors import ExitCode, UsageError
from bot.eval.alpaca_eval.judge import swapped
from bot.eval.alpaca_eval.recorded import recorded_models as alpaca_models
from bot.eval.benchmark import Benchmark
from bot.eval.calibration import calibrate
from bot.eval.eval_context import EvalOptions
from bot.eval.mt_bench.judge import read_score
from bot.eval.mt_bench.recorded import recorded_models
from bot.eval.official_data import DataError, OfficialData, read_rows
from bot.eval.registry import open_benchmark
from bot.eval.report import read_runs
from bot.messages import Completion, Request

Calibrate = Callable[..., tuple[ExitCode, Any]]


@pytest.fixture
def calibrated(runs: BulkRuns, recorded: Path, tmp_path: Path) -> Calibrate:
    """Calibrates "reviewer"; returns the exit code and what was printed."""

    def run(benchmark: str, ask: FakeAsk, *models: str, **changes: Any) -> tuple[ExitCode, Any]:
        known: dict[str, Any] = {"judge": "together:reviewer", "data_dir": recorded, "out": tmp_path / "out"}
        options = EvalOptions(benchmark, **{**known, **changes})
        streams = runs.prepare(ask)
        settings = runs.settings(json=True)
        code = run_virtually(calibrate(settings, streams, options, models))
        runs.keep(streams)
        return code, json.loads(runs.out)

    return run


def grades(recorded: Path) -> dict[str, str]:
    """GPT-4's recorded judgments by the prompt that they answer."""
    rows = read_rows(recorded / "mt_bench" / "judgments.jsonl.gz")
    return {row["user_prompt"]: row["judgment"] for row in rows}


def test_gpt4s_own_words_agree_with_gpt4(calibrated: Calibrate, recorded: Path, tmp_path: Path) -> None:
    """A judge that says what GPT-4 said agrees in everything, and gives the published scores."""
    known = grades(recorded)
    ask = FakeAsk({"reviewer": lambda request: known.get(request.messages[-1].content, "[[1]]")})
    code, [found] = calibrated("mt_bench", ask)
    assert code == 0
    # The judge's prompts are those that were recorded, byte for byte.
    assert {request.messages[-1].content for request in ask.requests[1:]} == set(known)
    assert (found["n"], found["same"], found["kappa"], found["tau"]) == (320, 100, 1, pytest.approx(1))
    assert (found["order_models"], found["order_tau"]) == (2, pytest.approx(1))
    by_name = {each["name"]: each for each in found["models"]}
    assert by_name["mamba_0_5_dpo_ep1"]["judge"] == pytest.approx(7.12, abs=0.005)
    assert by_name["mamba_0_875_dpo_ep3"]["official"] == pytest.approx(6.37, abs=0.005)
    shown = {run["name"]: run for run in read_runs([tmp_path / "out"])}
    assert shown.keys() == by_name.keys()
    assert {run["judge"] for run in shown.values()} == {"together:reviewer"}
    assert {run["seconds_per_query"] for run in shown.values()} == {None}
    again = FakeAsk({})
    assert calibrated("mt_bench", again) == (0, [found])
    assert not again.requests


def test_a_judge_that_differs_is_measured(calibrated: Calibrate, recorded: Path) -> None:
    """One that turns the scale round orders the models the other way."""
    known = grades(recorded)

    def turned(request: Request) -> str:
        grade = read_score(known.get(request.messages[-1].content, "[[1]]"))
        return f"[[{11 - (grade or 5)}]]"

    _, [found] = calibrated("mt_bench", FakeAsk({"reviewer": turned}))
    assert found["order_tau"] == pytest.approx(-1)
    assert found["tau"] < -0.9
    assert found["kappa"] < 0
    assert found["same"] < 20


def test_a_sample_and_one_model(calibrated: Calibrate, recorded: Path) -> None:
    """--limit takes a sample of the items, --model one of the models; the order then has no tau."""
    ask = FakeAsk({"reviewer": "[[7]]"})
    code, [found] = calibrated("mt_bench", ask, "mamba_0_5_dpo_ep1", limit=8)
    assert (code, len(ask.requests)) == (0, 1 + 16)
    assert (found["n"], found["order_models"], found["order_tau"], found["kappa"]) == (16, 1, None, 0)
    assert found["models"][0]["judged"] == 16
    with pytest.raises(DataError, match="no judgments of nobody"):
        calibrated("mt_bench", ask, "nobody")


def test_several_judges_are_calibrated_at_once(calibrated: Calibrate) -> None:
    """Each judge has its own comparison."""
    ask = FakeAsk({"reviewer": "[[7]]", "other": "[[2]]"})
    judges = ("together:reviewer", "together:other")
    _, found = calibrated("mt_bench", ask, judge=judges, limit=8)
    assert [each["judge"] for each in found] == list(judges)
    assert found[0]["difference"] - found[1]["difference"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("benchmark", "changes", "says"),
    [("flask", {}, "recorded"), ("x", {}, "recorded"), ("mt_bench", {"judge": None}, "Which judge")],
)
def test_what_cannot_be_calibrated_is_refused(
    calibrated: Calibrate, benchmark: str, changes: dict[str, Any], says: str
) -> None:
    """There are no records of FLASK; a judge has to be named."""
    with pytest.raises(UsageError, match=says):
        calibrated(benchmark, FakeAsk({}), **changes)


def test_the_folder_of_a_run_is_refused(
    runs: BulkRuns, calibrated: Calibrate, recorded: Path, tmp_path: Path
) -> None:
    """Recorded answers are not put beside those of a mixture."""
    out = tmp_path / "out" / "mt_bench"
    options = EvalOptions("mt_bench", out, first=1, data_dir=recorded)
    assert runs.evaluate(options, FakeAsk({}), ("generate",)) == 0
    with pytest.raises(UsageError, match="run of a mixture"):
        calibrated("mt_bench", FakeAsk({"reviewer": "[[7]]"}))


def test_judgments_of_another_prompt_are_an_error(recorded: Path, tmp_path: Path) -> None:
    """Where the answer cannot be cut out of the judge's prompt, the question is named."""
    for name in ("question.jsonl", "judge_prompts.jsonl", "reference_answer-gpt-4.jsonl"):
        (tmp_path / name).write_bytes((recorded / "mt_bench" / name).read_bytes())
    row = {"question_id": 81, "turn": 1, "model": "m", "judgment": "[[7]]", "user_prompt": "What now?"}
    write_rows(tmp_path / "judgments.jsonl", [row])
    with pytest.raises(DataError, match="question 81, turn 1"):
        recorded_models(OfficialData(tmp_path), ())


def made_alpaca(folder: Path) -> tuple[Path, Benchmark[Any]]:
    """Adds made-up judgments of two models to a folder: "good" wins three of four, "bad" none."""
    bench = open_benchmark("alpaca_eval", folder, accept_altered=True)
    for model, wins in (("good", [2.0, 1.9, 1.8, 1.1]), ("bad", [1.0, 1.2, 1.1, 1.3])):
        rows = [
            {
                "instruction": item.turns[0],
                "output_1": item.baseline,
                "output_2": f"{model} answer {item.id}",
                "generator_2": model,
                "preference": win,
            }
            for item, win in zip(bench.items(), wins, strict=True)
        ]
        write_rows(folder / f"annotations-{model}.jsonl.gz", rows)
    return folder, bench


@pytest.mark.parametrize("by_text", [False, True])
def test_alpaca_eval_is_calibrated_with_or_without_log_probabilities(
    calibrated: Calibrate, small_alpaca: Path, *, by_text: bool
) -> None:
    """A judge for which "good" is better agrees in all but what GPT-4 thought of its last answer."""
    folder, _ = made_alpaca(small_alpaca)

    def answer(request: Request) -> Completion:
        text = request.messages[-1].content
        [name] = re.findall(r"\n\n([mM]): (?:good|bad) answer", text) or ["m"]
        other = "mM".replace(name, "")
        best = name if "good answer" in text else other
        return Completion(best, top_logprobs=() if by_text else ((best, -0.01), (best.swapcase(), -5.0)))

    ask = FakeAsk({"reviewer": answer})
    code, [found] = calibrated("alpaca_eval", ask, data_dir=folder, accept_altered=True)
    assert code == 0
    assert len(ask.requests) == (2 + 16 if by_text else 1 + 8)
    assert (found["n"], found["same"], found["order_tau"]) == (8, 87.5, pytest.approx(1))
    good, bad = (next(each for each in found["models"] if each["name"] == name) for name in ("good", "bad"))
    assert good["official"] == pytest.approx(70)
    assert good["judge"] == pytest.approx(100, abs=1)
    assert bad["judge"] == pytest.approx(0, abs=1)


@pytest.mark.slow
def test_recorded_models_of_alpaca_eval(recorded: Path) -> None:
    """Models with judgments have these and all answers, others their answers and published win rate."""
    models = {each.name: each for each in alpaca_models(OfficialData(recorded), ())}
    judged = models["claude-2"]
    assert len(judged.answers) == len(judged.scores) == 805
    assert judged.published == pytest.approx(0.17188, abs=1e-5)
    mixture = models["Together-MoA"]
    assert (len(mixture.answers), len(mixture.scores), mixture.published) == (805, 0, 0.5987)
    assert len(models) == 4 + 8
    assert swapped("x") in {True, False}


def test_without_a_name_what_has_data_is_calibrated(calibrated: Calibrate, runs: BulkRuns) -> None:
    """AlpacaEval without its judge prompt is left out with a line that says where to get it."""
    code, found = calibrated("", FakeAsk({"reviewer": "[[7]]"}), limit=8)
    assert code == 0
    assert [each["benchmark"] for each in found] == ["mt_bench"]
    assert "alpaca_eval is left out" in runs.err
    assert "https://" in runs.err


def test_the_table_is_text(runs: BulkRuns, recorded: Path, tmp_path: Path) -> None:
    """Without --json a sentence stands before the table; --dry_run says what it costs and asks nothing."""
    options: dict[str, Any] = {"judge": "together:reviewer", "data_dir": recorded, "out": tmp_path / "out"}
    for dry_run in (True, False):
        ask = FakeAsk({"reviewer": "[[7]]"})
        streams = runs.prepare(ask)
        work = calibrate(
            runs.settings(), streams, EvalOptions("mt_bench", **options, limit=8, dry_run=dry_run), ()
        )
        assert run_virtually(work) == 0
        assert isinstance(streams.stdout, io.StringIO)
        text = streams.stdout.getvalue()
        if dry_run:
            assert not ask.requests
            assert "judge together:reviewer: 32 calls" in text
    assert text.startswith("together:reviewer and gpt-4 agree in")
    assert "mamba_0_875_dpo_ep3" in text
    assert isinstance(streams, Streams)
