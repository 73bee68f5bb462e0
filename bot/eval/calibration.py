"""How far a judge can stand in for the official one: `eval calibrate`.

The judge judges recorded answers of published models, which gives three things: how far it agrees with
the official judge's recorded judgments, whether it brings the models into the published order, and the
published models' figures by this judge, beside which those of one's own mixture can be put.

    OUT/BENCH/MODEL/                a run's folder, with the model's recorded answers
    OUT/BENCH/MODEL/judges/JUDGE/   its judgments and figures; `eval report OUT …` shows them
    OUT/BENCH/judges/JUDGE/         the journal, and calibration.json
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.app.make_plan import make_plan
from bot.bulk import run_folder
from bot.bulk.answering import ItemAnswer
from bot.bulk.files import write_json, write_rows
from bot.bulk.runner import RunResult
from bot.errors import ExitCode, UsageError
from bot.eval.agreement import compare, require_libraries, tau
from bot.eval.alpaca_eval.recorded import recorded_models as alpaca_models
from bot.eval.dry_run import dry_run
from bot.eval.eval_context import EvalContext, EvalOptions, Variant, open_evaluation
from bot.eval.evaluation import finish
from bot.eval.judging import JudgeRun
from bot.eval.mt_bench.recorded import recorded_models as mt_bench_models
from bot.eval.official_data import MissingDataError, OfficialData
from bot.eval.recorded import RecordedModel
from bot.eval.registry import open_benchmark
from bot.eval.report import align, number
from bot.eval.stages import RESULTS

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.eval.judges import Judge
    from bot.settings.settings import Settings

OUT = Path("evaluations") / "calibration"
CALIBRATION = "calibration.json"

Calibration = dict[str, Any]
"""How a judge compares with the official one: see `_compared`."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a benchmark's recorded models are from; `unit` times the mean of scores is its figure."""

    models: Callable[[OfficialData, Sequence[str]], list[RecordedModel]]
    figure: str
    unit: float = 1.0


SOURCES = {
    "alpaca_eval": _Source(alpaca_models, "raw win rate, %", 100.0),
    "mt_bench": _Source(mt_bench_models, "score, 1-10"),
}
"""The benchmarks of which judgments of the official judge are recorded."""


async def calibrate(
    settings: Settings, streams: Streams, options: EvalOptions, models: Sequence[str]
) -> ExitCode:
    """Calibrate the judges on a benchmark, or on all that there is data for where none is named ("").

    Prints how each compares with the official judge. Raises UsageError for a benchmark without records.
    """
    if options.benchmark and options.benchmark not in SOURCES:
        raise UsageError(
            f"No judgments of {options.benchmark!r} are recorded.", hint=f"There are {', '.join(SOURCES)}."
        )
    if not options.judges:
        raise UsageError("Which judge?", hint="Name one or several with --judge.")
    require_libraries()
    names = [options.benchmark] if options.benchmark else list(SOURCES)
    found: list[Calibration] = []
    codes: list[ExitCode] = []
    for place, name in enumerate(names, start=1):
        own = replace(options, benchmark=name, out=(options.out or OUT) / name, name="calibration")
        try:
            codes.append(await _calibrate(settings, streams, own, models, found))
        except MissingDataError as error:
            if place == len(names) and not codes:
                raise
            streams.say(f"moa-bot: {name} is left out: {error.message}\n  {error.hint}")
        if codes and codes[-1] is ExitCode.INTERRUPTED:
            break
    if found:
        text = json.dumps(found, indent=2) if settings.json else "\n\n".join(map(_text, found))
        print(text, file=streams.stdout)
    return max(codes)


async def _calibrate(
    settings: Settings,
    streams: Streams,
    options: EvalOptions,
    models: Sequence[str],
    found: list[Calibration],
) -> ExitCode:
    """Calibrate the judges on one benchmark; adds to `found` how each compares."""
    source = SOURCES[options.benchmark]
    if options.dry_run:
        benchmark = open_benchmark(options.benchmark, options.data_dir, accept_altered=options.accept_altered)
        recorded = source.models(benchmark.data, models)
        return dry_run(settings, streams, options, ("judge", "score"), [make_plan(settings)] * len(recorded))
    async with open_evaluation(settings, streams, options, ("judge", "score")) as context:
        recorded = source.models(context.benchmark.data, models)
        _record(context)
        result, missing, expected = RunResult(), 0, 0
        runs: dict[Judge, list[tuple[RecordedModel, JudgeRun]]] = {judge: [] for judge in context.judging}
        for model in recorded:
            folder = context.out / re.sub(r"[^\w.+-]+", "-", model.name)
            variant = Variant(model.name, make_plan(context.settings), folder)
            answers = _write_answers(context, variant, model)
            for judge in context.judging:
                run = JudgeRun(context, variant, answers, judge)
                if result.complete:
                    result = await run.judge_all()
                    summary = run.write()
                    missing += summary["n_expected"] - summary["n"]
                    expected += summary["n_expected"]
                runs[judge].append((model, run))
        for judge, judged in runs.items():
            compared = _compared(context, judge, judged)
            write_json(context.out / judge.folder / CALIBRATION, compared)
            found.append(compared)
        return finish(context, result, missing, expected)


