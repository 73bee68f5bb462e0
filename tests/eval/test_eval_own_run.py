"""Questions of one's own: asked of several arms through one journal, scored, and kept as studies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk
from typer.testing import CliRunner

from bot.cli.eval import typer_app
from bot.errors import ExitCode, Failure, FailureKind, TurnFailedError, UsageError
from bot.eval.arms import Arm, read_outcomes
from bot.eval.own.questions import load_questions, read_columns
from bot.eval.own.run import OwnOptions
from bot.messages import Completion, Request, Usage

QUESTIONS = (
    {"id": "one", "prompt": "1 + 1?", "target": "2", "group": "sums"},
    {"id": "two", "prompt": "2 + 2?", "target": "4", "group": "sums"},
    {"id": "capital", "prompt": "The capital of France?", "target": ["Paris", "Paname"], "group": "facts"},
)


@pytest.fixture
def options(tmp_path: Path) -> OwnOptions:
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    return OwnOptions(str(file), ("exact",), members=True, out=tmp_path / "out")


def says(text: str, *, seconds: float = 1.0) -> Completion:
    return Completion(text, usage=Usage(10, 5, 0), finish_reason="stop", first_token=0.25, seconds=seconds)


def models(**replies: Callable[[Request], Any] | str) -> FakeAsk:
    """Models "a" (always right), "b" (always "2") and the aggregator "judge", who follows the last answer."""

    def right(request: Request) -> Completion:
        text = request.messages[-1].content
        return says("2" if "1 + 1" in text else "4" if "2 + 2" in text else "Paris", seconds=2.0)

    def last(request: Request) -> Completion:
        answers = request.messages[-1].content.split("</answer 2")[0].rpartition(">\n")
        return says(answers[2].strip() if answers[1] else "alone")

    table: dict[str, Any] = {"a": right, "b": lambda _: says("2"), "judge": last}
    return FakeAsk({**table, **replies})


def scores(arm: Arm) -> dict[str, float | None]:
    return {outcome.item: outcome.score for outcome in arm.outcomes}


def by_name(runs: BulkRuns, number: int = 0) -> Mapping[str, Arm]:
    return {arm.name: arm for arm in runs.studies[number].arms}


def test_the_mixture_and_its_members(runs: BulkRuns, options: OwnOptions) -> None:
    """Members' first-round answers are their lone arms; each arm counts what it would cost alone."""
    ask = models()
    assert runs.own(options, ask) is ExitCode.DONE
    assert Counter(request.model for request in ask.requests) == {"a": 3, "b": 3, "judge": 6}
    arms = by_name(runs)
    assert list(arms) == ["moa", "alone:a", "alone:b", "alone:judge"]
    assert scores(arms["alone:a"]) == {"one": 1, "two": 1, "capital": 1}
    assert scores(arms["alone:b"]) == scores(arms["moa"]) == {"one": 1, "two": 0, "capital": 0}
    mixture = arms["moa"].outcomes[1]
    assert (arms["moa"].kind, arms["moa"].model, arms["moa"].members) == ("mixture", "judge", ("a", "b"))
    assert [(each.model, each.text, each.score) for each in mixture.proposals] == [
        ("a", "4", 1),
        ("b", "2", 0),
    ]
    assert (mixture.calls, mixture.tokens, mixture.seconds, mixture.first_word) == (3, 45, 3.0, 2.25)
    lone = arms["alone:a"].outcomes[1]
    assert (lone.calls, lone.tokens, lone.seconds, lone.first_word) == (1, 15, 2.0, 0.25)
    assert (lone.group, lone.reply, lone.proposals) == ("sums", "4", ())
    assert options.out is not None
    assert read_outcomes(options.out / "exact" / "alone-a") == arms["alone:a"].outcomes


def test_nothing_is_asked_twice(runs: BulkRuns, options: OwnOptions) -> None:
    """The same command, or one with further arms and scorers, finds in the journal what was asked."""
    runs.own(options, models())
    first = runs.studies[0]
    again = models()
    assert runs.own(options, again) is ExitCode.DONE
    assert not again.requests
    assert runs.studies[0].arms == first.arms
    more = replace(options, arms=("moa", "order=rotated name=turned"), scorers=("exact", "includes"))
    turned = models()
    assert runs.own(more, turned) is ExitCode.DONE
    # Only questions whose answers are read in another order are new.
    assert {request.model for request in turned.requests} <= {"judge"}
    assert [study.scorer for study in runs.studies] == ["exact", "includes"]


