"""Judges of an evaluation: the trial, the official one, judges by text, juries, folders, rejudging."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import BulkRuns
from fake_models import FakeAsk, failed

from bot.errors import FailureKind, KeyMissingError, MoaError, TurnFailedError, UsageError
from bot.eval.agreement import agreement, compare
from bot.eval.alpaca_eval.judge import preference_of_words
from bot.eval.depth import read_folder
from bot.eval.eval_context import EvalOptions
from bot.eval.judges import JudgeOptions, chosen_agents, is_official, make_judge
from bot.eval.official_data import read_rows
from bot.eval.registry import open_benchmark
from bot.eval.report import read_runs, text_report
from bot.messages import Agent, Completion, Request

GENERATE_JUDGE = ("generate", "judge", "score")
OPENAI, OPENROUTER = "https://api.openai.com/v1", "https://openrouter.ai/api/v1"


@pytest.fixture
def mt_bench(recorded: Path, tmp_path: Path) -> Callable[..., EvalOptions]:
    """Options of MT-Bench with two questions; the judge is "reviewer" unless said."""

    def options(**changes: Any) -> EvalOptions:
        known: dict[str, Any] = {"judge": "together:reviewer", "first": 2, "data_dir": recorded}
        return EvalOptions("mt_bench", tmp_path / "run", **{**known, **changes})

    return options


@pytest.fixture
def alpaca(small_alpaca: Path, tmp_path: Path) -> Callable[..., EvalOptions]:
    """Options of a made-up AlpacaEval of four instructions."""

    def options(**changes: Any) -> EvalOptions:
        known: dict[str, Any] = {"judge": "together:reviewer", "accept_altered": True}
        return EvalOptions("alpaca_eval", tmp_path / "run", data_dir=small_alpaca, **{**known, **changes})

    return options


@pytest.mark.parametrize(
    ("base_url", "model", "official"),
    [
        (OPENAI, "gpt-4", True),
        (OPENROUTER, "openai/gpt-4", True),
        (OPENAI, "gpt-4-0613", False),
        (OPENAI, "openai/gpt-4", False),
        (OPENROUTER, "gpt-4", False),
        (OPENROUTER, "x/gpt-4", False),
        (OPENROUTER, "openai/gpt-4-turbo", False),
        ("https://api.together.xyz/v1", "gpt-4", False),
        ("https://api.together.xyz/v1", "openai/gpt-4", False),
        ("http://localhost:8000/v1", "gpt-4", False),
        ("https://api.openai.com.example.org/v1", "gpt-4", False),
        ("https://example.org/api.openai.com", "gpt-4", False),
    ],
)
def test_only_the_exact_id_at_its_service_is_the_official_judge(
    base_url: str, model: str, *, official: bool
) -> None:
    """A model that some service calls "gpt-4", or an id that ends in it, is another judge."""
    assert is_official(Agent(model, "x"), base_url, "gpt-4") is official


@pytest.mark.parametrize(
    ("given", "official"),
    [
        ({}, True),
        ({"temperature": 0.0}, True),
        ({"max_tokens": 2048}, True),
        ({"temperature": 1.0}, False),
        ({"max_tokens": 100}, False),
        ({"reasoning": "low"}, False),
    ],
)
@pytest.mark.parametrize(("name", "endpoint"), [("openai:gpt-4", "openai"), (None, "openai")])
def test_an_official_judge_with_other_parameters_is_another_judge(
    runs: BulkRuns, given: dict[str, Any], name: str | None, endpoint: str, *, official: bool
) -> None:
    """Its judgments are signed with what is different; the benchmark's own values are no difference."""
    settings, bench = runs.settings(), open_benchmark("mt_bench")
    [agent] = chosen_agents(settings, [name] if name else [], JudgeOptions(**given), bench)
    judge = make_judge(agent, bench, settings, {}, by_text=False)
    assert (agent.endpoint, agent.model) == (endpoint, "gpt-4")
    assert (judge.name == "gpt-4") is official
    assert official or next(iter(given)) in judge.name


