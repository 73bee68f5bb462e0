"""The offline service as mixture and judge, with answers and judgments that others have recorded."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REFERENCES = ("Qwen1.5-72B-Chat", "dbrx-instruct")
UNDER_TEST = "claude-2"
JUDGE = "the-judge"
MT_MODEL = "mamba_0_5_dpo_ep1"

# Not the official prompt, which no test may bring along: it has places for the same things.
JUDGE_PROMPT = (
    "<|im_start|>system\nYou compare.\n<|im_end|>\n<|im_start|>user\n"
    "Question: {instruction}\n\nm: {output_1}\n\nM: {output_2}\n\nWhich is better?\n<|im_end|>\n"
)


def read(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def alpaca_data(recorded: Path, folder: Path) -> Path:
    """A folder with AlpacaEval's data, and a stand-in for the judge's prompt."""
    data = folder / "alpaca-data"
    shutil.copytree(recorded / "alpaca_eval", data)
    prompt = data / "alpaca_eval_clf_gpt4_turbo" / "alpaca_eval_clf.txt"
    prompt.parent.mkdir()
    prompt.write_text(JUDGE_PROMPT, encoding="utf-8")
    return data


def alpaca_behaviour(recorded: Path, data: Path, folder: Path) -> dict[str, Any]:
    """References and claude-2 as recorded, and the real judge's log probabilities of claude-2."""
    from bot.eval.alpaca_eval.judge import swapped
    from bot.eval.registry import open_benchmark
    from bot.eval.trial import TRIAL_ANSWER

    benchmark = open_benchmark("alpaca_eval", data, accept_altered=True)
    rows = {
        row["instruction"]: row for row in read(recorded / "alpaca_eval" / "annotations-claude-2.jsonl.gz")
    }
    [trial] = benchmark.judge_requests(benchmark.items(1)[0], (TRIAL_ANSWER,), "trial")
    judged: list[dict[str, Any]] = [
        {
            "instruction": trial.messages[-1].content,
            "outputs": {JUDGE: "m"},
            "top_logprobs": {JUDGE: {"m": -0.1, "M": -2.3}},
        }
    ]
    for item in benchmark.items():
        row = rows[item.turns[0]]
        [request] = benchmark.judge_requests(item, (row["output_2"],), UNDER_TEST)
        top = row["top_logprobs"] or _logprobs(row["preference"], is_swapped=swapped(item.turns[0]))
        judged.append(
            {
                "instruction": request.messages[-1].content,
                "outputs": {JUDGE: max(top, key=lambda token: top[token])},
                "top_logprobs": {JUDGE: top},
            }
        )
    answers = write(
        folder / "claude-2.jsonl",
        ({"instruction": key, "outputs": {UNDER_TEST: row["output_2"]}} for key, row in rows.items()),
    )
    verdicts = write(folder / "verdicts.jsonl", judged)
    says: dict[str, Any] = {
        model: {"recorded": str(recorded / "alpaca_eval" / "recorded_answers.jsonl.gz"), "recorded_as": model}
        for model in REFERENCES
    }
    says[UNDER_TEST] = {"recorded": str(answers), "recorded_as": UNDER_TEST}
    says[JUDGE] = {"recorded": str(verdicts), "recorded_as": JUDGE}
    return {"models": says}


def _logprobs(preference: float, *, is_swapped: bool) -> dict[str, float]:
    """Log probabilities that make this preference, for the few judgments whose own are not recorded."""
    second = (3 - preference if is_swapped else preference) - 1
    return {"m": math.log(max(1 - second, 1e-12)), "M": math.log(max(second, 1e-12))}


def mt_behaviour(recorded: Path, folder: Path) -> dict[str, Any]:
    """One model's answers, as its judgments show them, and the real judge's judgments of them."""
    from bot.eval.registry import open_benchmark
    from bot.eval.trial import TRIAL_ANSWER

    judgments = [
        row for row in read(recorded / "mt_bench" / "judgments.jsonl.gz") if row["model"] == MT_MODEL
    ]
    questions = {
        row["question_id"]: row["turns"]
        for row in map(json.loads, (recorded / "mt_bench" / "question.jsonl").read_text().splitlines())
    }
    answers = []
    for row in judgments:
        if row["turn"] == 2:
            said = row["user_prompt"].partition("<|The Start of Assistant A's Conversation with User|>")[2]
            turns = re.split(r"### Assistant A:\n", said)[1:]
            first = turns[0][: turns[0].rindex("\n\n### User:\n")]
            second = turns[1][: turns[1].rindex("\n\n<|The End of Assistant A's")]
            for prompt, answer in zip(questions[row["question_id"]], (first, second), strict=True):
                answers.append({"instruction": prompt, "outputs": {MT_MODEL: answer}})
    spoken = write(folder / "mt-answers.jsonl", answers)
    benchmark = open_benchmark("mt_bench", recorded)
    trial = benchmark.judge_requests(benchmark.items(1)[0], (TRIAL_ANSWER,) * 2, "trial")[0]
    judged = [(row["user_prompt"], row["judgment"]) for row in judgments]
    judged.append((trial.messages[-1].content, "It says nothing. [[1]]"))
    verdicts = write(
        folder / "mt-verdicts.jsonl",
        ({"instruction": prompt, "outputs": {JUDGE: judgment}} for prompt, judgment in judged),
    )
    return {
        "models": {
            "reference": {"reply": "a proposal"},
            MT_MODEL: {"recorded": str(spoken), "recorded_as": MT_MODEL},
            JUDGE: {"recorded": str(verdicts), "recorded_as": JUDGE},
        }
    }
