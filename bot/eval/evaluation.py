"""One mixture on one benchmark: the stages in order, the manifest, the figures, the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan
from bot.bulk import run_folder
from bot.bulk.cached_client import CallStats
from bot.bulk.runner import RunResult
from bot.errors import ExitCode
from bot.eval.benchmark import Stage
from bot.eval.dry_run import dry_run
from bot.eval.eval_context import SCORE_ONLY, EvalContext, EvalOptions, Variant, open_evaluation
from bot.eval.judging import Summary, judge
from bot.eval.report import text_report, with_judges
from bot.eval.stages import generate
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings


async def evaluate(
    settings: Settings, streams: Streams, options: EvalOptions, stages: Sequence[Stage]
) -> ExitCode:
    """Run the stages; prints the figures, if there are any, on stdout.

    Returns 1 when more than `max_errors` items have no figure, or all of them, 130 when interrupted.
    """
    if options.dry_run:
        return dry_run(settings, streams, options, stages, [make_plan(settings)])
    async with open_evaluation(settings, streams, options, stages) as context:
        plan = make_plan(context.settings)
        # To make figures anew only the judge's journal matters; the mixture is in the manifest.
        if context.stages != SCORE_ONLY:
            context.record_mixture(plan)
        result, errors, summary = await run_stages(context, Variant(context.name, plan, context.out))
        if summary and not result.interrupted:
            text = json.dumps(summary, indent=2) if settings.json else text_report(with_judges([summary]))
            print(text, file=streams.stdout)
        return finish(context, result, errors, summary["n_expected"] if summary else len(context.items))


async def run_stages(context: EvalContext, variant: Variant) -> tuple[RunResult, int, Summary | None]:
    """Run the stages for one mixture; returns how that ended, what is missing, and the figures."""
    if "generate" in context.stages:
        result, errors = await generate(context, variant)
        if not result.complete or "judge" not in context.stages:
            return result, errors, None
    result, summary = await judge(context, variant)
    return result, summary["n_expected"] - summary["n"], summary


def finish(context: EvalContext, result: RunResult, errors: int, expected: int) -> ExitCode:
    """Say how the run ended, and return its exit code; `errors` of `expected` figures are missing."""
    # A run without any figure has failed, however many errors are allowed.
    most = min(context.options.max_errors, max(0, expected - 1))
    generated, judged = context.generating.stats, [client.stats for client in context.judging.values()]
    if context.stages != SCORE_ONLY:
        ended = {
            "at": run_folder.now(),
            "complete": result.complete,
            "errors": errors,
            "asked": {"generate": generated.asked, "judge": sum(each.asked for each in judged)},
        }
        run_folder.write_manifest(context.out, {**context.manifest, "ended": ended})
    missing = ""
    if errors:
        noun = "answer" if context.stages == ("generate",) else "score"
        missing = f"{plural(errors, noun)} missing"
        if errors >= expected:
            missing = f"no {noun} at all, {missing}"
        elif errors > most:
            missing += f", more than --max_errors {most}"
    failures = CallStats(failures=sum((each.failures for each in judged), generated.failures))
    result.say_end(context.streams.say, missing, failures)
    return result.exit_code(errors, most)