def test_a_judge_by_text_is_never_the_official_one(runs: BulkRuns) -> None:
    """Its figures are not those of the official protocol."""
    bench = open_benchmark("alpaca_eval")
    judge = make_judge(Agent(bench.default_judge, "openai"), bench, runs.settings(), {}, by_text=True)
    assert judge.name == "openai:gpt-4-1106-preview (by text)"


def test_judges_have_folders_of_their_own(runs: BulkRuns) -> None:
    """Names that differ in their punctuation only do not share a folder, and a judge finds its own again."""
    settings, bench, kept = runs.settings(), open_benchmark("mt_bench"), {"judges": {}}
    agents = [Agent("a/b"), Agent("a-b"), Agent("a/b", temperature=1.0), Agent("A/b")]
    for agent in agents:
        judge = make_judge(agent, bench, settings, kept, by_text=False)
        assert judge.folder.startswith("judges/together-")
        kept["judges"][judge.folder] = json.loads(json.dumps(judge.as_json()))
        assert make_judge(agent, bench, settings, kept, by_text=False) == judge
    assert len({folder.lower() for folder in kept["judges"]}) == len(agents)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (FailureKind.KEY_REFUSED, "invalid api key 7"),
        (FailureKind.NOT_FOUND, "the model gpt-9 does not exist"),
        (FailureKind.FORBIDDEN, "your account may not"),
        (FailureKind.QUOTA, "you have no credit"),
        (FailureKind.BAD_REQUEST, "temperature must be 1"),
    ],
)
@pytest.mark.parametrize("name", ["mt_bench", "alpaca"])
def test_no_answer_is_paid_for_when_the_judge_cannot_be_asked(
    runs: BulkRuns, request: pytest.FixtureRequest, name: str, kind: FailureKind, says: str
) -> None:
    """The trial judgment ends the run, with the service's own words, before the mixture is asked."""
    ask = FakeAsk({"reviewer": failed(kind, says, "reviewer")})
    with pytest.raises(TurnFailedError, match=says):
        runs.evaluate(request.getfixturevalue(name)(), ask)
    assert {each.model for each in ask.requests} == {"reviewer"}


