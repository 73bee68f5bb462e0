"""MT-Bench: the judge's prompts byte for byte, the grades in its words, scores by turn and category."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bot.bulk.files import write_rows
from bot.eval.mt_bench import data as official
from bot.eval.mt_bench.benchmark import MtBench
from bot.eval.mt_bench.judge import messages, prompt_name, read_score
from bot.eval.mt_bench.score import score
from bot.eval.official_data import DataError, OfficialData, read_rows
from bot.eval.registry import open_benchmark
from bot.messages import Completion

Row = dict[str, Any]


@pytest.fixture
def judged(recorded: Path) -> list[Row]:
    return read_rows(recorded / "mt_bench" / "judgments.jsonl.gz")


def first_answer(prompt: str) -> str:
    """Cut the answer out of a first turn's prompt."""
    start, end = "[The Start of Assistant's Answer]\n", "\n[The End of Assistant's Answer]"
    return prompt[prompt.index(start) + len(start) : prompt.rindex(end)]


def second_answer(prompt: str, question: str) -> str:
    """Cut the second answer out of a second turn's prompt."""
    start = f"### User:\n{question}\n\n### Assistant A:\n"
    end = "\n\n<|The End of Assistant A's Conversation with User|>"
    return prompt[prompt.rindex(start) + len(start) : prompt.rindex(end)]


def test_every_recorded_judge_prompt_is_rebuilt(recorded: Path, judged: list[Row]) -> None:
    """320 of 320 prompts are rebuilt byte for byte from question, answers and reference."""
    data = OfficialData(recorded / "mt_bench")
    questions = {int(each.id): each for each in official.questions(data)}
    prompts, references = official.prompts(data), official.references(data)
    firsts = {
        (row["model"], row["question_id"]): first_answer(row["user_prompt"])
        for row in judged
        if row["turn"] == 1
    }
    rebuilt = 0
    for row in judged:
        question = questions[row["question_id"]]
        answers = [firsts[row["model"], row["question_id"]]]
        if row["turn"] == 2:
            answers.append(second_answer(row["user_prompt"], question.turns[1]))
        system, user = messages(question, answers, row["turn"], prompts, references)
        assert prompt_name(question.category, row["turn"]) == row["judge"][1]
        assert system.content == prompts[row["judge"][1]].system
        rebuilt += user.content == row["user_prompt"]
    assert rebuilt == 320


def test_every_recorded_grade_is_read_again(judged: list[Row]) -> None:
    """All scores follow from the judge's words."""
    assert [read_score(row["judgment"]) for row in judged] == [row["score"] for row in judged]


def test_recorded_averages_are_the_published_ones(recorded: Path) -> None:
    """The two recorded models have 7.12 and 6.37, from 160 judgments each, without any data folder."""
    found = score(read_rows(recorded / "mt_bench" / "judgments.jsonl.gz"))
    published = {"mamba_0_5_dpo_ep1": 7.12, "mamba_0_875_dpo_ep3": 6.37}
    assert found.keys() == published.keys()
    for model, average in published.items():
        of_model = found[model]
        assert round(of_model["score"], 2) == average
        assert (of_model["turn_1"] + of_model["turn_2"]) / 2 == pytest.approx(of_model["score"])
        categories = of_model["by_category"].values()
        assert len(categories) == 8
        assert sum(categories) / 8 == pytest.approx(of_model["score"])
        assert (of_model["n"], of_model["n_expected"], of_model["left_out"]) == (160, 160, 0)
        assert (of_model["comparable"], of_model["notes"]) == (True, [])
        assert 0 < of_model["standard_error"] < 0.5


def test_categories_of_ids_are_the_official_ones(recorded: Path) -> None:
    """A question's category follows from its id, so that scoring needs no other file."""
    for question in official.questions(OfficialData(recorded)):
        assert official.category(int(question.id)) == question.category
    assert official.category(80) is None
    assert official.category(161) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Rating: [[7]]", 7),
        ("[[3.5]] and then [[9]]", 3.5),
        ("see [2] … Rating: [[10]]", 10),
        ("Rating: [8]", 8),
        ("Rating: [[8.]]", 8),
        ("Rating: 8", None),
        ("[[eight]]", None),
        ("[[-1]]", None),
        ("[[0]]", None),
        ("[[0.5]]", None),
        ("[[1]]", 1),
        ("[[11]]", None),
        ("Rating: [10.1]", None),
        ("[[85]] of 100, so [9]", None),
        ("", None),
    ],
)
def test_grades_in_words(words: str, expected: float | None) -> None:
    """Double brackets come first, single ones otherwise, and everything else is no grade."""
    assert read_score(words) == expected


def row(question: int, turn: int, words: str, model: str = "moa") -> Row:
    return {"question_id": question, "turn": turn, "model": model, "judgment": words}


