"""FLASK as a `Benchmark`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import fmean
from typing import Any

from bot.bulk.files import Row
from bot.eval.benchmark import Benchmark, JudgeRequest, Judgment, Stage
from bot.eval.flask import data as official
from bot.eval.flask import judge as judging
from bot.eval.flask.data import Instruction
from bot.eval.flask.score import score
from bot.messages import Completion


class Flask(Benchmark[Instruction]):
    """1,740 instructions of one turn; the judge grades each answer for three skills in one review.

    A judgment's score is the mean of the grades that are not N/A, 1 to 5.
    """

    name = "flask"
    whole = official.COUNT
    default_judge = "gpt-4"
    judge_temperature = judging.TEMPERATURE
    judge_max_tokens = judging.MAX_TOKENS
    answers_file = "outputs.jsonl"
    judgments_file = "reviews.jsonl"

    def load(self, stages: Collection[Stage]) -> None:
        """Read the items, and for the judge its prompt and the description of the skills."""
        official.instructions(self.data)
        if "judge" in stages:
            official.review_prompt(self.data)
            official.skills(self.data)

    def items(self, limit: int | None = None) -> list[Instruction]:
        """Return the instructions."""
        return official.instructions(self.data)[:limit]

    def answer_row(self, item: Instruction, answers: tuple[str, ...], model: str) -> Row:
        """Return a line of the outputs file."""
        return {
            "question_id": int(item.id),
            "idx": int(item.id),
            "text": answers[0],
            "model_id": model,
        }

    def judge_requests(
        self,
        item: Instruction,
        answers: tuple[str, ...],
        model: str,
        *,
        by_text: bool = False,  # noqa: ARG002 - grades are always read from text
    ) -> list[JudgeRequest]:
        """Return the one question: a review of the answer."""
        prompt, skills = official.review_prompt(self.data), official.skills(self.data)
        return [
            JudgeRequest(
                messages=judging.messages(prompt, item, answers[0], skills),
                temperature=judging.TEMPERATURE,
                max_tokens=judging.MAX_TOKENS,
                row={
                    "idx": int(item.id),
                    "instruction": item.turns[0],
                    "answer": item.answer,
                    "task": item.task,
                    "skill": list(item.skills),
                    "domain": list(item.domains),
                    "difficulty": item.difficulty or -1,
                    "target_txt": answers[0],
                    "model_id": model,
                },
            )
        ]

    def judgment(
        self,
        request: JudgeRequest,
        completion: Completion,
        judge: str,
        reversed_completion: Completion | None = None,  # noqa: ARG002 - there is one answer, and no order
    ) -> Judgment:
        """Read the grades; the official files say {} where there are none."""
        scores = judging.read_scores(completion.text)
        if scores is not None:
            scores = judging.asked_scores(scores, request.row["skill"])
        row = {
            **request.row,
            "judge": judge,
            "review": completion.text,
            "score": {key: "N/A" if value is None else value for key, value in (scores or {}).items()},
        }
        given = [value for value in (scores or {}).values() if value is not None]
        if given:
            return Judgment(sum(given) / len(given), row)
        return Judgment(None, row, "no dictionary of scores" if scores is None else "no skill applies")

    def jury_row(self, rows: Sequence[Row], jury: str) -> Row:
        """Return a row with each skill's mean grade, of those judges that gave one, and no review."""
        kept = {key: value for key, value in rows[0].items() if key not in {"review", "score", "judge"}}
        grades: dict[str, list[float]] = {}
        for row in rows:
            for skill, grade in row["score"].items():
                grades.setdefault(skill, []).extend([] if grade == "N/A" else [grade])
        means = {skill: fmean(given) if given else "N/A" for skill, given in grades.items()}
        return {**kept, "judge": jury, "score": means}

    def verdict(self, score: float) -> int:
        """Return the mean grade without its fraction."""
        return round(score)

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the scores by skill, domain and difficulty: see `score.score`."""
        return score(rows, self.data, expected)
