"""What a comparison says of arms whose scores are written down: the sentence, figures, tables, page, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from bot.errors import MoaError, UsageError
from bot.eval.arms import Arm, Outcome, Proposal, Study
from bot.eval.comparison import compare, comparison_json
from bot.eval.comparison_page import comparison_page
from bot.eval.comparison_sentence import p_text, times
from bot.eval.comparison_text import comparison_text


def arm(name: str, scores: str | Sequence[float | None], model: str = "", **facts: Any) -> Arm:
    """A lone model by its scores: 1 right, 0 wrong, "-" not scored."""
    values = [None if each == "-" else float(each or 0) if each is not None else None for each in scores]
    outcomes = tuple(Outcome(f"q{n}", value, calls=1, **facts) for n, value in enumerate(values))
    return Arm(name, "alone", outcomes, model or name.removeprefix("alone:"))


def mixture(
    name: str, scores: str | Sequence[float | None], members: Sequence[Arm] = (), **facts: Any
) -> Arm:
    """A mixture that read its members' answers."""
    made = []
    for place, outcome in enumerate(arm(name, scores, **facts).outcomes):
        proposals = tuple(
            Proposal(each.model, each.outcomes[place].reply, each.outcomes[place].score) for each in members
        )
        made.append(
            Outcome(**{**{f: getattr(outcome, f) for f in Outcome.__slots__}, "proposals": proposals})
        )
    return Arm(name, "mixture", tuple(made), "writer", tuple(each.model for each in members))


def study(*arms: Arm) -> Study:
    return Study(arms, "exact", "the-judge", "2026-01-02", "mine.jsonl")


BETTER, WORSE = "1" * 90 + "0" * 10, "1" * 60 + "0" * 40


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        (
            [
                mixture("fusion", BETTER, dollars=0.0041, seconds=4.6),
                arm("alone:X", WORSE, "maker/X", dollars=0.001, seconds=2.0),
                arm("alone:Y", "0" * 100, "maker/Y"),
            ],
            (
                r"fusion beats its best member \(X\) by 30\.0 points \(\d+\.\d to \d+\.\d, p < \.001\) "
                r"at 4\.1 × the cost and 2\.3 × the time"
            ),
        ),
        (
            [mixture("moa", WORSE, tokens=1100), arm("X", BETTER, tokens=100), arm("Y", WORSE)],
            (
                r"moa loses to its best member \(X\) by 30\.0 points \(\d+\.\d to \d+\.\d, p < \.001\) "
                r"at 11 × the tokens"
            ),
        ),
        (
            [mixture("moa", "1100" * 10), arm("X", "1010" * 10), arm("Y", "0" * 40)],
            (
                r"no difference shown between moa and its best member \(X\): \+0\.0 points "
                r"\(-\d+\.\d to \d+\.\d, p = 1\); \d,\d00 more questions would be needed to see 5 points"
            ),
        ),
        (
            [mixture("moa", WORSE * 4), arm("X", WORSE * 4)],
            (
                r"no difference shown between moa and the only lone model \(X\): .*; "
                r"the 400 questions would show 5 points"
            ),
        ),
        (
            [mixture("moa", BETTER, [arm("A", WORSE)]), arm("X", WORSE), arm("Y", "0" * 100)],
            r"moa beats the best lone model \(X\) by .*",
        ),
        ([arm("A", BETTER), arm("B", WORSE)], r"A beats B by 30\.0 points .*"),
        (
            [mixture("A", BETTER), mixture("B", WORSE), mixture("C", WORSE)],
            r"A beats the best of the other 2 \(B\) by 30\.0 points .*",
        ),
        (
            [mixture("moa", BETTER)],
            (
                r"moa scores 90\.0 % \(\d\d\.\d to 9\d\.\d\) of 100 questions; "
                r"there is no other arm to compare it with"
            ),
        ),
        ([mixture("moa", "1"), arm("X", "0")], r"no difference shown .* \+100\.0 points \(p = 1\); .*"),
        # Four graded questions without any difference show nothing.
        (
            [mixture("moa", [0.75] * 4), arm("X", [0.75] * 4)],
            r"no difference shown .*: \+0\.0 points \(-\d+\.\d to \d+\.\d, p = 1\); \d+ more questions .*",
        ),
        ([mixture("moa", "--"), arm("X", "11")], r"moa: no score; X scores 100\.0 % .*"),
        ([arm("X", "1")], r"X scores 100\.0 % of 1 question; there is no other arm .*"),
    ],
)
def test_the_sentence(arms: list[Arm], sentence: str) -> None:
    """One sentence says which is better, by how much, how sure that is, and what it costs."""
    assert re.fullmatch(sentence, compare(study(*arms)).sentence), compare(study(*arms)).sentence


