"""MT-Bench as a `Benchmark`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Sequence
from statistics import fmean
from typing import Any

from bot.bulk.files import Row
from bot.eval.benchmark import Benchmark, JudgeRequest, Judgment, Stage
from bot.eval.mt_bench import data as official
from bot.eval.mt_bench import judge as judging
from bot.eval.mt_bench.data import Question
from bot.eval.mt_bench.score import score
from bot.messages import Completion


class MtBench(Benchmark[Question]):
    """80 conversations of two turns; each turn is graded by itself, the second with the first in sight.

    A judgment's score is the judge's grade, 1 to 10.
    """

    name = "mt_bench"
    whole = official.COUNT
    default_judge = "gpt-4"
    judge_temperature = judging.TEMPERATURE
    judge_max_tokens = judging.MAX_TOKENS
    answers_file = "data/mt_bench/model_answer/{model}.jsonl"
    judgments_file = "data/mt_bench/model_judgment/gpt-4_single.jsonl"

    def load(self, stages: Collection[Stage]) -> None:
        """Read the questions, and for the judge its prompts and the reference answers."""
        if set(stages) - {"score"}:
            official.questions(self.data)
        if "judge" in stages:
            official.references(self.data)
            official.prompts(self.data)

    def items(self, limit: int | None = None) -> list[Question]:
        """Return the questions."""
        return official.questions(self.data)[:limit]

    def answer_row(self, item: Question, answers: tuple[str, ...], model: str) -> Row:
        """Return a line of the answers file. Its id is a digest of what it says."""
        text = "\0".join((item.id, model, *answers)).encode("utf-8", "surrogatepass")
        return {
            "question_id": int(item.id),
            "answer_id": hashlib.sha256(text).hexdigest()[:22],
            "model_id": model,
            "choices": [{"index": 0, "turns": list(answers)}],
            "tstamp": time.time(),
        }

    def judge_requests(
        self,
        item: Question,
        answers: tuple[str, ...],
        model: str,
        *,
        by_text: bool = False,  # noqa: ARG002 - grades are always read from text
    ) -> list[JudgeRequest]:
        """Return one question a turn."""
        prompts, references = official.prompts(self.data), official.references(self.data)
        requests = []
        for turn in range(1, len(item.turns) + 1):
            messages = judging.messages(item, answers, turn, prompts, references)
            row = {
                "question_id": int(item.id),
                "model": model,
                "judge": [self.default_judge, judging.prompt_name(item.category, turn)],
                "user_prompt": messages[-1].content,
                "judgment": "",
                "score": -1,
                "turn": turn,
            }
            requests.append(
                JudgeRequest(
                    messages=messages,
                    temperature=judging.TEMPERATURE,
                    max_tokens=judging.MAX_TOKENS,
                    row=row,
                )
            )
        return requests

    def judgment(
        self,
        request: JudgeRequest,
        completion: Completion,
        judge: str,
        reversed_completion: Completion | None = None,  # noqa: ARG002 - there is one answer, and no order
    ) -> Judgment:
        """Read the grade; the official files say -1 where there is none."""
        grade = judging.read_score(completion.text)
        row = {
            **request.row,
            "judge": [judge, request.row["judge"][1]],
            "judgment": completion.text,
            "score": -1 if grade is None else grade,
            "tstamp": time.time(),
        }
        return Judgment(grade, row, "no score in double brackets" if grade is None else "")

    def jury_row(self, rows: Sequence[Row], jury: str) -> Row:
        """Return a row with the mean grade and without words."""
        kept = {key: rows[0][key] for key in ("question_id", "model", "turn", "user_prompt")}
        return {
            **kept,
            "judge": [jury, rows[0]["judge"][1]],
            "score": fmean(row["score"] for row in rows),
            "scores": [row["score"] for row in rows],
        }

    def verdict(self, score: float) -> int:
        """Return the grade without its fraction."""
        return round(score)

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the scores by model: see `score.score`."""
        return score(rows, expected, self.data.altered)
