"""Runs of several kinds as the arms of one study, for `moa-bot eval compare`.

an arm's folder (outcomes.jsonl), or a folder of such folders     eval own
a folder with results.jsonl and judgments                         eval alpaca_eval, mt_bench, flask
a log (.eval, .json), or a folder of logs                         inspect_ai
samples_TASK_DATE.jsonl, or a folder of such files                lm-eval
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot.errors import UsageError
from bot.eval.arms import OUTCOMES, Arm, Study, read_arm, read_arms
from bot.eval.benchmark_arms import is_benchmark_run, read_benchmark_run
from bot.eval.inspect_logs import read_inspect_log
from bot.eval.lm_eval_samples import read_lm_eval_samples
from bot.eval.stages import RESULTS
from bot.text.sanitise import one_line

_LOG = ".eval"
_SAMPLES = "samples_*.jsonl"


def read_runs(paths: Sequence[Path]) -> Study:
    """Return all arms in these files and folders, each with a name of its own.

    The date is that of the newest file where the runs do not say one. Raises UsageError for what cannot
    be read, and for a path with nothing to compare.
    """
    found = [(path, study) for path in paths for study in _studies(path)]
    counts = Counter(study.arms[0].name for _, study in found)
    names: Counter[str] = Counter()
    arms = []
    for path, study in found:
        for arm in study.arms:
            name = arm.name if counts[arm.name] == 1 else f"{arm.name} ({path.resolve().name})"
            names[name] += 1
            arms.append(replace(arm, name=name if names[name] == 1 else f"{name} #{names[name]}"))

    scorers = list(dict.fromkeys(study.scorer for _, study in found if study.scorer))
    if len(scorers) > 1:
        raise UsageError(
            f"These runs have several scorers: {', '.join(scorers)}.",
            hint="Name the folder of one scorer in each run, such as RUN/exact.",
        )

    def said(field: str) -> str:
        return ", ".join(dict.fromkeys(filter(None, (getattr(study, field) for _, study in found))))

    newest = max(path.stat().st_mtime for path in paths)
    date = said("date") or datetime.fromtimestamp(newest, UTC).date().isoformat()
    source = said("source") or ", ".join(one_line(path.name) for path in paths)
    return Study(tuple(arms), scorer=said("scorer"), judge=said("judge"), date=date, source=source)


def _studies(path: Path) -> Iterator[Study]:
    """Yield a study of one arm for each run in a file or folder."""
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder.")
    if path.is_file():
        yield _of_file(path)
        return
    folders = [file.parent for file in sorted(path.rglob(OUTCOMES))]
    benchmarks = [file.parent for file in sorted(path.rglob(RESULTS)) if is_benchmark_run(file.parent)]
    logs = sorted(path.rglob(f"*{_LOG}"))
    samples = _by_model(sorted(path.rglob(_SAMPLES)))
    # The folder of a judge lies in that of its run.
    if run := next((each for each in path.resolve().parents[:2] if is_benchmark_run(each)), None):
        yield read_benchmark_run(run, path.resolve())
        return
    if not (folders or benchmarks or logs or samples):
        raise UsageError(
            f"{path}: there is nothing in it that can be compared.",
            hint="Runs of eval own, alpaca_eval, mt_bench and flask, logs of inspect_ai (.eval), samples of "
            "lm-eval (--log_samples).",
        )
    yield from read_arms(folders)
    yield from map(read_benchmark_run, benchmarks)
    yield from (Study((read_inspect_log(log),), "") for log in logs)
    yield from samples


def _of_file(path: Path) -> Study:
    if path.name == OUTCOMES:
        return read_arm(path.parent)
    if path.name == RESULTS:
        return read_benchmark_run(path.parent)
    if path.suffix in {_LOG, ".json"}:
        return Study((read_inspect_log(path),), "")
    return Study((_samples(path),), "")


def _by_model(files: Sequence[Path]) -> list[Study]:
    """Return an arm for each model in files of lm-eval's samples: all its tasks together."""
    merged: list[Arm] = []
    for arm in map(_samples, files):
        items = {outcome.item for outcome in arm.outcomes}
        for place, earlier in enumerate(merged):
            if earlier.name == arm.name and items.isdisjoint(outcome.item for outcome in earlier.outcomes):
                merged[place] = replace(earlier, outcomes=earlier.outcomes + arm.outcomes)
                break
        else:
            merged.append(arm)
    return [Study((arm,), "") for arm in merged]


def _samples(path: Path) -> Arm:
    """Return a file of lm-eval's samples, its items with the task before their number.

    The numbers alone are those of other items in other tasks.
    """
    arm = read_lm_eval_samples(path)
    task = path.stem.removeprefix("samples_").rpartition("_")[0] or path.stem
    outcomes = (replace(each, item=f"{task} {each.item}") for each in arm.outcomes)
    return replace(arm, outcomes=tuple(outcomes))