def test_the_try_that_nobody_should_have_to_repeat() -> None:
    """127 questions, 64 right against 80: 12 and 28 right alone, p = .017."""
    both, mine, other, none = "1" * 52, "1" * 12, "0" * 28, "0" * 35
    theirs = "1" * 52 + "0" * 12 + "1" * 28 + "0" * 35
    found = comparison_json(
        compare(
            study(mixture("moa", both + mine + other + none, tokens=1100), arm("alone:A", theirs, tokens=100))
        )
    )
    assert found["arms"]["moa"]["n"] == 127
    difference = found["difference"]
    assert (difference["only_first"], difference["only_second"]) == (12, 28)
    assert difference["p"] == pytest.approx(0.0166, abs=5e-5)
    assert found["sentence"].startswith("moa loses to the only lone model (A) by 12.6 points (")
    assert found["sentence"].endswith(", p = .02) at 11 × the tokens")


def test_json_has_the_fields_that_programs_read() -> None:
    """Scores are in per cent; calls, tokens and dollars are those of all questions."""
    members = [
        arm("X", "1010", dollars=0.1, tokens=5, seconds=1.0, first_word=0.5),
        arm("Y", "1100", tokens=7),
    ]
    found = comparison_json(compare(study(mixture("moa", "1111", members, dollars=0.2), *members)))
    json.dumps(found, allow_nan=False)
    assert found.keys() >= {"sentence", "arms", "best_member", "difference", "beta", "spoiled", "saved"}
    assert found["arms"]["X"].keys() >= {
        "n", "score", "low", "high", "calls", "tokens", "dollars", "seconds", "seconds_p95", "first_word",
    }  # fmt: skip
    assert found["difference"].keys() >= {"arm", "points", "low", "high", "p", "only_first", "only_second"}
    x = found["arms"]["X"]
    assert (x["score"], x["calls"], x["tokens"], x["seconds"], x["seconds_p95"], x["first_word"]) == (
        50,
        4,
        20,
        1,
        1,
        0.5,
    )
    assert x["dollars"] == pytest.approx(0.4)
    assert found["arms"]["Y"]["dollars"] is None
    assert found["best_member"] == "Y"
    assert found["difference"]["points"] == 50
    assert found["beta"] == 0.25


def test_what_the_aggregator_spoiled_and_saved() -> None:
    """Three members: a majority right and the reply wrong is spoiled, the reverse saved."""
    members = [arm("A", "110010"), arm("B", "110000"), arm("C", "101000")]
    [found] = compare(study(mixture("moa", "101001", members))).effects.values()
    assert (found.spoiled, found.majority_right, found.saved, found.majority_wrong) == (1, 2, 2, 4)
    assert found.beta == pytest.approx(2 / 6)
    with_arms = compare(study(mixture("moa", "101001", members), *members)).effects["moa"]
    assert with_arms.beta == pytest.approx(2 / 6)


def test_beta_of_members_without_lone_arms() -> None:
    """Where not every member has an arm, β is that of the answers that were read."""
    members = [arm("A", "1100"), arm("B", "1010")]
    found = compare(study(mixture("moa", "1000", members), members[0])).effects["moa"]
    assert found.beta == 0.25


@pytest.mark.parametrize(
    ("followed", "first", "last"), [(0, 1.0, 0.0), (2, 0.0, 1.0), (1, 0.0, 0.0), (None, 1 / 3, 1 / 3)]
)
def test_position(followed: int | None, first: float, last: float) -> None:
    """A reply follows the answer that it resembles most; one that resembles all equally follows by chance."""
    texts = ["alpha beta gamma", "delta epsilon zeta", "eta theta iota"]
    reply = "something else" if followed is None else f"{texts[followed]} kappa"
    proposals = tuple(Proposal(f"m{n}", text) for n, text in enumerate(texts))
    outcomes = tuple(Outcome(f"q{n}", 1.0, reply=reply, proposals=proposals) for n in range(20))
    [found] = compare(study(Arm("moa", "mixture", outcomes))).effects.values()
    assert found.follows_first is not None
    assert found.follows_last is not None
    assert found.follows_first.share == pytest.approx(first)
    assert found.follows_last.share == pytest.approx(last)
    assert found.follows_first.chance == pytest.approx(1 / 3)
    assert (found.follows_first.low or 0) <= first <= (found.follows_first.high or 0)


def test_panels_of_members_that_complement_each_other() -> None:
    """The best panel is the smallest of those with the highest 1 - β."""
    arms = [
        arm("A", "11000", "x/A"),
        arm("B", "11000", "x/B"),
        arm("C", "00110", "x/C"),
        arm("D", "01000", "x/D"),
    ]
    found = comparison_json(compare(study(*arms, arm("E", "00001", "x/E"))))["panels"]
    assert found[0]["ceiling"] == 1
    assert found[0]["reference_models"] == "x/A,x/C,x/E"
    assert len(found) == 5 + 10 + 10 + 5


