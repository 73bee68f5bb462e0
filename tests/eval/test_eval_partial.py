"""Partial runs do not mislead: what counts as a score, what is comparable, when a run has failed."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk, Reply, failed

from bot.bulk.files import Row, write_rows
from bot.errors import ExitCode, FailureKind, UsageError
from bot.eval.benchmark import Item, figure, interval, stratified
from bot.eval.eval_context import EvalOptions
from bot.eval.mt_bench.score import score as mt_bench_score
from bot.eval.official_data import read_rows
from bot.eval.registry import open_benchmark
from bot.eval.report import text_report
from bot.messages import Completion

Run = Callable[..., subprocess.CompletedProcess[str]]


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["claude-2", "FuseChat-Gemma-2-9B-Instruct", "FuseChat-Qwen-2.5-7B-Instruct"]
)
def test_intervals_of_random_subsets_cover_the_whole_sets_figure(recorded: Path, model: str) -> None:
    """Of 100 random subsets of 20, 100, 200 and 400 real judgments, 90 intervals or more cover the truth."""
    rows = read_rows(recorded / "alpaca_eval" / f"annotations-{model}.jsonl.gz")
    wins = [row["preference"] - 1 for row in rows]
    truth, generator = statistics.fmean(wins), random.Random(11)
    for size in (20, 100, 200, 400):
        covered = 0
        for _ in range(100):
            ends = interval([win] for win in generator.sample(wins, size))
            assert ends is not None
            covered += ends[0] <= truth <= ends[1]
        assert covered >= 90, size


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.03, 0.2, 0.5, 0.97])
def test_intervals_cover_a_known_truth(share: float) -> None:
    """Of 300 simulated runs of 100 right/wrong items in pairs, about 95 % cover the truth."""
    generator = random.Random(5)
    covered = 0
    for _ in range(300):
        items = [float(generator.random() < share) for _ in range(100)]
        ends = interval([item, item] for item in items)
        assert ends is not None
        covered += ends[0] <= share <= ends[1]
    assert 0.91 < covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("groups", "scale"),
    [
        ([[0.0]] * 20, (0, 1)),
        ([[1.0]] * 2, (0, 1)),
        ([[1.0]] * 20, (1, 5)),
        ([[10.0], [10.0], [1.0]], (1, 10)),
    ],
)
def test_an_interval_stays_within_the_scale(groups: list[list[float]], scale: tuple[int, int]) -> None:
    """The ends never pass the scale, and hold the mean, also where all scores are the same."""
    ends = interval(groups, *scale)
    assert ends is not None
    mean = figure(groups)["score"]
    assert mean is not None
    assert scale[0] <= ends[0] <= mean <= ends[1] <= scale[1]
    assert ends[0] < ends[1]


@pytest.mark.parametrize("groups", [[], [[]], [[0.5]], [[0.5, 0.7]]])
def test_one_group_has_no_interval(groups: list[list[float]]) -> None:
    """From a single item nothing can be said about others."""
    assert interval(groups) is None


def alpaca_run(name: str, raw: float, controlled: float | None) -> dict[str, Any]:
    figures = {
        "win_rate": raw,
        "interval": [raw - 5, raw + 5],
        "length_controlled_winrate": controlled,
        "length_controlled_interval": controlled and [controlled - 2, controlled + 2],
        "by_dataset": {"koala": {"win_rate": raw, "length_controlled_winrate": controlled}},
    }
    return {"benchmark": "alpaca_eval", "name": name, "n": 100, "n_expected": 100, "figures": figures}


def test_tables_say_of_how_many_and_never_mix_two_figures() -> None:
    """The whole set's size stands beside n; runs are sorted by, and detailed in, a figure that all have."""
    both = text_report([alpaca_run("low", 30.0, 55.0), alpaca_run("high", 60.0, 52.0)])
    assert "100 of 805" in both
    assert both.index("low ") < both.index("high ")
    assert "55.00 (53.00 to 57.00)" in both
    part = text_report([alpaca_run("low", 30.0, 55.0), alpaca_run("high", 60.0, None)])
    assert part.index("high ") < part.index("low ")
    [koala] = [line.split() for line in part.splitlines() if line.startswith("koala")]
    assert sorted(koala) == ["30.00", "60.00", "koala"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorised(Item):
    category: str

    @property
    def stratum(self) -> str:
        return self.category


ITEMS = [
    Categorised(id=str(n), turns=(f"Question {n}?",), category="rare" if n < 5 else "ab"[n % 2])
    for n in range(105)
]


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("limit", [1, 2, 21, 50, 104, 105, 1000])
def test_a_sample_has_a_share_of_each_stratum(limit: int, seed: int) -> None:
    """It has the size that was asked for, the official order, no item twice, and rounded shares."""
    found = stratified(ITEMS, limit, seed)
    assert len(found) == len({item.id for item in found}) == min(limit, 105)
    assert found == sorted(found, key=lambda item: int(item.id))
    whole = Counter(item.stratum for item in ITEMS)
    for stratum, count in Counter(item.stratum for item in found).items():
        assert abs(count - whole[stratum] * len(found) / 105) < 1.5
    assert found == stratified(ITEMS, limit, seed)


def test_samples_are_nested_and_differ_by_seed() -> None:
    """A larger sample keeps the items of a smaller one; another seed draws others."""
    small, large = stratified(ITEMS, 20, 3), stratified(ITEMS, 60, 3)
    assert {item.id for item in small} < {item.id for item in large}
    assert small != stratified(ITEMS, 20, 4)
    assert small != ITEMS[:20]


def test_every_item_is_drawn_equally_often() -> None:
    """Over many seeds, items of rare and of common strata come with the same probability."""
    drawn = Counter(item.id for seed in range(600) for item in stratified(ITEMS, 21, seed))
    rare = statistics.fmean(drawn[str(n)] for n in range(5)) / 600
    common = statistics.fmean(drawn[str(n)] for n in range(5, 105)) / 600
    assert rare == pytest.approx(0.2, abs=0.02)
    assert common == pytest.approx(0.2, abs=0.005)


@pytest.mark.slow
def test_limit_of_a_benchmark_has_every_category(runs: BulkRuns, recorded: Path, tmp_path: Path) -> None:
    """`--limit 8` of MT-Bench asks one question of each category; `--first 8` those of the first alone."""
    categories = {item.id: item.stratum for item in open_benchmark("mt_bench", recorded).items()}
    for name, chosen, expected in (("sample", {"limit": 8}, 8), ("first", {"first": 8}, 1)):
        options = EvalOptions("mt_bench", tmp_path / name, data_dir=recorded, name="Mine/v1", **chosen)
        assert runs.evaluate(options, FakeAsk({}), ("generate",)) == 0
        answered = read_rows(tmp_path / name / "data" / "mt_bench" / "model_answer" / "Mine-v1.jsonl")
        assert len({categories[str(row["question_id"])] for row in answered}) == expected
        assert len(answered) == 8


@pytest.mark.slow
def test_scores_made_anew_are_of_the_same_sample(runs: BulkRuns, recorded: Path, tmp_path: Path) -> None:
    """`score` without a file knows from the folder which sample was taken, also from an older folder."""
    judge = {"judge": "together:reviewer", "data_dir": recorded}
    ask = FakeAsk({"reviewer": "[[8]]"})
    for options in ({"limit": 4, "sample_seed": 5}, {"first": 4}):
        out = tmp_path / next(iter(options))
        assert runs.evaluate(EvalOptions("mt_bench", out, **judge, **options), ask) == 0
        assert runs.evaluate(EvalOptions("mt_bench", out, data_dir=recorded), ask, ("score",)) == 0
        assert (runs.summary["n"], runs.summary["n_expected"], runs.summary["n_whole"]) == (8, 8, 160)
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["sample_seed"]
    (out / "manifest.json").write_text(json.dumps({**manifest, "limit": manifest.pop("first")}))
    assert runs.evaluate(EvalOptions("mt_bench", out, data_dir=recorded), ask, ("score",)) == 0
    assert runs.summary["n"] == 8


def test_limit_and_first_exclude_each_other(runs: BulkRuns, recorded: Path, tmp_path: Path) -> None:
    """Both at once are refused."""
    with pytest.raises(UsageError, match="--limit and --first"):
        runs.evaluate(EvalOptions("mt_bench", tmp_path, limit=1, first=1, data_dir=recorded), FakeAsk({}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "lost",
    [
        "I would rather not say.",
        failed(FailureKind.REFUSED, "the model refused", "reviewer"),
        failed(FailureKind.CONTENT_FILTER, "filtered", "reviewer"),
    ],
)
def test_a_judges_refusals_lose_only_themselves(
    runs: BulkRuns, recorded: Path, tmp_path: Path, lost: Reply
) -> None:
    """However many judgments in a row are refused or unreadable, the others are made."""
    options = EvalOptions(
        "mt_bench", tmp_path / "run", first=20, judge="together:reviewer", data_dir=recorded, concurrency=1
    )
    ask = FakeAsk({"reviewer": [lost] * (1 + 36) + ["[[7]]"]})
    assert runs.evaluate(options, ask) is ExitCode.FAILED
    assert (runs.summary["n"], runs.summary["unparsable"] + runs.summary["failed"]) == (4, 36)
    assert "in a row" not in runs.err


def test_flask_counts_only_the_skills_that_were_asked_for(recorded: Path) -> None:
    """A judge's scores of other skills are no part of any mean, of a run or of recorded rows."""
    bench = open_benchmark("flask", recorded)
    [item] = bench.items(1)
    [request] = bench.judge_requests(item, ("Mine",), "moa")
    other = next(name for name in ("Harmlessness", "Conciseness", "Efficiency") if name not in item.skills)
    words = json.dumps({**dict.fromkeys(item.skills, 4), other: 1})
    judgment = bench.judgment(request, Completion(words), "gpt-4")
    assert (judgment.score, len(judgment.row["score"])) == (4, len(item.skills))
    found = bench.score([judgment.row])
    assert (found["score"], found["incomplete"], len(found["skill"])) == (4, 0, len(item.skills))
    unasked = bench.judgment(request, Completion(json.dumps({other: 1})), "gpt-4")
    assert unasked.score is None
    assert bench.score([unasked.row])["n"] == 0


def test_the_failures_of_the_judge_are_reported_beside_those_of_the_mixture(
    runs: BulkRuns, recorded: Path, tmp_path: Path
) -> None:
    """A reference that failed once is not named as the only cause of missing scores."""
    ask = FakeAsk(
        {
            "a": [failed(FailureKind.BAD_REQUEST, "HTTP 400", "a"), "fine"],
            "reviewer": failed(FailureKind.CONTENT_FILTER, "filtered", "reviewer"),
        }
    )
    options = EvalOptions("mt_bench", tmp_path / "run", first=2, judge="together:reviewer", data_dir=recorded)
    assert runs.evaluate(options, ask) is ExitCode.FAILED
    assert "4 × content filtered" in runs.err


@pytest.mark.slow
@pytest.mark.parametrize("fewer", [{"limit": 2}, {"first": 2}, {"limit": 2, "sample_seed": 9}])
def test_a_smaller_limit_keeps_what_the_folder_has(
    runs: BulkRuns, recorded: Path, tmp_path: Path, fewer: dict[str, int]
) -> None:
    """Answers, judgments and figures of items beyond the limit stay, and nothing is asked again for them."""
    fixed = {"judge": "together:reviewer", "data_dir": recorded}
    out, ask = tmp_path / "run", FakeAsk({"reviewer": "[[8]]"})
    assert runs.evaluate(EvalOptions("mt_bench", out, limit=8, **fixed), ask) == 0
    files = ("results.jsonl", "judges/together-reviewer/data/mt_bench/model_judgment/gpt-4_single.jsonl")
    before = [[row["question_id"] for row in read_rows(out / files[1])], len(read_rows(out / files[0]))]
    figures = runs.summary["figures"]
    for stages in (("generate",), ("judge", "score"), ("generate", "judge", "score")):
        assert runs.evaluate(EvalOptions("mt_bench", out, **fewer, **fixed), ask, stages) == 0
        ids = [row["question_id"] for row in read_rows(out / files[1])]
        assert set(ids) >= set(before[0])
        assert len(read_rows(out / files[0])) >= before[1]
    assert runs.summary["n"] == len(ids) == runs.summary["n_expected"]
    if fewer == {"limit": 2}:
        assert len(ask.requests) == 1 + 8 * (2 * 3 + 2)
        assert runs.summary["figures"] == figures
    assert runs.evaluate(EvalOptions("mt_bench", out, data_dir=recorded), ask, ("score",)) == 0
    assert runs.summary["n"] == len(ids)


def test_answers_beyond_the_limit_that_are_not_judged_cost_nothing(
    runs: BulkRuns, recorded: Path, tmp_path: Path
) -> None:
    """With answers to eight items, judging with a limit of two asks the judge about two."""
    fixed = {"judge": "together:reviewer", "data_dir": recorded}
    out, ask = tmp_path / "run", FakeAsk({"reviewer": "[[8]]"})
    assert runs.evaluate(EvalOptions("mt_bench", out, limit=8, **fixed), ask, ("generate",)) == 0
    assert runs.evaluate(EvalOptions("mt_bench", out, limit=2, **fixed), ask, ("judge", "score")) == 0
    assert len(ask.to("reviewer")) == 1 + 4
    assert (runs.summary["n"], runs.summary["n_expected"], runs.summary["unanswered"]) == (4, 4, 0)
