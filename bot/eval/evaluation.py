"""One mixture on one benchmark: the stages in order, the manifest, the figures, the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bot.app.make_plan import make_plan
from bot.bulk import manifest
from bot.bulk.runner import Outcome, describe
from bot.errors import ExitCode
from bot.eval.benchmark import Stage
from bot.eval.eval_context import SCORE_ONLY, EvalContext, Options
from bot.eval.stages import SCORES, generate, judge

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings


async def evaluate(
    settings: Settings, streams: Streams, options: Options, stages: Sequence[Stage]
) -> ExitCode:
    """Run the stages; prints the figures, if there are any, on stdout.

    Returns 1 when more than `max_errors` items have no figure, 130 when interrupted.
    """
    async with EvalContext(settings, streams, options, stages) as work:
        # To make figures anew only the judge's journal matters; the mixture is in the manifest.
        plan = make_plan(work.settings)
        if work.stages != SCORE_ONLY:
            work.claim(plan)
        variant = work.variant(plan)
        summary: dict[str, Any] | None = None
        if "generate" in stages:
            for agent in plan.agents():
                work.bench.models.endpoint(agent.endpoint)
            outcome = await generate(work.bench, variant, work.generating, work.progress)
            if not outcome.complete or "judge" not in stages:
                return finish(streams, work, outcome, outcome.failed)
        outcome = await judge(work.bench, variant, work.judging, work.progress)
        summary = read_scores(work)
        if not outcome.interrupted:
            show(streams, summary, as_json=settings.json)
        return finish(streams, work, outcome, summary["n_expected"] - summary["n"])


def read_scores(work: EvalContext) -> dict[str, Any]:
    """Return what the judge stage has just written."""
    import json

    scores: dict[str, Any] = json.loads((work.out / SCORES).read_text(encoding="utf-8"))
    return scores


def show(streams: Streams, summary: dict[str, Any], *, as_json: bool) -> None:
    """Print the figures on stdout."""
    if as_json:
        import json

        print(json.dumps(summary, indent=2, ensure_ascii=True), file=streams.stdout)
        return
    from bot.eval.report import text_report

    print(text_report([summary]), file=streams.stdout)


def finish(streams: Streams, work: EvalContext, outcome: Outcome, errors: int) -> ExitCode:
    """Say how the run ended, and return its exit code."""
    most = work.options.max_errors
    work.manifest["ended"] = {
        "at": manifest.now(),
        "complete": outcome.complete,
        "errors": errors,
        "asked": {"generate": work.generating.tally.asked, "judge": work.judging.tally.asked},
    }
    if work.stages != SCORE_ONLY:
        manifest.write(work.out, work.manifest)
    again = "The same command goes on from here."
    if outcome.interrupted:
        streams.say(f"moa-bot: interrupted; what is done is in {work.out}. {again}")
    elif outcome.error is not None:
        streams.say(f"moa-bot: {outcome.error.message}")
        for line in (outcome.error.hint, again):
            streams.say(f"  {line}") if line else None
    elif errors:
        why = describe(work.generating.tally) or describe(work.judging.tally)
        said = f"{errors:,} without a figure{f' ({why})' if why else ''}"
        streams.say(
            f"moa-bot: {said}: more than --max_errors {most}. {again}"
            if errors > most
            else f"moa-bot: {said}."
        )
    return outcome.code(errors, most)
