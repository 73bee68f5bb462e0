"""AlpacaEval 2.0 as a `Benchmark`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import fmean
from typing import Any

from bot.bulk.files import Row
from bot.errors import needs_extra
from bot.eval.alpaca_eval import data as official
from bot.eval.alpaca_eval import judge as judging
from bot.eval.alpaca_eval.data import Question
from bot.eval.alpaca_eval.score import OFFICIAL_ANNOTATOR, score
from bot.eval.benchmark import Benchmark, JudgeRequest, Judgment, Stage
from bot.messages import Completion

DRAW = 0.5
"""The score of an answer that is as good as the baseline's."""


class AlpacaEval(Benchmark[Question]):
    """805 instructions of one turn; the judge compares each answer with the baseline's.

    A judgment's score is its preference - 1: 0 when the baseline is better, 1 when the answer is.
    """

    name = "alpaca_eval"
    whole = official.COUNT
    default_judge = "gpt-4-1106-preview"
    judge_temperature = judging.TEMPERATURE
    judge_max_tokens = judging.MAX_TOKENS
    reads_logprobs = True
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

    def judge_requests(
        self, item: Question, answers: tuple[str, ...], model: str, *, by_text: bool = False
    ) -> list[JudgeRequest]:
        """Return the one question: which of the two answers is better."""
        template, texts = self.data.text(official.PROMPT), (item.instruction, item.baseline, answers[0])
        reversed_messages = judging.messages(template, *texts, reverse=True) if by_text else ()
        return [
            JudgeRequest(
                messages=judging.messages(template, *texts),
                temperature=judging.TEXT_TEMPERATURE if by_text else judging.TEMPERATURE,
                max_tokens=judging.TEXT_MAX_TOKENS if by_text else judging.MAX_TOKENS,
                top_logprobs=0 if by_text else judging.TOP_LOGPROBS,
                reversed_messages=reversed_messages,
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

    def judgment(
        self,
        request: JudgeRequest,
        completion: Completion,
        judge: str,
        reversed_completion: Completion | None = None,
    ) -> Judgment:
        """Read the preference from the first token's log probabilities, or from the words in both orders."""
        is_swapped = judging.swapped(request.row["instruction"])
        # Only the official judge's rows carry the official name, so that no other passes for it.
        annotator = OFFICIAL_ANNOTATOR if judge == self.default_judge else judge
        if reversed_completion is not None:
            words = [completion.text, reversed_completion.text]
            preference = judging.preference_of_words(*words, is_swapped=is_swapped)
            row = {**request.row, "annotator": annotator, "preference": preference, "raw_completion": words}
            if preference is None:
                return Judgment(None, row, "the judge named neither answer")
            return Judgment(preference - 1, row)
        top = completion.top_logprobs
        preference = judging.preference(top, is_swapped=is_swapped)
        row = {
            **request.row,
            "annotator": annotator,
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

    def jury_row(self, rows: Sequence[Row], jury: str) -> Row:
        """Return a row with the mean preference."""
        kept = {key: value for key, value in rows[0].items() if key != "raw_completion"}
        return {**kept, "annotator": jury, "preference": fmean(row["preference"] for row in rows)}

    def verdict(self, score: float) -> int:
        """Return 1 for the answer, -1 for the baseline, 0 for neither."""
        return (score > DRAW) - (score < DRAW)

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the win rates: see `score.score`."""
        return score(rows, self.data, expected)
