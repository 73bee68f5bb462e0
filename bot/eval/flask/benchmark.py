"""FLASK as a `Benchmark`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bot.eval.benchmark import Item, JudgeRequest, Judgment, Row, Stage, known_as
from bot.eval.flask import data as official
from bot.eval.flask import judge as judging
from bot.eval.flask.score import score
from bot.eval.official_data import Data
from bot.messages import Completion


class Flask:
    """1,740 instructions of one turn; the judge grades each answer for three skills in one review.

    A judgment's score is the mean of the grades that are not N/A, 1 to 5.
    """

    name = "flask"
    title = "FLASK"
    default_judge = "gpt-4"
    answers_file = "outputs.jsonl"
    judgments_file = "reviews.jsonl"

    def __init__(self, data: Data) -> None:
        self._data = data

    def prepare(self, stages: Collection[Stage]) -> Mapping[str, str]:
        """Read the items, and for the judge its prompt and the description of the skills."""
        official.instructions(self._data)
        if "judge" in stages:
            official.review_prompt(self._data)
            official.skills(self._data)
        return dict(self._data.hashes)

    def items(self, limit: int | None = None) -> list[Item]:
        """Return the instructions; an item's id is its `idx`."""
        return [
            Item(
                id=str(each.id),
                turns=(each.text,),
                meta={
                    "answer": each.answer,
                    "task": each.task,
                    "skill": list(each.skills),
                    "domain": list(each.domains),
                    "difficulty": each.difficulty,
                },
            )
            for each in official.instructions(self._data)[:limit]
        ]

    def answer_row(self, item: Item, answers: tuple[str, ...], model: str, at: float) -> Row:
        """Return a line of the outputs file."""
        del at  # the official file knows no times
        return {
            "question_id": int(item.id),
            "idx": int(item.id),
            "text": answers[0],
            "model_id": model,
        }

    def judge_requests(self, item: Item, answers: tuple[str, ...], model: str) -> list[JudgeRequest]:
        """Return the one question: a review of the answer."""
        instruction = official.Instruction(
            id=int(item.id),
            text=item.turns[0],
            answer=str(item.meta["answer"]),
            skills=tuple(item.meta["skill"]),
            domains=tuple(item.meta["domain"]),
            difficulty=item.meta["difficulty"],
        )
        prompt, skills = official.review_prompt(self._data), official.skills(self._data)
        return [
            JudgeRequest(
                key=item.id,
                item=item.id,
                messages=judging.messages(prompt, instruction, answers[0], skills),
                temperature=judging.TEMPERATURE,
                max_tokens=judging.MAX_TOKENS,
                meta={
                    "idx": int(item.id),
                    "instruction": item.turns[0],
                    **item.meta,
                    "difficulty": item.meta["difficulty"] or -1,
                    "target_txt": answers[0],
                    "model_id": model,
                },
            )
        ]

    def judgment(self, request: JudgeRequest, completion: Completion, judge: str, at: float) -> Judgment:
        """Read the grades; the official files say {} where there are none."""
        del at
        scores = judging.read_scores(completion.text)
        given = [value for value in (scores or {}).values() if value is not None]
        row = {
            **request.meta,
            "judge": known_as(judge, self.default_judge),
            "review": completion.text,
            "score": {key: "N/A" if value is None else value for key, value in (scores or {}).items()},
        }
        reason = "" if given else "no dictionary of scores" if scores is None else "no skill applies"
        return Judgment(
            key=request.key,
            item=request.item,
            score=sum(given) / len(given) if given else None,
            row=row,
            reason=reason,
        )

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the scores by skill, domain and difficulty: see `score.score`."""
        return score(rows, self._data, expected)
