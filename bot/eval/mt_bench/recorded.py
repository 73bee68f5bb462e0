"""Published models on MT-Bench: GPT-4's recorded judgments, and the answers that these show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from bot.bulk.files import Row
from bot.eval.benchmark import latest_rows
from bot.eval.mt_bench import judge as judging
from bot.eval.mt_bench.data import Prompt, Question, prompts, questions, references
from bot.eval.mt_bench.score import place_of, score_of
from bot.eval.official_data import DataError, OfficialData, OfficialFile, parse_rows
from bot.eval.recorded import RecordedModel

JUDGMENTS = OfficialFile(
    "mt_bench.judgments",
    "https://huggingface.co/spaces/lmsys/mt-bench/resolve/main/",
    "data/mt_bench/model_judgment/gpt-4_single.jsonl",
    others=("judgments.jsonl",),
)
_ANSWER = "\0answer\0"
_TURNS = 2


def recorded_models(data: OfficialData, models: Sequence[str]) -> list[RecordedModel]:
    """Return the models that are named; with none, all in the file of judgments. Raises DataError."""
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in parse_rows(data.content(JUDGMENTS), JUDGMENTS.name):
        by_model[str(row.get("model"))].append(row)
    if missing := [model for model in models if model not in by_model]:
        raise DataError(f"{JUDGMENTS.name}: no judgments of {', '.join(missing)}")
    known = {int(each.id): each for each in questions(data)}
    forms, answers = prompts(data), references(data)
    return [_model(model, by_model[model], known, forms, answers) for model in models or by_model]


def _model(
    model: str,
    rows: Sequence[Row],
    known: Mapping[int, Question],
    forms: Mapping[str, Prompt],
    references_: Mapping[int, Sequence[str]],
) -> RecordedModel:
    latest, _ = latest_rows(rows, place_of, "MT-Bench judgment", "turn")
    answers: dict[str, tuple[str, ...]] = {}
    for number, question in known.items():
        told: list[str] = []
        for turn in range(1, _TURNS + 1):
            if row := latest.get((number, turn)):
                told.append(_answer(question, told, str(row.get("user_prompt")), forms, references_))
        if len(told) == _TURNS:
            answers[question.id] = tuple(told)
    scores = {
        (str(number), turn - 1): value
        for (number, turn), row in latest.items()
        if str(number) in answers and (value := score_of(row)) is not None
    }
    return RecordedModel(model, answers, scores, fmean(scores.values()) if scores else None)


def _answer(
    question: Question,
    before: Sequence[str],
    prompt: str,
    forms: Mapping[str, Prompt],
    references_: Mapping[int, Sequence[str]],
) -> str:
    """Return the answer that the judge's prompt shows, after the answers to the turns `before`."""
    turn = len(before) + 1
    shown = judging.messages(question, (*before, _ANSWER), turn, forms, references_)[-1].content
    start, _, end = shown.partition(_ANSWER)
    if not (prompt.startswith(start) and prompt.endswith(end) and len(prompt) >= len(start) + len(end)):
        raise DataError(
            f"{JUDGMENTS.name}: question {question.id}, turn {turn}: not the official judge prompt"
        )
    return prompt[len(start) : len(prompt) - len(end)]
