"""MT-Bench as a `Benchmark`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bot.eval.benchmark import Item, JudgeRequest, Judgment, Row, Stage, known_as
from bot.eval.mt_bench import data as official
from bot.eval.mt_bench import judge as judging
from bot.eval.mt_bench.score import score
from bot.eval.official_data import Data
from bot.messages import Completion

MAX_TOKENS = 1024


class MtBench:
    """80 conversations of two turns; each turn is graded by itself, the second with the first in sight.

    A judgment's score is the judge's grade, 1 to 10.
    """

    name = "mt_bench"
    title = "MT-Bench"
    default_judge = "gpt-4"
    answers_file = "model_answer.jsonl"
    judgments_file = "gpt-4_single.jsonl"

    def __init__(self, data: Data) -> None:
        self._data = data

    def prepare(self, stages: Collection[Stage]) -> Mapping[str, str]:
        """Read the questions, and for the judge its prompts and the reference answers."""
        if set(stages) - {"score"}:
            official.questions(self._data)
        if "judge" in stages:
            official.references(self._data)
            official.prompts(self._data)
        return dict(self._data.hashes)

    def items(self, limit: int | None = None) -> list[Item]:
        """Return the questions; an item's id is the question's."""
        return [
            Item(
                id=str(each.id),
                turns=each.turns,
                temperature=official.TEMPERATURES.get(each.category),
                max_tokens=MAX_TOKENS,
                meta={"category": each.category},
            )
            for each in official.questions(self._data)[:limit]
        ]

    def answer_row(self, item: Item, answers: tuple[str, ...], model: str, at: float) -> Row:
        """Return a line of the answers file. Its id follows from what it says."""
        told = "\0".join((item.id, model, *answers)).encode("utf-8", "surrogatepass")
        return {
            "question_id": int(item.id),
            "answer_id": hashlib.sha256(told).hexdigest()[:22],
            "model_id": model,
            "choices": [{"index": 0, "turns": list(answers)}],
            "tstamp": at,
        }

    def judge_requests(self, item: Item, answers: tuple[str, ...], model: str) -> list[JudgeRequest]:
        """Return one question a turn."""
        question = official.Question(int(item.id), str(item.meta["category"]), item.turns)
        prompts, references = official.prompts(self._data), official.references(self._data)
        return [
            JudgeRequest(
                key=f"{item.id}-{turn}",
                item=item.id,
                messages=judging.messages(question, answers, turn, prompts, references),
                temperature=judging.TEMPERATURE,
                max_tokens=judging.MAX_TOKENS,
                meta={
                    "question_id": question.id,
                    "model": model,
                    "prompt": judging.prompt_name(question.category, turn),
                    "turn": turn,
                },
            )
            for turn in range(1, len(item.turns) + 1)
        ]

    def judgment(self, request: JudgeRequest, completion: Completion, judge: str, at: float) -> Judgment:
        """Read the grade; the official files say -1 where there is none."""
        grade = judging.read_score(completion.text)
        row = {
            "question_id": request.meta["question_id"],
            "model": request.meta["model"],
            "judge": [known_as(judge, self.default_judge), request.meta["prompt"]],
            "user_prompt": request.messages[-1].content,
            "judgment": completion.text,
            "score": -1 if grade is None else grade,
            "turn": request.meta["turn"],
            "tstamp": at,
        }
        return Judgment(
            key=request.key,
            item=request.item,
            score=grade,
            row=row,
            reason="" if grade is not None else "no score in double brackets",
        )

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the scores by model: see `score.score`."""
        return score(rows, expected, self._data.altered)