def test_what_has_no_grade_is_left_out_and_counted() -> None:
    """An unreadable judgment is no zero: it is left out of every mean, and said to be."""
    rows = [row(81, 1, "[[8]]"), row(81, 2, "no idea"), {**row(101, 1, ""), "judgment": None, "score": -1}]
    found = score(rows, expected=4)["moa"]
    assert (found["score"], found["n"], found["n_expected"], found["left_out"]) == (8, 1, 4, 2)
    assert (found["turn_1"], found["turn_2"], found["by_category"]) == (8, None, {"writing": 8})
    assert not found["comparable"]
    assert any("2 rows without" in note for note in found["notes"])


def test_a_repeated_turn_counts_once() -> None:
    """The last judgment of a turn counts, and the repetition is told."""
    found = score([row(81, 1, "[[2]]"), row(81, 1, "[[6]]")])["moa"]
    assert (found["score"], found["n"]) == (6, 1)
    assert any("1 repeated" in note for note in found["notes"])


def test_another_judge_is_told() -> None:
    """Figures of another judge than GPT-4 are not called comparable."""
    found = score([{**row(81, 1, "[[2]]"), "judge": ["qwen", "single-v1"]}])["moa"]
    assert any("qwen" in note for note in found["notes"])


def test_rows_that_are_no_judgments_are_refused() -> None:
    """A row without its question is an error that names the row."""
    with pytest.raises(DataError, match="row 2"):
        score([row(81, 1, "[[2]]"), {"model": "moa"}])


def test_items_have_the_temperatures_of_their_categories(recorded: Path) -> None:
    """80 conversations of two turns, 1,024 tokens each, with the prescribed temperatures."""
    items = open_benchmark("mt_bench", recorded).items()
    assert Counter(item.temperature for item in items) == {0.7: 20, 0.0: 40, 0.1: 20}
    assert {(len(item.turns), item.max_tokens) for item in items} == {(2, 1024)}
    assert [item.id for item in open_benchmark("mt_bench", recorded).items(2)] == ["81", "82"]


def test_from_item_to_judgment(recorded: Path, tmp_path: Path) -> None:
    """Two answers become two questions to the judge, whose rows the score reads as they are written."""
    bench = open_benchmark("mt_bench", recorded)
    bench.load({"generate", "judge", "score"})
    assert set(bench.data.hashes) == {"mt_bench.questions", "mt_bench.references", "mt_bench.prompts"}
    rows = []
    for item in bench.items():
        answer = bench.answer_row(item, ("One {answer}", "Two"), "moa")
        assert answer["choices"] == [{"index": 0, "turns": ["One {answer}", "Two"]}]
        requests = bench.judge_requests(item, ("One {answer}", "Two"), "moa")
        assert [request.row["turn"] for request in requests] == [1, 2]
        for request, words in zip(requests, ("Fine. Rating: [[9]]", "Hm. [[4.5]]"), strict=True):
            assert (request.temperature, request.max_tokens, request.top_logprobs) == (0.0, 2048, 0)
            assert "One {answer}" in request.messages[-1].content
            rows.append(bench.judgment(request, Completion(words), "gpt-4").row)
    write_rows(tmp_path / bench.judgments_file, rows)
    found = score(read_rows(tmp_path / bench.judgments_file))["moa"]
    assert (found["turn_1"], found["turn_2"], found["score"]) == (9, 4.5, 6.75)
    assert found["comparable"]
    assert set(rows[0]) == {
        "question_id", "model", "judge", "user_prompt", "judgment", "score", "turn", "tstamp"
    }  # fmt: skip


def test_an_unreadable_judgment_has_a_reason(recorded: Path) -> None:
    """A judge without a grade gives no score but a reason, and -1 in the official row."""
    bench = open_benchmark("mt_bench", recorded)
    request = bench.judge_requests(bench.items(1)[0], ("One", "Two"), "moa")[0]
    judgment = bench.judgment(request, Completion("Splendid."), "gpt-4")
    assert (judgment.score, judgment.row["score"], judgment.reason) == (
        None,
        -1,
        "no score in double brackets",
    )


def test_an_altered_prompt_is_refused_or_told(recorded: Path, tmp_path: Path) -> None:
    """Judge prompts that are not the official ones stop a run, or make its figures incomparable."""
    for name in ("question.jsonl", "reference_answer-gpt-4.jsonl"):
        (tmp_path / name).write_bytes((recorded / "mt_bench" / name).read_bytes())
    prompts = read_rows(recorded / "mt_bench" / "judge_prompts.jsonl")
    write_rows(tmp_path / "judge_prompts.jsonl", [{**each, "system_prompt": "Be kind."} for each in prompts])
    with pytest.raises(DataError, match="not the official file"):
        MtBench(OfficialData(tmp_path)).load({"judge"})
    bench = MtBench(OfficialData(tmp_path, accept_altered=True))
    bench.load({"judge"})
    found = bench.score([row(81, 1, "[[2]]")])["moa"]
    assert any("mt_bench.prompts is not the official file" in note for note in found["notes"])
    assert json.dumps(found)
