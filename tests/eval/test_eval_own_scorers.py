"""Scorers without a judge: a reply and a target to right, wrong or no score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.eval.own.scorers import rule_scorer

RIGHT, WRONG = 1.0, 0.0


@pytest.mark.parametrize(
    ("scorer", "reply", "target", "score"),
    [
        # exact: the final answer, however it is written
        ("exact", "Paris", "Paris", RIGHT),
        ("exact", "  paris. ", "Paris", RIGHT),
        ("exact", "The capital of France is **Paris**.", "paris", RIGHT),
        ("exact", "Paris is the capital of France.", "Paris", WRONG),
        ("exact", "Let me think: London?\nANSWER: Paris", "Paris", RIGHT),
        ("exact", "It is Paris.\nANSWER: London", "Paris", WRONG),
        ("exact", r"so it is \boxed{\frac{1}{2}} as shown", "0.5", RIGHT),
        ("exact", "The result is 1,000.", "1000", RIGHT),
        ("exact", "The result is 1000.5", "5", WRONG),
        ("exact", "It is 142", "42", WRONG),
        ("exact", "It is minus 42", "42", WRONG),
        ("exact", "It is -42", "42", WRONG),
        ("exact", "It is not Paris.", "Paris", WRONG),
        ("exact", "That was on 5 March 2024.", "2024-03-05", RIGHT),
        ("exact", "The novel is The Old Man and the Sea", "The Old Man and the Sea", RIGHT),
        ("exact", "E. faecalis", "E. coli", WRONG),
        ("exact", "five", "5", RIGHT),
        ("exact", "The answer is:\n\n[2, 4, 6]", "[2,4,6]", RIGHT),
        ("exact", "The output is:\n```\n[1, 2]\n```", "[1, 2]", RIGHT),
        ("exact", "", "Paris", WRONG),
        # includes: whole words
        ("includes", "I think it is Paris, of course", "paris", RIGHT),
        ("includes", "The  old\nman", "old man", RIGHT),
        ("includes", "142 or so", "42", WRONG),
        ("includes", "it is 4.5", "4", WRONG),
        ("includes", "it is 1,400", "400", WRONG),
        ("includes", "it is 4.", "4", RIGHT),
        ("includes", "written in C++ and C#", "C++", RIGHT),
        ("includes", "Parisian", "Paris", WRONG),
        # number
        ("number", "42", "42", RIGHT),
        ("number", "The sum is 42.", "42", RIGHT),
        ("number", "The sum is 42 apples in all", "42", RIGHT),
        ("number", "about 41.9", "42", WRONG),
        ("number:0.01", "about 41.9", "42", RIGHT),
        ("number:0.01", "about 40", "42", WRONG),
        ("number", "1,234,567", "1234567", RIGHT),
        ("number", "It is 5 km long: 5 km", "5000 m", RIGHT),
        ("number", "ANSWER: 5 m", "5 km", WRONG),
        ("number", "ANSWER: 5", "5 km", RIGHT),
        ("number", "0.5", "1/2", RIGHT),
        ("number", "ANSWER: 50 %", "50%", RIGHT),
        ("number", r"Hence $x = \frac{3}{4}$.", "0.75", RIGHT),
        ("number", r"\boxed{2\sqrt{2}}", r"\sqrt{8}", RIGHT),
        ("number", r"\boxed{\sqrt{8}}", "2.8284271", RIGHT),
        ("number", "ANSWER: 2^10", "1024", RIGHT),
        ("number", "2^{10}", "1024", RIGHT),
        ("number", "ANSWER: 3 × 2^{10}", "3072", RIGHT),
        ("number", "1.5e3", "1500", RIGHT),
        ("number", "-7", "7", WRONG),
        ("number", "The answer is −7", "-7", RIGHT),
        ("number", "no idea", "7", WRONG),
        ("number", "9^9^9^9", "7", WRONG),
        ("number", r"\boxed{9^{9^{9}}}", "7", WRONG),
        ("number", "", "7", WRONG),
        ("number", "0", "0", RIGHT),
        ("number", "twelve", "12", RIGHT),
        # includes
        ("includes", "Cafe\u0301 noir", "caf\u00e9", RIGHT),
        ("includes", "首都は東京です", "東京", RIGHT),
        ("includes", "14 and 4.5", "4", WRONG),
        # choice
        ("choice", "B", "B", RIGHT),
        ("choice", "b)", "B", RIGHT),
        ("choice", "(B) Paris", "B", RIGHT),
        ("choice", "B. Paris", "(B)", RIGHT),
        ("choice", "The answer is B.", "B", RIGHT),
        ("choice", "The answer is **(B)** because A is wrong.", "B", RIGHT),
        ("choice", "I first thought the answer was A.\n\nThe answer is: C", "C", RIGHT),
        ("choice", "A dog barks.\nB", "B", RIGHT),
        ("choice", "A dog barks.", "A", WRONG),
        ("choice", r"$\boxed{D}$", "D", RIGHT),
        ("choice", "ANSWER: option C", "C", RIGHT),
        ("choice", "ANSWER: C. The third", "c) The third", RIGHT),
        ("choice", "C", "D", WRONG),
        ("choice", "I cannot say.", "B", WRONG),
        ("choice", "B", "Paris", None),
        ("choice", "b", "B", RIGHT),
        ("choice", r"\boxed{\text{B}}", "B", RIGHT),
        ("choice", r"$\boxed{\textbf{(B)}}$", "B", RIGHT),
        ("choice", "I think it is B", "B", RIGHT),
        ("choice", "I would choose **B**.", "B", RIGHT),
        ("choice", "C is the correct answer.", "C", RIGHT),
        ("choice", "Among the options, A and C are wrong. The right one is B.", "B", RIGHT),
        ("choice", "The answer is not A but B", "B", RIGHT),
        ("choice", "The answer cannot be A. So it must be B.", "B", RIGHT),
        ("choice", "正确答案是B", "B", RIGHT),
        ("choice", "The answer is a matter of taste.", "A", WRONG),
        ("choice", "B is not correct; the answer is D", "D", RIGHT),
        ("choice", "It is rich in vitamin C", "C", WRONG),
        # regex
        ("regex", "colour", "colou?r", RIGHT),
        ("regex", "COLOR", "colou?r", WRONG),
        ("regex", "COLOR", "(?i)colou?r", RIGHT),
        (r"regex:^\d+$", "42", "", RIGHT),
        (r"regex:^\d+$", "it is 42", "", WRONG),
        ("regex", "colour", "colou(r", None),
        ("regex", "a" * 60 + "!", r"^(a|aa)+(a|aa)+(a|aa)+$", None),
        # json
        ("json", '{"b": 2, "a": [1, 2]}', '{"a": [1, 2.0], "b": 2}', RIGHT),
        ("json", 'Here:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}', RIGHT),
        ("json", 'It is {"a": 1}.', '{"a": 1}', RIGHT),
        ("json", '{"a": true}', '{"a": 1}', WRONG),
        ("json", '{"a": 1, "b": null}', '{"a": 1}', WRONG),
        ("json", "[2, 1]", "[1, 2]", WRONG),
        ("json", "no object here", '{"a": 1}', WRONG),
        ("json", '{"a": 1}', "{a: 1}", None),
        ("json", 'As in [1], it is {"a": 1}.', '{"a": 1}', RIGHT),
        ("json", "[" * 100_000, '{"a": 1}', WRONG),
    ],
)  # fmt: skip
def test_scores(scorer: str, reply: str, target: str, score: float | None) -> None:
    """Right, wrong, or no score with the reason."""
    found = rule_scorer(scorer).score(reply, (target,) if target else ())
    assert found.score == score
    assert bool(found.error) == (score is None)


@pytest.mark.parametrize("scorer", ["exact", "includes", "number", "choice", "regex", "json"])
def test_a_question_without_a_target_has_no_score(scorer: str) -> None:
    """It is no wrong answer."""
    found = rule_scorer(scorer).score("reply", ())
    assert (found.score, found.error) == (None, "the question has no target")


def test_the_best_of_several_targets_counts() -> None:
    """They are alternatives."""
    assert rule_scorer("exact").score("USA", ("United States", "USA")).score == 1
    assert rule_scorer("choice").score("B", ("Paris", "B")).score == 1


def test_a_schema(tmp_path: Path) -> None:
    """`json:FILE` checks the reply's JSON against a schema, without a target."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({"type": "object", "required": ["a"]}))
    scorer = rule_scorer(f"json:{file}")
    assert [scorer.score(reply, ()).score for reply in ('{"a": 1}', "{}", "none")] == [1, 0, 0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exat", "there is no scorer exat. Did you mean exact?"),
        ("exact:1", "it has no argument"),
        ("number:x", "expected a tolerance"),
        ("number:2", "expected a tolerance"),
        ("number:nan", "expected a tolerance"),
        ("regex:(", "cannot be read"),
        ("json:/nowhere.json", "no JSON schema"),
    ],
)
def test_wrong_scorers(spec: str, message: str) -> None:
    """They are refused before anything is asked."""
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace("?", r"\?")):
        rule_scorer(spec)
