"""AlpacaEval 2.0 as a `Benchmark`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bot.eval.alpaca_eval import data as official
from bot.eval.alpaca_eval import judge
from bot.eval.alpaca_eval.score import OFFICIAL_ANNOTATOR, score
from bot.eval.benchmark import Item, JudgeRequest, Judgment, Row, Stage, known_as
from bot.eval.extras import require
from bot.eval.official_data import Data
from bot.messages import Completion


class AlpacaEval:
    """805 instructions of one turn; the judge compares each answer with the baseline's.

    A judgment's score is its preference - 1: 0 when the baseline is better, 1 when the answer is.
    """

    name = "alpaca_eval"
    title = "AlpacaEval 2.0"
    default_judge = "gpt-4-1106-preview"
    answers_file = "model_outputs.json"
    judgments_file = "annotations.json"

    def __init__(self, data: Data) -> None:
        self._data = data

    def prepare(self, stages: Collection[Stage]) -> Mapping[str, str]:
        """Read the instructions, for the judge its prompt, for the scores the inputs of the fit."""
        official.questions(self._data)
        if "judge" in stages:
            judge.messages(self._data.text(official.PROMPT), "", "", "")
        if "score" in stages:
            require("sklearn", "eval")
            official.difficulties(self._data)
            official.gamed(self._data)
        return dict(self._data.hashes)

    def items(self, limit: int | None = None) -> list[Item]:
        """Return the instructions; an item's id is its index in the official set."""
        return [
            Item(
                id=str(each.index),
                turns=(each.instruction,),
                meta={"dataset": each.dataset, "baseline": each.baseline},
            )
            for each in official.questions(self._data)[:limit]
        ]

    def answer_row(self, item: Item, answers: tuple[str, ...], model: str, at: float) -> Row:
        """Return an element of `model_outputs.json`."""
        del at  # the official file knows no times
        return {
            "instruction": item.turns[0],
            "dataset": item.meta["dataset"],
            "output": answers[0],
            "generator": model,
        }

    def judge_requests(self, item: Item, answers: tuple[str, ...], model: str) -> list[JudgeRequest]:
        """Return the one question: which of the two answers is better."""
        instruction, baseline = item.turns[0], str(item.meta["baseline"])
        template = self._data.text(official.PROMPT)
        return [
            JudgeRequest(
                key=item.id,
                item=item.id,
                messages=judge.messages(template, instruction, baseline, answers[0]),
                temperature=judge.TEMPERATURE,
                max_tokens=judge.MAX_TOKENS,
                top_logprobs=judge.TOP_LOGPROBS,
                meta={
                    "instruction": instruction,
                    "output_1": baseline,
                    "generator_1": official.BASELINE,
                    "dataset": item.meta["dataset"],
                    "output_2": answers[0],
                    "generator_2": model,
                },
            )
        ]

    def judgment(self, request: JudgeRequest, completion: Completion, judge: str, at: float) -> Judgment:
        """Read the preference from the first token's log probabilities."""
        del at
        preference = _preference(request, completion)
        reason = ""
        if preference is None:
            reason = (
                "the judge named neither answer"
                if completion.top_logprobs
                else "the judge's service sent no log probabilities"
            )
        row = {
            **request.meta,
            # Only the official judge's rows carry the official name, so that no other passes for it.
            "annotator": OFFICIAL_ANNOTATOR
            if known_as(judge, self.default_judge) == self.default_judge
            else judge,
            "preference": preference,
            "raw_completion": _raw(completion),
        }
        return Judgment(
            key=request.key,
            item=request.item,
            score=None if preference is None else preference - 1,
            row=row,
            reason=reason,
        )

    def score(self, rows: Iterable[Row], expected: int | None = None) -> dict[str, Any]:
        """Return the win rates: see `score.score`."""
        return score(rows, self._data, expected)


def _preference(request: JudgeRequest, completion: Completion) -> float | None:
    return judge.preference(
        completion.top_logprobs, is_swapped=judge.swapped(str(request.meta["instruction"]))
    )


def _raw(completion: Completion) -> Row:
    """Return the completion in the form in which OpenAI's services send it."""
    top = [{"token": token, "logprob": logprob} for token, logprob in completion.top_logprobs]
    return {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "logprobs": {"content": [{"token": completion.text, "top_logprobs": top}]},
    }