def _record(context: EvalContext) -> None:
    """Write the manifest. Raises UsageError for the folder of a mixture's run."""
    kept = run_folder.read_manifest(context.out)
    if "mixture" in kept:
        raise UsageError(f"{context.out} holds a run of a mixture.", hint="Give another --out.")
    context.manifest.update({**kept, **context.manifest, "benchmark": context.benchmark.name})
    run_folder.write_manifest(context.out, context.manifest)


def _write_answers(context: EvalContext, variant: Variant, model: RecordedModel) -> dict[str, ItemAnswer]:
    """Write a model's recorded answers like those of a run; returns them by item."""
    benchmark = context.benchmark
    items = [item for item in benchmark.items() if item.id in model.answers]
    answers = {item.id: ItemAnswer(item.id, model.answers[item.id], cost=None, tflops=None) for item in items}
    write_rows(variant.folder / RESULTS, map(asdict, answers.values()))
    rows = [benchmark.answer_row(item, model.answers[item.id], model.name) for item in items]
    write_rows(variant.folder / benchmark.answers_path(model.name), rows)
    return answers


def _compared(
    context: EvalContext, judge: Judge, judged: Sequence[tuple[RecordedModel, JudgeRun]]
) -> Calibration:
    """Return how a judge compares with the official one.

    `n`, `same`, `kappa`, `tau` and `difference` are of all judgments that both have made (see
    `agreement.compare`), in `models` of those of each model, with its published figure (`official`), that
    by this judge (`judge`) of the items judged, and the official one of the same items. `order_tau` is
    Kendall's tau of the figures of `order_models` models.
    """
    source, verdict = SOURCES[context.benchmark.name], context.benchmark.verdict
    models: list[dict[str, Any]] = []
    own: list[float] = []
    official: list[float] = []
    for model, run in judged:
        scores = run.scores()
        both = [key for key in scores if key in model.scores]
        mine, theirs = [scores[key] for key in both], [model.scores[key] for key in both]
        own, official = own + mine, official + theirs
        models.append(
            {
                "name": model.name,
                "official": _figure(source, [model.published] if model.published is not None else []),
                "official_same_items": _figure(source, theirs),
                "judge": _figure(source, list(scores.values())),
                "judged": len(scores),
                **compare(mine, theirs, verdict),
            }
        )
    pairs = [
        (each["official"], each["judge"]) for each in models if None not in {each["official"], each["judge"]}
    ]
    return {
        "benchmark": context.benchmark.name,
        "judge": judge.name,
        "official_judge": context.benchmark.default_judge,
        **compare(own, official, verdict),
        "order_models": len(pairs),
        "order_tau": tau([pair[0] for pair in pairs], [pair[1] for pair in pairs]),
        "models": models,
    }


def _figure(source: _Source, scores: Sequence[float]) -> float | None:
    return source.unit * sum(scores) / len(scores) if scores else None


def _text(found: Calibration) -> str:
    """Return a calibration as a sentence and a table, the best model by the official judge first."""
    sentence = (
        f"{found['judge']} and {found['official_judge']} agree in {number(found['same'], 1)} % of"
        f" {found['n']:,} judgments (kappa {number(found['kappa'])}, Kendall's tau {number(found['tau'])})."
        f" Its order of {found['order_models']} models and the official one have Kendall's tau"
        f" {number(found['order_tau'])}."
    )
    figure = f"{found['benchmark']}: {SOURCES[found['benchmark']].figure}"
    head = [figure, "official", "by this judge", "judged", "same, %", "kappa", "tau"]
    rows = [
        [
            each["name"],
            number(each["official"]),
            number(each["judge"]),
            f"{each['judged']:,}",
            number(each["same"], 1),
            number(each["kappa"]),
            number(each["tau"]),
        ]
        for each in sorted(found["models"], key=lambda each: -(each["official"] or 0))
    ]
    return f"{sentence}\n\n{align([head, *rows])}"
