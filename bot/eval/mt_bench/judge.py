"""The questions to MT-Bench's judge (single-answer grading), and the score in its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.eval.benchmark import fill
from bot.eval.mt_bench.data import PROMPTS, REFERENCES, WITH_REFERENCE, Prompt, Question
from bot.eval.official_data import DataError
from bot.messages import Message

TEMPERATURE = 0.0
MAX_TOKENS = 2048
LOWEST, HIGHEST = 1, 10
"""The scale that the judge is asked to grade on."""

_DOUBLE = re.compile(r"\[\[(\d+\.?\d*)\]\]")
_SINGLE = re.compile(r"\[(\d+\.?\d*)\]")


def prompt_name(category: str, turn: int) -> str:
    """Return the judge prompt's name for a turn, 1 or 2, of a question of that category."""
    kind = "single-math-v1" if category in WITH_REFERENCE else "single-v1"
    return kind if turn == 1 else f"{kind}-multi-turn"


def messages(
    question: Question,
    answers: Sequence[str],
    turn: int,
    prompts: Mapping[str, Prompt],
    references: Mapping[int, Sequence[str]],
) -> tuple[Message, ...]:
    """Return the judge's messages about one turn; the second shows both turns. Raises DataError."""
    name = prompt_name(question.category, turn)
    if name not in prompts:
        raise DataError(f"{PROMPTS.name}: no prompt is called {name}")
    values = {"question": question.turns[0], "answer": answers[0]}
    for number in range(turn):
        values[f"question_{number + 1}"] = question.turns[number]
        values[f"answer_{number + 1}"] = answers[number]
    if question.category in WITH_REFERENCE:
        known = references.get(int(question.id), ())
        if len(known) < turn:
            raise DataError(f"{REFERENCES.name}: no reference answer to question {question.id}")
        for number in range(turn):
            values[f"ref_answer_{number + 1}"] = known[number]
    prompt = prompts[name]
    return (Message("system", prompt.system), Message("user", fill(prompt.template, values)))


def read_score(judgment: str) -> int | float | None:
    """Return the score in the judge's words, None when there is none from 1 to 10."""
    match = _DOUBLE.search(judgment) or _SINGLE.search(judgment)
    value = None if match is None else on_scale(float(match[1]))
    return int(value) if value is not None and value.is_integer() else value


def on_scale(value: object) -> float | None:
    """Return a number from 1 to 10, None for everything else (the official tool writes -1 for no score)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if LOWEST <= value <= HIGHEST else None