@pytest.mark.parametrize(
    ("arms", "names", "asked"),
    [
        ((), ["moa"], {"a": 3, "b": 3, "judge": 3}),
        (("rounds=0",), ["rounds=0"], {"judge": 3}),
        (("reference_models=none",), ["reference_models=none"], {"judge": 3}),
        (("alone:a",), ["alone:a"], {"a": 3}),
        (("alone:c",), ["alone:c"], {"c": 3}),
        (("alone:judge", "rounds=0"), ["alone:judge"], {"judge": 3}),
        (("moa", "alone:b", "alone:a"), ["moa", "alone:b", "alone:a"], {"a": 3, "b": 3, "judge": 3}),
        (("moa", "name=same mode=moa"), ["moa"], {"a": 3, "b": 3, "judge": 3}),
        (("reference_models=a*3 name=self",), ["self"], {"a": 9, "judge": 3}),
        (("moa", "rank"), ["moa", "rank"], {"a": 3, "b": 3, "judge": 6}),
        # The judge of a fusion, who is the aggregator, writes no JSON and is asked once more.
        (("moa", "fusion"), ["moa", "fusion"], {"a": 3, "b": 3, "judge": 9}),
        # The second round's answers are the first's, and so is what the aggregator reads.
        (("moa", "rounds=2"), ["moa", "rounds=2"], {"a": 6, "b": 6, "judge": 3}),
        (("rounds=2 early-stop=yes agreement=0 name=early",), ["early"], {"a": 3, "b": 3, "judge": 3}),
        (("aggregator=a temperature=0 'name=two words'",), ["two words"], {"a": 6, "b": 3}),
    ],
)
def test_arms(
    runs: BulkRuns, options: OwnOptions, arms: tuple[str, ...], names: list[str], asked: dict[str, int]
) -> None:
    """An arm is a lone model, a mode or options; equal ones are asked once, first rounds are shared."""
    ask = models(c="2")
    runs.own(replace(options, arms=arms, members=False, max_errors=9), ask)
    assert [arm.name for arm in runs.studies[0].arms] == names
    assert ("is the same as" in runs.err) == (len(arms) > len(names))
    assert Counter(request.model for request in ask.requests) == asked


def test_a_preset_as_an_arm(runs: BulkRuns, options: OwnOptions) -> None:
    """It has its own models, and the command's limits."""
    ask = models(x="2", y="2")
    runs.home.mkdir()
    (runs.home / "config.toml").write_text('[presets.mine]\naggregator = "y"\nreference_models = ["x"]\n')
    runs.own(replace(options, arms=("preset:mine", "moa"), members=True), ask, max_tokens=7)
    arms = by_name(runs)
    assert list(arms) == ["preset:mine", "moa", *(f"alone:{name}" for name in ("x", "y", "a", "b", "judge"))]
    assert {request.max_tokens for request in ask.requests} == {7}


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("nonsense", "expected alone:MODEL, preset:NAME, a mode or OPTION=VALUE, found nonsense"),
        ("rounds=many", "--arm rounds=many: expected a whole number"),
        ("rounds=21", "expected a whole number from 0 to 20"),
        ("round=2", "Did you mean rounds?"),
        ("quorum=2", "this is no option of an arm"),
        ("verbose=true", "this is no option of an arm"),
        ("compare", "expected alone:MODEL"),
        ("mode=compare", "there is no reply"),
        ("preset:nonsense", "no preset"),
        ("name='open", "No closing quotation"),
        ("alone:", "expected alone:MODEL"),
    ],
)
def test_wrong_arms(runs: BulkRuns, options: OwnOptions, arm: str, message: str) -> None:
    """They are refused before anything is asked, with what is meant."""
    with pytest.raises(UsageError) as error:
        runs.own(replace(options, arms=(arm,)), models())
    assert message in f"{error.value.message} {error.value.hint}"


def test_two_arms_of_one_name(runs: BulkRuns, options: OwnOptions) -> None:
    """Each has a name and a folder of its own."""
    with pytest.raises(UsageError, match="two different arms are called x"):
        runs.own(replace(options, arms=("name=x", "name=x rounds=2")), models())


