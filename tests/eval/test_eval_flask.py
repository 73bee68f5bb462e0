"""FLASK: the review prompt, the scores in a review, figures by skill, domain and difficulty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.bulk.files import write_rows
from bot.eval.flask import data as official
from bot.eval.flask.benchmark import Flask
from bot.eval.flask.judge import messages, read_scores, skill_key
from bot.eval.official_data import DataError, OfficialData, read_rows
from bot.eval.registry import open_benchmark
from bot.messages import Completion

Row = dict[str, Any]

REVIEW = (
    "Good.\n{'Completeness': 1}\nIn all:\n{'Logical_Correctness': 4,\n'Readability': 5, 'Conciseness': 'N/A'}"
)


@pytest.fixture
def empty(tmp_path: Path) -> OfficialData:
    folder = tmp_path / "empty"
    folder.mkdir()
    return OfficialData(folder)


def test_the_review_prompt_is_the_official_one(recorded: Path) -> None:
    """Every item's prompt is the official template with skills, ground truth and answer in place."""
    data = OfficialData(recorded)
    prompt, skills = official.review_prompt(data), official.skills(data)
    raw = {row["Skill"]: row for row in read_rows(recorded / "flask" / "skillset_description.json")}
    template = read_rows(recorded / "flask" / "prompt.jsonl")[1]
    items = official.instructions(data)
    assert len(items) == official.COUNT
    for item in items:
        described = ""
        for name in item.skills:
            described += f"\n{name}: {raw[name]['Criteria']}"
            described += "".join(f"\nScore {n}: {raw[name]['Scoring'][str(n)]}" for n in range(1, 6)) + "\n\n"
        system, user = messages(prompt, item, "My {response}", skills)
        assert system.content == template["system_prompt"]
        assert user.content == template["prompt_template"].format(
            question=item.turns[0],
            sample_answer=item.answer,
            response="My {response}",
            skills=described,
            **template["defaults"],
        )


def test_the_items_are_the_official_ones(recorded: Path) -> None:
    """1,740 items of three skills (a few of two), ten domains, five difficulties, two items without one."""
    items = official.instructions(OfficialData(recorded / "flask"))
    keys = {skill_key(name.lower()) for item in items for name in item.skills}
    assert keys == set(official.SKILL_KEYS)
    assert {len(item.skills) for item in items} == {2, 3}
    assert len({name for item in items for name in item.domains}) == 10
    assert {item.difficulty for item in items} == {*official.DIFFICULTIES, None}
    assert sum(item.difficulty is None for item in items) == 2


@pytest.mark.parametrize(
    ("review", "expected"),
    [
        (REVIEW, {"correctness": 4, "readability": 5, "conciseness": None}),
        ('{"Logical Robustness": 3}', {"robustness": 3}),
        (
            "{'logical_efficiency': '2', 'Commonsense Understanding': 4.5}",
            {"efficiency": 2, "commonsense": 4.5},
        ),
        (
            "{'Factuality': 'not applicable', 'Insightfulness': 'NA'}",
            {"factuality": None, "insightfulness": None},
        ),
        (r"{'Readability': 5, 'path\d': 1}", {"readability": 5}),
        ("{'Readability': 6, 'Conciseness': 0, 'Factuality': 1}", {"factuality": 1}),
        ('{"Readability": null, "Factuality": 5, "Completeness": "I cannot say"}', {"factuality": 5}),
        ('{"Readability": null}', None),
        ("{'Readability': True}", None),
        ("{'Overall': 4}", None),
        ("{'Readability': 5", None),
        ("{'Readability': five}", None),
        ("{'Readability'}", None),
        ("{['a']: 1}", None),
        ("{" + "(" * 1900 + "}", None),
        ("{" + " " * 5000 + "}", None),
        ("No scores.", None),
        ("", None),
    ],
)
def test_scores_in_a_review(review: str, expected: dict[str, float | None] | None) -> None:
    """The last braces count; N/A is kept apart from a score; what cannot be read is None."""
    assert read_scores(review) == expected


@given(st.text(alphabet="{}[]()'\":,0123456789 -abnreadilty/\\\n", max_size=80))
def test_no_review_stops_the_reading(review: str) -> None:
    """Whatever the judge writes, reading it ends with scores from 1 to 5 or with none."""
    for value in (read_scores(review) or {}).values():
        assert value is None or 1 <= value <= 5


def review(idx: int, scores: str, **more: object) -> Row:
    return {"idx": idx, "review": f"So: {scores}", **more}


def test_figures_by_skill_domain_and_difficulty(recorded: Path) -> None:
    """Each mean is over the scores that are not N/A, joined to the official items by idx."""
    items = {int(item.id): item for item in official.instructions(OfficialData(recorded))}
    rows = [
        review(1, "{'Readability': 5, 'Logical Correctness': 4, 'Conciseness': 'N/A'}"),
        review(2, "{'Commonsense Understanding': 1, 'Readability': 2, 'Comprehension': 3}", domain=["Math"]),
        review(3, "I would not say."),
        review(1706, "{'Metacognition': 4, 'Readability': 4}"),  # not asked for readability
    ]
    found = Flask(OfficialData(recorded)).score(rows, expected=4)
    assert (found["n"], found["n_expected"], found["unparsable"], found["not_applicable"]) == (3, 4, 1, 1)
    assert found["incomplete"] == 1
    assert found["skill"]["readability"]["score"] == pytest.approx(7 / 2)
    assert found["skill"]["readability"]["n"] == 2
    assert "conciseness" not in found["skill"]
    assert items[1].domains == items[2].domains == ("Humanities",)
    assert found["domain"]["Humanities"]["score"] == pytest.approx((5 + 4 + 1 + 2 + 3) / 5)
    assert found["domain"]["Humanities"]["n"] == 5
    assert "Math" not in found["domain"]
    assert found["difficulty"]["formal education knowledge"]["score"] == 4.5
    assert sum(each["n"] for each in found["difficulty"].values()) == 5
    assert not found["comparable"]
    assert found["hard"] is None