def test_a_key_that_is_missing_is_reported_before_any_answer(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """Without the judge's key the mixture is not asked."""
    ask = FakeAsk({})
    with pytest.raises(KeyMissingError):
        runs.evaluate(mt_bench(judge=None), ask)
    assert not ask.requests


def test_a_judge_without_a_price_stops_a_run_with_a_budget(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """A budget cannot be kept without the judge's price, which is found out before the first answer."""
    ask = FakeAsk({})
    with pytest.raises(MoaError, match="price is not known"):
        runs.evaluate(mt_bench(max_cost=5.0), ask)
    assert not ask.requests
    assert runs.evaluate(mt_bench(), FakeAsk({"reviewer": "[[8]]"})) == 0
    assert "the price of reviewer is not known" in runs.err


def test_a_trial_that_cannot_be_read_is_reported(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """The judge's words are on stderr, without control characters; the run goes on."""
    assert runs.evaluate(mt_bench(), FakeAsk({"reviewer": ["\x1b[31mSplendid!\nYes.", "[[8]]"]})) == 0
    assert "the trial judgment of reviewer cannot be read" in runs.err
    assert "Splendid!" in runs.err
    assert "\x1b" not in runs.err


def test_the_parameters_of_the_judge_are_sent(runs: BulkRuns, mt_bench: Callable[..., EvalOptions]) -> None:
    """`--judge_temperature`, `--judge_max_tokens` and `--judge_reasoning` are in each of its requests."""
    ask = FakeAsk({"reviewer": "[[8]]"})
    judging = JudgeOptions(temperature=0.6, max_tokens=77, reasoning="high")
    assert runs.evaluate(mt_bench(judging=judging), ask) == 0
    assert {(each.temperature, each.max_tokens) for each in ask.to("reviewer")} == {(0.6, 77)}
    [figures] = runs.summary["figures"].values()
    assert any("reasoning high" in note for note in figures["notes"])
    again = FakeAsk({"reviewer": "[[8]]"})
    assert runs.evaluate(mt_bench(judging=judging), again) == 0
    assert not again.requests


@pytest.mark.parametrize(
    ("words", "reversed_words", "is_swapped", "expected"),
    [
        # Not swapped, the answer is "M" in the official order and "m" in the other one.
        ("M", "m", False, 2.0),
        ("m", "M", False, 1.0),
        ("M", "M", False, 1.5),
        ("m", "m", False, 1.5),
        ("m", "M", True, 2.0),
        ("**M**", "`m`.", False, 2.0),
        ('"M"', "Model m", False, 2.0),
        ("m is short, M is right.\n\nM", "I'm sure:\nm\n", False, 2.0),
        ('{"best": "M"}', "Best: m\n\nThanks", False, 2.0),
        ("m or M", "m", False, None),
        ("Neither.", "m", False, None),
        ("", "m", False, None),
        ("M", "Mmm, mine", False, None),
        ("I'm not sure", "m", False, None),
    ],
)
def test_a_preference_in_words_counts_both_orders(
    words: str, reversed_words: str, expected: float | None, *, is_swapped: bool
) -> None:
    """A judge that always names the same place prefers nothing; one that names no answer says nothing."""
    assert preference_of_words(words, reversed_words, is_swapped=is_swapped) == expected


def by_length(request: Request) -> Completion:
    """A judge without log probabilities that prefers the longer answer."""
    text = request.messages[-1].content
    first = text.index("\n\nm: ")
    second = text.index("\n\nM: ")
    end = text.index("\n\nWhich is better?")
    return Completion("m" if second - first > end - second else "M")


@pytest.mark.parametrize("length", [10, 20_000])
def test_a_judge_without_log_probabilities_is_read_by_its_words(
    runs: BulkRuns, alpaca: Callable[..., EvalOptions], length: int
) -> None:
    """It is found out by the trial and said; each answer is judged in both orders, with one token or more."""
    ask = FakeAsk({"judge": "x" * length, "reviewer": by_length})
    assert runs.evaluate(alpaca(), ask) == 0
    assert "reviewer cannot judge by log probabilities" in runs.err
    assert "both orders" in runs.err
    assert runs.summary["n"] == 4
    assert runs.summary["figures"]["win_rate"] == (100 if length > 10 else 0)
    assert not runs.summary["figures"]["comparable"]
    # Two trials, and two orders of four.
    assert len(ask.to("reviewer")) == 2 + 8
    assert all(each.max_tokens > 1 for each in ask.to("reviewer")[1:])
    again = FakeAsk({})
    assert runs.evaluate(alpaca(), again) == 0
    assert not again.requests


@pytest.mark.parametrize("kind", [FailureKind.BAD_REQUEST, FailureKind.EMPTY, FailureKind.OUT_OF_TOKENS])
def test_a_judge_that_refuses_one_token_is_read_by_its_words(
    runs: BulkRuns, alpaca: Callable[..., EvalOptions], kind: FailureKind
) -> None:
    """A model that thinks before it answers cannot answer in one token."""

    def answer(request: Request) -> Any:
        return failed(kind, "one is too few", "reviewer") if request.max_tokens == 1 else by_length(request)

    assert runs.evaluate(alpaca(), FakeAsk({"reviewer": answer})) == 0
    assert "one is too few" in runs.err


@pytest.mark.parametrize(("by", "calls"), [("text", 1 + 8), ("auto", 1 + 4), ("logprobs", 1 + 4)])
def test_how_a_judge_is_read_can_be_said(
    runs: BulkRuns, alpaca: Callable[..., EvalOptions], by: Any, calls: int
) -> None:
    """--judge_by text reads the words of a judge that has log probabilities."""
    ask = FakeAsk({"reviewer": lambda _: Completion("m", top_logprobs=(("m", -0.1), ("M", -2.0)))})
    assert runs.evaluate(alpaca(judging=JudgeOptions(by=by)), ask) == 0
    assert len(ask.to("reviewer")) == calls
    preferences = {row["preference"] for row in read_rows(next(_run(alpaca).rglob("annotations.json")))}
    assert (preferences == {1.5}) is (by == "text")


def test_log_probabilities_that_are_wanted_and_missing_end_the_run(
    runs: BulkRuns, alpaca: Callable[..., EvalOptions]
) -> None:
    """--judge_by logprobs never falls back."""
    ask = FakeAsk({"reviewer": "m"})
    with pytest.raises(MoaError, match="no log probabilities") as caught:
        runs.evaluate(alpaca(judging=JudgeOptions(by="logprobs")), ask)
    assert "--judge_by text" in caught.value.hint
    assert len(ask.requests) == 1


def _run(options: Callable[..., EvalOptions]) -> Path:
    out = options().out
    assert out is not None
    return out


def test_a_second_judge_replaces_nothing(runs: BulkRuns, mt_bench: Callable[..., EvalOptions]) -> None:
    """Each judge's figures, judgments and journal stay; the report shows all of them with their judges."""
    ask = FakeAsk({"reviewer": "[[8]]", "other": "[[3]]"})
    assert runs.evaluate(mt_bench(), ask) == 0
    before = {file: file.read_bytes() for file in (_run(mt_bench) / "judges").rglob("*.json*")}
    assert runs.evaluate(mt_bench(judge="together:other"), ask) == 0
    assert {file: file.read_bytes() for file in before} == before
    found = {run["judge"]: run["figures"] for run in read_runs([_run(mt_bench)])}
    assert found.keys() == {"together:reviewer", "together:other"}
    shown = text_report(read_runs([_run(mt_bench)]))
    assert "[together:reviewer]" in shown
    assert "[together:other]" in shown
    assert runs.evaluate(mt_bench(judge=None), ask, ("score",)) == 0
    assert runs.summary["judge"] == "together:other"


def test_an_old_run_folder_is_read_and_gone_on_with(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """A folder from before judges had their own keeps its judgments; another judge gets a folder."""
    ask, out = FakeAsk({"reviewer": "[[8]]", "other": "[[3]]"}), _run(mt_bench)
    assert runs.evaluate(mt_bench(), ask) == 0
    figures, own = runs.summary["figures"], out / "judges" / "together-reviewer"
    for name in ("judge.jsonl", "scores.json"):
        (own / name).rename(out / name)
    (own / "data/mt_bench/model_judgment/gpt-4_single.jsonl").unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    judges = manifest.pop("judges")
    del manifest["jury"]
    del judges["judges/together-reviewer"]["by_text"]
    manifest["judge"] = judges["judges/together-reviewer"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    asked = len(ask.requests)
    assert runs.evaluate(mt_bench(judge=None), ask, ("score",)) == 0
    assert runs.summary["figures"] == figures
    assert runs.evaluate(mt_bench(), ask) == 0
    assert len(ask.requests) == asked
    assert (out / "data/mt_bench/model_judgment/gpt-4_single.jsonl").exists()
    assert runs.evaluate(mt_bench(judge="together:other"), ask) == 0
    assert (out / "judges" / "together-other" / "scores.json").exists()
    assert json.loads((out / "scores.json").read_text())["judge"] == "together:reviewer"
    assert read_folder(out)


JURY = ("together:one", "together:two", "together:three")


def test_a_jury_has_the_mean_and_says_how_far_it_agrees(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """Three judges: the figures of each, of their mean, and for each two of them the agreement."""
    grades = {"one": [9, 9, 7, 5, 3], "two": [9, 8, 7, 6, 1], "three": [2, 3, 5, 7, 9]}
    ask = FakeAsk({name: [f"[[{grade}]]" for grade in given] for name, given in grades.items()})
    assert runs.evaluate(mt_bench(judge=JURY, concurrency=1), ask) == 0
    summary = runs.summary
    assert [each["judge"] for each in summary["judges"]] == list(JURY)
    [mean] = summary["figures"].values()
    # Without the trials: 9 7 5 3, 8 7 6 1 and 3 5 7 9.
    assert mean["score"] == pytest.approx((24 + 22 + 24) / 12)
    pairs = {tuple(each["judges"]): each for each in summary["agreement"]}
    assert len(pairs) == 3
    assert (pairs[JURY[:2]]["n"], pairs[JURY[:2]]["same"]) == (4, 25)
    assert pairs[JURY[:2]]["tau"] == pytest.approx(1)
    assert pairs[JURY[1:]]["tau"] == pytest.approx(-1)
    assert runs.evaluate(mt_bench(judge=None), ask, ("score",)) == 0
    assert runs.summary == summary
    assert "jury of" in text_report(read_runs([_run(mt_bench)]))
    assert "Kendall's tau 1.00" in text_report(read_runs([_run(mt_bench)]))


def test_what_one_judge_cannot_say_the_jury_leaves_out(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """The jury's figures are of what all have scored, and what is missing is counted."""
    ask = FakeAsk({"one": ["[[9]]", "[[9]]", "no idea", "[[9]]"], "two": "[[7]]"})
    assert runs.evaluate(mt_bench(judge=JURY[:2], concurrency=1), ask) == 1
    assert (runs.summary["n"], runs.summary["n_expected"], runs.summary["unparsable"]) == (3, 4, 1)
    assert [each["n"] for each in runs.summary["judges"]] == [3, 4]


def test_a_judge_that_is_not_come_to_keeps_its_figures(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """Where the first judge's key is refused in the middle, the second one's judgments stay as they are."""
    assert runs.evaluate(mt_bench(judge="together:two"), FakeAsk({"two": "[[7]]"})) == 0
    folder = _run(mt_bench) / "judges" / "together-two"
    before = {file: file.read_bytes() for file in folder.rglob("*.json*")}
    refused = failed(FailureKind.KEY_REFUSED, "invalid", "one")
    ask = FakeAsk({"one": ["[[9]]", "[[9]]", refused], "two": "[[7]]"})
    assert runs.evaluate(mt_bench(judge=JURY[:2], concurrency=1), ask, ("judge", "score")) == 3
    assert {file: file.read_bytes() for file in before} == before


def test_a_judge_named_twice_is_one(runs: BulkRuns, mt_bench: Callable[..., EvalOptions]) -> None:
    """A jury of one judge is that judge."""
    ask = FakeAsk({"one": "[[9]]"})
    assert runs.evaluate(mt_bench(judge=("together:one", "one")), ask) == 0
    assert "judges" not in runs.summary


@pytest.mark.parametrize(
    ("name", "scores"), [("alpaca_eval", [0.9, 0.1]), ("flask", [4, 2]), ("mt_bench", [8, 3])]
)
def test_the_mean_of_a_jury_is_scored_like_a_judgment(
    recorded: Path, small_alpaca: Path, name: str, scores: list[float]
) -> None:
    """In every benchmark a jury's row is a row of the official file, with the mean of the judges' scores."""
    folder = small_alpaca if name == "alpaca_eval" else recorded
    bench = open_benchmark(name, folder, accept_altered=True)
    item = bench.items(1)[0]
    request = bench.judge_requests(item, ("Mine",) * len(item.turns), "moa")[0]
    forms: dict[str, Callable[[float], dict[str, Any]]] = {
        "alpaca_eval": lambda score: {"preference": 1 + score},
        "flask": lambda score: {"score": {"correctness": score, "readability": "N/A"}, "review": "x"},
        "mt_bench": lambda score: {"score": score, "judgment": "x", "judge": ["x", "single-v1"]},
    }
    rows = [{**request.row, **forms[name](score)} for score in scores]
    if name == "flask":
        skill = item.skills[0]
        rows = [{**row, "score": {bench_key(skill): score}} for row, score in zip(rows, scores, strict=True)]
    figures = bench.score([bench.jury_row(rows, "jury of x + y")], 1)
    figures = figures["moa"] if name == "mt_bench" else figures
    mean = figures["win_rate"] / 100 if name == "alpaca_eval" else figures["score"]
    assert mean == pytest.approx(sum(scores) / 2)
    assert not figures["comparable"]
    assert any("jury of x + y" in note for note in figures["notes"])


def bench_key(skill: str) -> str:
    from bot.eval.flask.judge import skill_key

    return skill_key(skill.lower())


@pytest.mark.parametrize(("rejudge", "asked", "n"), [(None, 0, 3), ("unreadable", 1, 4), ("all", 4, 4)])
def test_judgments_are_made_anew_where_that_is_asked_for(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions], rejudge: Any, asked: int, n: int
) -> None:
    """--rejudge asks for all judgments again, --rejudge unreadable for those that could not be read."""
    ask = FakeAsk({"reviewer": ["[[5]]", "[[5]]", "no idea", "[[5]]", "[[5]]", "[[9]]"]})
    assert runs.evaluate(mt_bench(concurrency=1), ask) == 1
    before = len(ask.requests)
    code = runs.evaluate(mt_bench(concurrency=1, rejudge=rejudge), ask, ("judge", "score"))
    assert (code, len(ask.requests) - before, runs.summary["n"]) == (int(n < 4), asked, n)
    figures = runs.summary["figures"]
    assert runs.evaluate(mt_bench(judge=None), ask, ("score",)) == int(n < 4)
    assert runs.summary["figures"] == figures


def test_a_judgment_that_fails_when_made_anew_keeps_the_old_one(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """A service that is gone takes no judgment away."""
    ask = FakeAsk({"reviewer": "[[5]]"})
    assert runs.evaluate(mt_bench(), ask) == 0
    gone = FakeAsk({"reviewer": failed(FailureKind.SERVICE, "HTTP 500", "reviewer")})
    assert runs.evaluate(mt_bench(rejudge="all"), gone, ("judge", "score")) == 1
    assert runs.evaluate(mt_bench(judge=None), ask, ("score",)) == 0
    assert runs.summary["n"] == 4


def test_figures_before_any_judgment_are_refused(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """`score` of a folder with answers only says what is missing."""
    ask = FakeAsk({})
    assert runs.evaluate(mt_bench(), ask, ("generate",)) == 0
    with pytest.raises(MoaError, match="nothing has been judged"):
        runs.evaluate(replace(mt_bench(), judge=None), ask, ("score",))


@pytest.mark.parametrize(
    ("first", "second", "same", "kappa", "tau"),
    [
        ([1, 2, 3], [1, 2, 3], 100, 1.0, 1.0),
        ([1, 2, 3], [3, 2, 1], 100 / 3, -1.0, -1.0),
        # Quadratic weights: (1 - 4/16 …) by hand: observed 1 + 1, expected by the margins.
        ([1, 1, 3, 3], [1, 3, 1, 3], 50, 0.0, 0.0),
        ([2, 2, 2], [2, 2, 2], 100, None, None),
        ([5], [5], 100, None, None),
        ([], [], None, None, None),
    ],
)
def test_agreement_of_known_series(
    first: list[float], second: list[float], same: float | None, kappa: float | None, tau: float | None
) -> None:
    """Share of equal verdicts, kappa and tau of series whose values are known; None where there is none."""
    found = compare(first, second, round)
    expected = (same, kappa, tau)
    for value, wanted in zip((found["same"], found["kappa"], found["tau"]), expected, strict=True):
        assert value == (None if wanted is None else pytest.approx(wanted))
    assert agreement({"a": dict(enumerate(first)), "b": {}}, round)[0]["n"] == 0


def test_unknown_endpoints_of_judges_are_refused(
    runs: BulkRuns, mt_bench: Callable[..., EvalOptions]
) -> None:
    """Without a judge the offline service says so; the name of a judge is checked."""
    ask = FakeAsk({})
    with pytest.raises(UsageError, match="has no judge"):
        runs.evaluate(mt_bench(judge=None), ask, demo=True)
    assert not ask.requests