def test_epochs(runs: BulkRuns, options: OwnOptions) -> None:
    """Each epoch is asked anew, with other seeds where there are any."""
    ask = models()
    runs.own(replace(options, epochs=3, members=False, arms=("moa", "alone:b")), ask, seed=5)
    assert Counter(request.model for request in ask.requests) == {"a": 9, "b": 9, "judge": 9}
    assert {request.seed for request in ask.to("b")} == {6, 1006, 2006}
    assert [outcome.epoch for outcome in by_name(runs)["moa"].outcomes] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_failures_are_no_wrong_answers(runs: BulkRuns, options: OwnOptions) -> None:
    """What was not answered has no score, and is counted; without any score there is nothing to report."""
    failed = Failure(FailureKind.SERVICE, "broken", "judge")
    ask = models(judge=failed)
    assert runs.own(replace(options, members=False), ask) is ExitCode.FAILED
    assert "no score at all, 3 scores missing of 3" in runs.err
    assert not runs.studies
    assert (
        runs.own(replace(options, arms=("moa", "alone:a"), members=False), models(judge=failed))
        is ExitCode.FAILED
    )
    assert {outcome.score for outcome in by_name(runs)["moa"].outcomes} == {None}
    assert all("broken" in outcome.error for outcome in by_name(runs)["moa"].outcomes)
    allowed = replace(options, arms=("moa", "alone:a"), members=False, max_errors=3)
    assert runs.own(allowed, models(judge=failed)) is ExitCode.DONE


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {"source": "other.jsonl"}), ({"arms": ("name=x",)}, {"arms": ("name=x rounds=2",)})],
)
def test_a_folder_belongs_to_one_run(
    runs: BulkRuns, options: OwnOptions, first: dict[str, Any], second: dict[str, Any], tmp_path: Path
) -> None:
    """Other questions, or another arm of the same name, go into another folder."""
    runs.own(replace(options, **first), models())
    (tmp_path / "other.jsonl").write_text('{"prompt": "1 + 1?", "target": "2"}\n')
    if "source" in second:
        second = {"source": str(tmp_path / "other.jsonl")}
    with pytest.raises(UsageError, match="holds"):
        runs.own(replace(options, **second), models())


@pytest.mark.parametrize(("choice", "count"), [({"first": 2}, 2), ({"limit": 2}, 2), ({"limit": 9}, 3)])
def test_a_part_of_the_questions(
    runs: BulkRuns, options: OwnOptions, choice: dict[str, int], count: int
) -> None:
    """The first ones, or a sample with a share of each group."""
    runs.own(replace(options, members=False, **choice), models())  # type: ignore[arg-type]  # whole numbers
    outcomes = runs.studies[0].arms[0].outcomes
    assert len(outcomes) == count
    assert "limit" not in choice or {outcome.group for outcome in outcomes} == {"sums", "facts"}


def test_what_it_may_cost(runs: BulkRuns, options: OwnOptions) -> None:
    """A line for each arm, and what they cost together, first rounds shared; nothing is asked."""
    ask = models()
    plan = replace(options, dry_run=True, arms=("moa", "vote", "rounds=2"))
    assert runs.own(plan, ask) is ExitCode.DONE
    assert not ask.requests
    lines = runs.out.splitlines()
    assert lines[0].startswith("moa: 9 calls")
    # moa 9, vote 9 (its first round has another instruction), rounds=2 15 - 6, the judge alone 3
    assert lines[-1].startswith("all arms together: 30 calls")
    judged = replace(plan, scorers=("exact", "pairwise"), judge=("grader",), arms=("moa",), epochs=2)
    assert runs.own(judged, ask, json=True) is ExitCode.DONE
    parts = {part["name"]: part["calls"] for part in json.loads(runs.out)["parts"]}
    # Two calls for each of 4 arms, 3 questions and 2 epochs.
    assert parts["pairwise, judge grader"] == 48
    assert parts["all arms together"] == 24
    # An arm is not compared with itself.
    assert runs.own(replace(judged, scorers=("pairwise:moa",)), ask, json=True) is ExitCode.DONE
    parts = {part["name"]: part["calls"] for part in json.loads(runs.out)["parts"]}
    assert parts["pairwise:moa, judge grader"] == 36