def test_items_that_not_all_arms_have_are_left_out_and_said() -> None:
    """All figures are of the same questions."""
    short = arm("X", "10-1")
    failed = Arm("Y", "alone", tuple(Outcome(f"q{n}", None, error="refused") for n in range(4)))
    found = compare(study(mixture("moa", "11110"), short, failed))
    assert found.n == 3
    assert found.arms["moa"].n == found.arms["X"].n == 3
    assert "Y" not in found.arms
    assert found.notes == (
        "X: no score for 2 of 5 questions",
        "Y: left out, as none of its answers has a score (refused)",
        "the figures are of the 3 questions that all arms have a score for",
    )


@pytest.mark.parametrize(
    ("arms", "error"),
    [
        ([], UsageError),
        ([arm("X", "1"), arm("X", "0")], UsageError),
        ([arm("X", [66.0])], UsageError),
        ([arm("X", [float("nan")])], UsageError),
        ([arm("X", "--")], MoaError),
        ([arm("X", "1-"), arm("Y", "-1")], MoaError),
    ],
)
def test_nothing_to_compare(arms: list[Arm], error: type[MoaError]) -> None:
    with pytest.raises(error):
        compare(study(*arms))


@pytest.mark.parametrize(
    ("groups", "test", "note"),
    [
        (0, "McNemar, exact", ""),
        (4, "McNemar, exact", "the 4 groups count as kinds of questions"),
        (8, "paired permutation", "intervals and p allow for the 8 groups"),
    ],
)
def test_groups(groups: int, test: str, note: str) -> None:
    """Items of a group are resampled together, unless there are too few groups to show anything."""

    def grouped(name: str, scores: str) -> Arm:
        outcomes = tuple(
            Outcome(f"q{n}", float(each), group=f"g{n % groups}" if groups else "")
            for n, each in enumerate(scores)
        )
        return Arm(name, "alone", outcomes)

    found = compare(study(grouped("A", "10" * 20), grouped("B", "01" * 20)))
    assert found.difference is not None
    assert found.difference.test == test
    assert note in " ".join(found.notes)
    assert len(found.groups) == groups


def test_epochs_are_no_further_items() -> None:
    """Ten repeats of five questions are five questions."""

    def repeated(name: str, scores: str) -> Arm:
        return Arm(
            name,
            "alone",
            tuple(Outcome(str(n), float(s), epoch=e) for e in range(1, 11) for n, s in enumerate(scores)),
        )

    found = compare(study(repeated("A", "11111"), repeated("B", "00000"))).difference
    assert found is not None
    assert found.p == pytest.approx(2 / 2**5)
    assert found.test == "paired permutation"


EVIL = "<script>alert(1)</script>\x1b[31m $x_1$ 模型"


def evil_study() -> Study:
    members = [arm(EVIL, WORSE, dollars=0.1, seconds=1.0), arm("_Y", BETTER, dollars=0.2, seconds=2.0)]
    mixed = mixture("fusion of many models", BETTER, members, dollars=1.0, seconds=3.0)
    grouped = tuple(
        Arm(each.name, each.kind, tuple(
            Outcome(**{**{f: getattr(o, f) for f in Outcome.__slots__}, "group": f"{EVIL} {n % 5}"})
            for n, o in enumerate(each.outcomes)
        ), each.model, each.members)
        for each in (mixed, *members)
    )  # fmt: skip
    return Study(grouped, "exact", EVIL, "2026-01-02", EVIL)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_the_terminal(width: int) -> None:
    """No line is wider than the terminal but options to be copied, and no control character is in it."""
    from rich.cells import cell_len

    text = comparison_text(compare(evil_study()), width)
    assert "\x1b" not in text
    wide = [line for line in text.splitlines() if cell_len(line) > width]
    assert all(line.startswith("--reference_models ") for line in wide), wide


@pytest.mark.slow
def test_the_page() -> None:
    """Plots with n, judge and date in each; what models and data sets say is text."""
    page = comparison_page(compare(evil_study()))
    assert "<script" not in page
    assert "\x1b" not in page
    assert page.count("<svg") == 3
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert "n = 100" in picture
        assert "judge &lt;script&gt;" in picture
        assert "2026-01-02" in picture
        assert "$x_1$" in picture


def test_a_page_without_costs_and_seconds() -> None:
    """What is unknown is not drawn."""
    page = comparison_page(compare(study(arm("A", "1"), arm("B", "0"))))
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.017, "p = .02"),
        (0.0004, "p < .001"),
        (0.0049, "p = .005"),
        (0.0496, "p = .050"),
        (0.051, "p = .051"),
        (0.999, "p = 1"),
        (0.58, "p = .58"),
    ],
)
def test_p_text(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(4.06, "4.1 ×"), (11.2, "11 ×"), (0.083, "0.08 ×"), (1, "1.0 ×"), (1234.5, "1,234 ×")]
)
def test_times(ratio: float, text: str) -> None:
    assert times(ratio) == text
