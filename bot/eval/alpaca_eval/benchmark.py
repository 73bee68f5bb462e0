"""AlpacaEval 2.0 as a `Benchmark`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from bot.bulk.files import Row
from bot.errors import needs_extra
from bot.eval.alpaca_eval import data as official
from bot.eval.alpaca_eval import judge as judging
from bot.eval.alpaca_eval.data import Question
from bot.eval.alpaca_eval.score import OFFICIAL_ANNOTATOR, score
from bot.eval.benchmark import Benchmark, JudgeRequest, Judgment, Stage
from bot.messages import Completion


class AlpacaEval(Benchmark[Question]):
    """805 instructions of one turn; the judge compares each answer with the baseline's.

    A judgment's score is its preference - 1: 0 when the baseline is better, 1 when the answer is.
    """

    name = "alpaca_eval"
    whole = official.COUNT
    default_judge = "gpt-4-1106-preview"
    answers_file = "model_outputs.json"
    judgments_file = "annotations.json"

    def load(self, stages: Collection[Stage]) -> None:
        """Read the instructions, for the judge its prompt, for the scores the inputs of the fit."""
        official.questions(self.data)
        if "judge" in stages:
            judging.messages(self.data.text(official.PROMPT), "", "", "")
        if "score" in stages:
            with needs_extra("eval"):
                import sklearn  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - an extra
            official.difficulties(self.data)
            official.gamed(self.data)

    def items(self, limit: int | None = None) -> list[Question]:
        """Return the instructions."""
        return official.questions(self.data)[:limit]

    def answer_row(self, item: Question, answers: tuple[str, ...], model: str) -> Row:
        """Return an element of `model_outputs.json`."""
        return {
            "instruction": item.instruction,
            "dataset": item.dataset,
            "output": answers[0],
            "generator": model,
        }

    def judge_requests(self, item: Question, answers: tuple[str, ...], model: str) -> list[JudgeRequest]:
        """Return the one question: which of the two answers is better."""
        template = self.data.text(official.PROMPT)
        return [
            JudgeRequest(
                messages=judging.messages(template, item.instruction, item.baseline, answers[0]),
                temperature=judging.TEMPERATURE,
                max_tokens=judging.MAX_TOKENS,
                top_logprobs=judging.TOP_LOGPROBS,
                row={
                    "instruction": item.instruction,
                    "output_1": item.baseline,
                    "generator_1": official.BASELINE,
                    "dataset": item.dataset,
                    "output_2": answers[0],
                    "generator_2": model,
                },
            )
        ]

    def judgment(self, request: JudgeRequest, completion: Completion, judge: str) -> Judgment:
        """Read the preference from the first token's log probabilities."""
        top = completion.top_logprobs
        preference = judging.preference(top, is_swapped=judging.swapped(request.row["instruction"]))
        # Only the official judge's rows carry the official name, so that no other passes for it.
        name = self.judge_name(judge)
        row = {
            **request.row,
            "annotator": OFFICIAL_ANNOTATOR if name == self.default_judge else name,
            "preference": preference,
            # In the form in which OpenAI's services send it.
            "raw_completion": {
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "logprobs": {
                    "content": [
                        {
                            "token": completion.text,
                            "top_logprobs": [{"token": token, "logprob": value} for token, value in top],
                        }
                    ]
                },
            },
        }
        if preference is not None:
            return Judgment(preference - 1, row)
        none = "the judge's service sent no log probabilities"
        return Judgment(None, row, "the judge named neither answer" if top else none)

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the win rates: see `score.score`."""
        return score(rows, self.data, expected)
