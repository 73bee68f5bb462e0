"""Runs of AlpacaEval, MT-Bench and FLASK as arms of a comparison.

AlpacaEval   1 where the judge prefers the answer to the official one, 0 where it does not, or between
MT-Bench     the mean grade of both turns, 1 to 10, as 0 to 1
FLASK        the mean grade of the skills, 1 to 5, as 0 to 1
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from bot.bulk.answering import ItemAnswer
from bot.bulk.files import Row
from bot.bulk.run_folder import read_manifest
from bot.errors import UsageError
from bot.eval.arms import Arm, ArmKind, Outcome, Study
from bot.eval.judges import OLD_FOLDER, folders_of
from bot.eval.official_data import read_rows
from bot.eval.registry import BENCHMARKS
from bot.eval.stages import RESULTS

Judged = Iterator[tuple[str, float | None]]
"""Pairs of an item and a score from 0 to 1, None where the judge's words could not be read."""


def is_benchmark_run(folder: Path) -> bool:
    """Whether a folder is that of a run of one of the benchmarks, or of a variant of a sweep."""
    return (folder / RESULTS).is_file() and _manifest(folder).get("benchmark") in BENCHMARKS


def read_benchmark_run(folder: Path, judge: Path | None = None) -> Study:
    """Return a run of a benchmark as a study of one arm.

    The judges are those that judged last, or the one whose folder is named; with several a score is
    their mean. An item is AlpacaEval's instruction, or the other benchmarks' number of the question. Raises
    UsageError for a run without judgments, and for files that are none of a run.
    """
    manifest = _manifest(folder)
    benchmark = BENCHMARKS[manifest["benchmark"]]
    chosen = manifest.get("jury") or list(folders_of(manifest)) or [OLD_FOLDER]
    folders = [judge] if judge else [folder / each for each in chosen]
    scores: dict[str, list[float]] = defaultdict(list)
    judges: list[str] = []
    try:
        for judged in folders:
            file = judged / benchmark.judgments_file
            rows = read_rows(file) if file.exists() else []
            for item, found in _by_item(_READERS[benchmark.name](rows)).items():
                scores[item].append(found)
            judges += filter(None, map(_judge, rows))
        answers = [ItemAnswer.from_row(row) for row in read_rows(folder / RESULTS)]
        names = _items(folder, benchmark.name, answers)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{folder}: its judgments or answers cannot be read: {error!r}") from error
    if not scores:
        raise UsageError(
            f"{folder}: there are no judgments.",
            hint=f"They are made by: moa-bot eval {benchmark.name} judge --out {folder}",
        )
    outcomes = tuple(_outcome(answer, names.get(answer.id, answer.id), scores) for answer in answers)
    own = read_manifest(folder)
    members, model, kind = _mixture(own)
    arm = Arm(str(own.get("name") or folder.resolve().name), kind, outcomes, model, members)
    date = str(manifest.get("written", ""))[:10]
    return Study((arm,), benchmark.name, ", ".join(dict.fromkeys(judges)), date)


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run; a variant of a sweep has that of the sweep."""
    return read_manifest(folder) or read_manifest(folder.parent)


def _outcome(answer: ItemAnswer, item: str, scores: Mapping[str, list[float]]) -> Outcome:
    found = scores.get(item)
    return Outcome(
        item=item,
        score=fmean(found) if found and not answer.failed else None,
        reply=answer.turns[-1] if answer.turns else "",
        calls=answer.calls,
        tokens=answer.prompt_tokens + answer.completion_tokens,
        dollars=answer.cost,
        seconds=answer.seconds,
        error=answer.failure or ("" if found else "it has no judgment that could be read"),
    )


def _items(folder: Path, benchmark: str, answers: list[ItemAnswer]) -> dict[str, str]:
    """Return the items by the ids of the answers: AlpacaEval's judgments have the instruction only.

    The answers file has the answered items in the order of the results.
    """
    if benchmark != "alpaca_eval":
        return {}
    rows = read_rows(folder / BENCHMARKS[benchmark].answers_file)
    answered = [answer.id for answer in answers if not answer.failed]
    return {key: str(row["instruction"]) for key, row in zip(answered, rows, strict=True)}


def _by_item(judged: Judged) -> dict[str, float]:
    """Return the mean score of the items; one of which a judgment could not be read has none."""
    found: dict[str, list[float | None]] = defaultdict(list)
    for item, score in judged:
        found[item].append(score)
    return {
        item: fmean(score for score in scores if score is not None)
        for item, scores in found.items()
        if None not in scores
    }


def _alpaca_eval(rows: list[Row]) -> Judged:
    for row in rows:
        preference = row["preference"]
        yield row["instruction"], _scaled(1.5 if preference == 0 else preference, 1, 2)


def _mt_bench(rows: list[Row]) -> Judged:
    for row in rows:
        yield str(row["question_id"]), _scaled(row["score"], 1, 10)


def _flask(rows: list[Row]) -> Judged:
    for row in rows:
        grades = [grade for grade in row["score"].values() if isinstance(grade, int | float)]
        yield str(row.get("idx", row.get("question_id"))), _scaled(fmean(grades), 1, 5) if grades else None


_READERS: Mapping[str, Callable[[list[Row]], Judged]] = {
    "alpaca_eval": _alpaca_eval,
    "mt_bench": _mt_bench,
    "flask": _flask,
}


def _scaled(value: object, lowest: float, highest: float) -> float | None:
    """Return a grade as 0 to 1, None for one outside its scale."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        return None
    return (value - lowest) / (highest - lowest)


def _judge(row: Row) -> str:
    judge = row.get("judge", row.get("annotator"))
    return str(judge[0] if isinstance(judge, list) and judge else judge or "")


def _mixture(manifest: Mapping[str, Any]) -> tuple[tuple[str, ...], str, ArmKind]:
    """Return the members, the model that writes, and the kind of arm that a run's manifest describes."""
    mixture = manifest.get("mixture") or {}
    layers = mixture.get("layers") or [[]]
    members = tuple(str(agent["model"]) for agent in layers[0])
    model = str((mixture.get("aggregator") or {}).get("model", ""))
    return members, model, "mixture" if members or not mixture else "alone"
