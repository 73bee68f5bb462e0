"""Published models on AlpacaEval: their recorded answers, and GPT-4's judgments of them.

From the official repository: `results/MODEL/…/annotations.json` holds both. In a folder, a file
`annotations-MODEL.jsonl` for each model, and `recorded_answers.jsonl` with answers alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from bot.bulk.files import Row
from bot.eval.alpaca_eval.data import LEADERBOARD, QUESTIONS, REPOSITORY, questions
from bot.eval.alpaca_eval.score import preference_of
from bot.eval.official_data import OfficialData, OfficialFile, parse_rows
from bot.eval.recorded import RecordedModel

_FILE = re.compile(r"annotations-(.+)\.jsonl?(\.gz)?")


def annotations_file(model: str) -> OfficialFile:
    """Return the official file of the official judge's judgments of a model."""
    return OfficialFile(
        f"alpaca_eval.annotations.{model}",
        REPOSITORY,
        f"results/{model}/weighted_alpaca_eval_gpt4_turbo/annotations.json",
        others=(f"annotations-{model}.jsonl", f"annotations-{model}.json"),
    )


def recorded_models(data: OfficialData, models: Sequence[str]) -> list[RecordedModel]:
    """Return the models that are named; with none, all that there are. Raises DataError."""
    indexes = {each.instruction: each.id for each in questions(data)}
    judged = _in_folder(data.folder) if data.folder else list(LEADERBOARD)
    answered = dict(_with_answers_only(data, indexes))
    found = []
    for model in models or dict.fromkeys([*judged, *answered]):
        if model in judged or model not in answered:
            found.append(_judged(data, model, indexes))
        else:
            found.append(answered[model])
    return found


def _judged(data: OfficialData, model: str, indexes: dict[str, str]) -> RecordedModel:
    source = annotations_file(model)
    rows = {row["instruction"]: row for row in parse_rows(data.content(source), source.name)}
    known = {indexes[name]: row for name, row in rows.items() if name in indexes}
    scores = {
        (index, 0): value - 1 for index, row in known.items() if (value := preference_of(row)) is not None
    }
    published = LEADERBOARD[model][1] / 100 if model in LEADERBOARD else None
    if published is None and scores:
        published = fmean(scores.values())
    answers = {index: (str(row["output_2"]),) for index, row in known.items()}
    return RecordedModel(model, answers, scores, published)


def _with_answers_only(data: OfficialData, indexes: dict[str, str]) -> Iterator[tuple[str, RecordedModel]]:
    rows: list[Row] = [row for row in parse_rows(data.content(QUESTIONS), QUESTIONS.name) if "outputs" in row]
    for model in LEADERBOARD:
        answers = {
            indexes[row["instruction"]]: (str(row["outputs"][model]),)
            for row in rows
            if model in row["outputs"]
        }
        if answers:
            yield model, RecordedModel(model, answers, published=LEADERBOARD[model][1] / 100)


def _in_folder(folder: Path) -> list[str]:
    files = sorted([*folder.glob("annotations-*"), *folder.glob("alpaca_eval/annotations-*")])
    return [match[1] for file in files if (match := _FILE.fullmatch(file.name))]