def test_the_command_has_what_the_run_needs(options: OwnOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of the command line reach the run, whatever options other evaluations have."""
    monkeypatch.setenv("TOGETHER_API_KEY", "key-for-tests")
    arguments = ["own", options.source, "--scorer", "exact", "--arm", "rounds=2", "--arm", "preset:moa-lite"]
    arguments += ["-r", "a,b", "-a", "c", "--first", "1", "--judge", "x", "--epochs", "2", "--dry_run"]
    done = CliRunner().invoke(typer_app, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("rounds=2: 10 calls")
    assert "preset:moa-lite: " in done.stdout


@pytest.mark.parametrize(
    ("verdict", "score"),
    [("Good. [[5]]", 1.0), ("[[1]]", 0.0), ("First [[2]], no: [[3]]", 0.5), ("[[7]]", None), ("five", None),
     ("[[2.5]]", None)],
)  # fmt: skip
def test_a_rubric(runs: BulkRuns, options: OwnOptions, verdict: str, score: float | None) -> None:
    """A mark from 1 to 5; one outside the scale, or none, is unreadable."""
    ask = models(grader=verdict)
    rubric = replace(
        options, scorers=("rubric:Be brief.",), judge=("grader",), arms=("alone:a",), members=False
    )
    code = runs.own(rubric, ask)
    assert code is (ExitCode.FAILED if score is None else ExitCode.DONE)
    trial, asked, *_ = ask.to("grader")
    assert "1 + 1?" in trial.messages[0].content
    assert all(part in asked.messages[0].content for part in ("Be brief.", "1 + 1?", "<reply>\n2\n</reply>"))
    assert asked.temperature == 0
    if score is not None:
        assert set(scores(by_name(runs)["alone:a"]).values()) == {score}
        assert runs.studies[0].judge == "grader"


@pytest.mark.parametrize(
    ("verdict", "against", "expected"),
    [
        # The judge prefers whichever comes first: a tie. It prefers "4" wherever that stands: a is better.
        ("[[A]]", "alone:b", {"alone:a": 0.5, "alone:b": 0.5}),
        ("[[C]]", "alone:b", {"alone:a": 0.5, "alone:b": 0.5}),
        ("4", "alone:b", {"alone:a": 1.0, "alone:b": 0.5}),
        ("4", "", {"alone:a": 0.5, "alone:b": 0.0}),
    ],
)
def test_pairwise(
    runs: BulkRuns, options: OwnOptions, verdict: str, against: str, expected: dict[str, float]
) -> None:
    """Two replies, or a reply and the target, in both orders; an arm is not compared with itself."""

    def grader(request: Request) -> str:
        first, _, second = request.messages[0].content.partition("</reply A>")
        right = ("<reply A>\n4\n" in first, "<reply B>\n4\n" in second)
        if verdict != "4":
            return verdict
        return "[[C]]" if right[0] == right[1] else "[[A]]" if right[0] else "[[B]]"

    scorer = f"pairwise:{against}" if against else "pairwise"
    pair = replace(options, scorers=(scorer,), judge=("grader",), arms=("alone:a", "alone:b"), members=False)
    ask = models(grader=grader)
    assert runs.own(pair, ask) is ExitCode.DONE
    assert {name: scores(arm)["two"] for name, arm in by_name(runs).items()} == expected
    judged = len(ask.to("grader"))
    again = models(grader=grader)
    runs.own(pair, again)
    assert judged
    assert not again.requests


def test_a_score_by_several_judges_is_of_all_of_them(runs: BulkRuns, options: OwnOptions) -> None:
    """What one of them could not judge has no score: an arm would be judged by others than its rival."""
    strict = {"grader": "[[5]]", "other": lambda r: "[[1]]" if "1 + 1?" in r.messages[0].content else "none"}
    jury = replace(options, scorers=("rubric",), judge=("grader", "other"), arms=("alone:a",), members=False)
    assert runs.own(jury, models(**strict)) is ExitCode.FAILED
    assert scores(by_name(runs)["alone:a"]) == {"one": 0.5, "two": None, "capital": None}
    assert "cannot be read" in runs.err


def test_a_judge_that_cannot_be_asked_is_said_before_any_answer(runs: BulkRuns, options: OwnOptions) -> None:
    """A trial judgment finds that out; one that cannot be read is reported only."""
    ask = models(grader=Failure(FailureKind.NOT_FOUND, "no such model", "grader"))
    with pytest.raises(TurnFailedError, match="no such model"):
        runs.own(replace(options, scorers=("rubric",), judge=("grader",)), ask)
    assert {request.model for request in ask.requests} == {"grader"}
    runs.own(replace(options, scorers=("rubric",), judge=("grader",)), models(grader="none"))
    assert "the trial judgment of grader cannot be read" in runs.err


def test_a_judges_score_of_a_member_is_its_proposals_too(runs: BulkRuns, options: OwnOptions) -> None:
    """Proposals that are the reply of a lone arm have its score, without another judgment."""
    ask = models(grader=lambda request: "[[5]]" if "<reply>\n4\n" in request.messages[0].content else "[[1]]")
    runs.own(replace(options, scorers=("rubric",), judge=("grader",)), ask)
    proposals = by_name(runs)["moa"].outcomes[1].proposals
    assert [(each.model, each.score) for each in proposals] == [("a", 1.0), ("b", 0.0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scorers": ("rubric",)}, "needs a judge"),
        ({"scorers": ("pairwise:nobody",), "judge": ("g",)}, "no arm is called nobody"),
        ({"limit": 1, "first": 1}, "cannot both be given"),
        ({"columns": "prompt"}, "--columns: expected"),
        ({"columns": "target=nothing"}, "there is no such column"),
        ({"columns": "prompt=prompt,messages=prompt"}, "not both"),
    ],
)
def test_wrong_options(runs: BulkRuns, options: OwnOptions, changes: dict[str, Any], message: str) -> None:
    """They are said before anything is asked."""
    with pytest.raises(UsageError, match=message):
        runs.own(replace(options, **changes), models())


@pytest.mark.parametrize("scorer", ["exact", "number", "regex", "pairwise"])
def test_questions_without_targets_are_refused_before_they_are_asked(
    runs: BulkRuns, options: OwnOptions, tmp_path: Path, scorer: str
) -> None:
    """Where the scorer needs one."""
    (tmp_path / "plain.txt").write_text("1 + 1?\n")
    plain = replace(options, source=str(tmp_path / "plain.txt"), scorers=(scorer,), judge=("grader",))
    ask = models(grader="[[3]]")
    with pytest.raises(UsageError, match="no question has a target"):
        runs.own(plain, ask)
    assert not ask.requests
    assert runs.own(replace(plain, scorers=("rubric", "regex:2", "regex:2*")), ask) is ExitCode.DONE
    assert options.out is not None
    assert (options.out / "regex-2" / "moa").is_dir()
    assert (options.out / "regex-2-2" / "moa").is_dir()


@pytest.mark.parametrize(
    ("name", "text", "columns", "expected"),
    [
        (
            "q.jsonl",
            '{"question": "Q", "answer": 7}\n{"question": "R", "answer": "x"}',
            None,
            [("1", "Q", ("7",)), ("2", "R", ("x",))],
        ),
        (
            "q.csv",
            "id,prompt,target\n007,Q,1.50\n008,R,\n",
            None,
            [("007", "Q", ("1.50",)), ("008", "R", ())],
        ),
        (
            "q.csv",
            '\ufeffid;prompt;target\r\n7;"Q; ""so"", he said";1,5\r\n',
            None,
            [("7", 'Q; "so", he said', ("1,5",))],
        ),
        ("q.csv", "prompt\ttarget\nQ\t2\n", None, [("1", "Q", ("2",))]),
        ("q.tsv", "prompt\ttarget\nQ\t2\n", None, [("1", "Q", ("2",))]),
        ("q.txt", "Q\n\nR\n", None, [("1", "Q", ()), ("2", "R", ())]),
        ("q.json", '[{"prompt": "Q", "target": {"a": 1}}]', None, [("1", "Q", ('{"a": 1}',))]),
        ("q.jsonl", '{"p": "Q", "t": true, "n": "x"}', "prompt=p,target=t,id=n", [("x", "Q", ("true",))]),
        ("q.jsonl", json.dumps({"messages": [{"role": "user", "content": "Q"}]}), None, [("1", "Q", ())]),
    ],
)  # fmt: skip
def test_sources(
    tmp_path: Path,
    name: str,
    text: str,
    columns: str | None,
    expected: list[tuple[str, str, tuple[str, ...]]],
) -> None:
    """JSON lines, CSV and text, with types as they are written, and a map of the columns."""
    file = tmp_path / name
    file.write_text(text)
    found = load_questions(str(file), read_columns(columns))
    assert [(each.id, each.turns[-1], each.targets) for each in found] == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.jsonl", "", "no questions"),
        ("q.jsonl", '{"id": 1, "prompt": "Q"}\n{"id": 1, "prompt": "R"}', "another row has the id 1"),
        ("q.jsonl", '{"prompt": "Q"}\n{"prompt": ""}', "row 2: expected a prompt"),
        ("q.jsonl", '{"prompt": "Q"}\n{', "not JSON"),
        ("nothing.jsonl", None, "there is no such file"),
        ("q.csv", "prompt,target\nQ,2,3\n", "line 2: more values than columns"),
        ("q.csv", 'prompt,target\n"Q,2\n', "not CSV: unexpected end"),
    ],
)
def test_wrong_sources(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    """What cannot be asked is said with its row."""
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_questions(str(file), {})