def test_a_review_file_is_enough_by_itself(empty: OfficialData, tmp_path: Path) -> None:
    """Without the official items, domain and difficulty come from the rows, old names included."""
    rows = [
        review(1, "{'Readability': 5}", domain=["Math", "-1"], difficulty="expert level knowledge"),
        {
            "question_id": 2,
            "score": {"readability": 2, "factuality": "N/A"},
            "domain_labeled": ["Math"],
            "difficulty_labeled": -1,
        },
    ]
    write_rows(tmp_path / "reviews.jsonl.gz", rows)
    found = Flask(empty).score(read_rows(tmp_path / "reviews.jsonl.gz"))
    assert found["domain"] == {"Math": {"score": 3.5, "standard_error": pytest.approx(1.5), "n": 2}}
    assert list(found["difficulty"]) == ["expert level knowledge"]
    assert found["not_applicable"] == 1
    assert any("flask_evaluation.jsonl is missing" in note for note in found["notes"])


def test_flask_hard_is_scored_where_its_file_is(recorded: Path, tmp_path: Path) -> None:
    """The items of the FLASK-Hard file, joined by what is asked, have figures of their own."""
    source = read_rows(recorded / "flask" / "flask_evaluation.jsonl.gz")
    (tmp_path / "flask_evaluation.jsonl.gz").write_bytes(
        (recorded / "flask" / "flask_evaluation.jsonl.gz").read_bytes()
    )
    hard = [row for row in source if row["idx"] in (134, 250)]
    renumbered = [
        {"question_id": n, "text": row["instruction"], "answer": "", "metrics": row["skill"]}
        for n, row in enumerate(hard)
    ]
    write_rows(tmp_path / "flask_hard_evaluation.jsonl", renumbered)
    rows = [review(134, "{'Insightfulness': 2}"), review(1, "{'Readability': 5}")]
    found = Flask(OfficialData(tmp_path)).score(rows)["hard"]
    assert (found["score"], found["items"], found["items_expected"]) == (2, 1, 2)


def test_a_repeated_item_counts_once(empty: OfficialData) -> None:
    """The last review of an item counts, and the repetition is told."""
    found = Flask(empty).score([review(1, "{'Readability': 1}"), review(1, "{'Readability': 5}")])
    assert (found["score"], found["n"]) == (5, 1)
    assert any("1 repeated" in note for note in found["notes"])


@pytest.mark.parametrize("row", [{"review": "x"}, {"idx": 1}, {"idx": "one", "review": "x"}])
def test_rows_that_are_no_reviews_are_refused(empty: OfficialData, row: Row) -> None:
    """A row without its item, or without anything to read, is an error that names the row."""
    with pytest.raises(DataError, match="row 1 is no FLASK review"):
        Flask(empty).score([row])


@pytest.mark.slow
def test_from_item_to_review(recorded: Path, tmp_path: Path) -> None:
    """Every item of FLASK goes through a made-up judge; its unreadable reviews are counted."""
    bench = open_benchmark("flask", recorded)
    bench.load({"generate", "judge"})
    assert set(bench.data.hashes) == {"flask.items", "flask.prompts", "flask.skills"}
    rows = []
    for item in bench.items(60):
        (request,) = bench.judge_requests(item, ("Mine",), "moa")
        assert (request.temperature, request.max_tokens) == (0.0, 1024)
        words = str(dict.fromkeys(item.skills, 4)) if int(item.id) % 3 else "Nice."
        judgment = bench.judgment(request, Completion(words), "gpt-4")
        assert judgment.score == (4 if int(item.id) % 3 else None)
        rows.append(judgment.row)
    write_rows(tmp_path / bench.judgments_file, rows)
    found = bench.score(read_rows(tmp_path / bench.judgments_file))
    assert (found["n"], found["unparsable"], found["score"], found["model"]) == (40, 20, 4, "moa")
    assert bench.answer_row(bench.items(1)[0], ("Mine",), "moa")["text"] == "Mine"
    assert json.loads(json.dumps(found)) == found


def test_a_review_in_which_no_skill_applies_is_read_but_has_no_score(recorded: Path) -> None:
    """All N/A is not unreadable: there is no score, the reason says so, and the row keeps it."""
    bench = open_benchmark("flask", recorded)
    (request,) = bench.judge_requests(bench.items(1)[0], ("Mine",), "moa")
    judgment = bench.judgment(request, Completion("{'Readability': 'N/A'}"), "gpt-4")
    assert (judgment.score, judgment.reason) == (None, "no skill applies")
    assert judgment.row["score"] == {"readability": "N/A"}
    assert bench.score([judgment.row])["unparsable"] == 0
