"""The paper's sweeps: many mixtures on one benchmark, made from one, sharing every answer.

    proposers   the first 1, 2, 3 and 6 reference models (those there are)
    single      one model 1, 2, 3 and 6 times, in place of as many models
    rounds      1 to 4 rounds
    roles       each reference model as the aggregator of all; each as the only proposer
    rank        the aggregator picks an answer instead of writing one, beside the mixture itself

All variants share the two journals of their folder: what one has asked, no other asks again, and a
sweep that was killed is resumed by the same command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.app.make_plan import make_plan, mode_instructions
from bot.bulk.files import write_json
from bot.bulk.runner import RunResult
from bot.errors import ExitCode, UsageError
from bot.eval.dry_run import dry_run
from bot.eval.eval_context import EvalOptions, Variant, open_evaluation
from bot.eval.evaluation import finish, run_stages
from bot.eval.judging import Summary
from bot.eval.report import text_report, with_judges

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.messages import Agent
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

NUMBERS = (1, 2, 3, 6)
ROUNDS = (1, 2, 3, 4)
SWEEPS = ("proposers", "single", "rounds", "roles")
"""Those that are made when none is named."""
KINDS = (*SWEEPS, "rank")


def _plans(kind: str, plan: Plan, settings: Settings) -> Iterator[tuple[str, Plan]]:
    """Yield the mixtures of one kind of sweep, each with its name."""
    if kind == "proposers":
        for number in NUMBERS:
            if all(len(layer) >= number for layer in plan.layers):
                yield f"proposers-{number}", _with_layers(plan, [layer[:number] for layer in plan.layers])
    elif kind == "single":
        for number in NUMBERS:
            yield f"single-{number}", _with_layers(plan, [(plan.aggregator,) * number for _ in plan.layers])
    elif kind == "rounds":
        for rounds in ROUNDS:
            layers = [plan.layers[min(index, len(plan.layers) - 1)] for index in range(rounds)]
            yield f"rounds-{rounds}", _with_layers(plan, layers)
    elif kind == "roles":
        references = tuple(dict.fromkeys(agent for layer in plan.layers for agent in layer))
        named = list(zip(_names(references), references, strict=True))
        yield from ((f"aggregator-{name}", replace(plan, aggregator=agent)) for name, agent in named)
        for name, agent in named:
            yield f"proposer-{name}", _with_layers(plan, [(agent,) * len(layer) for layer in plan.layers])
    else:
        yield "moa", replace(plan, mode="moa", instructions={})
        yield "rank", replace(plan, mode="rank", instructions=mode_instructions(settings, "rank"))


def variants_of(plan: Plan, settings: Settings, kinds: Sequence[str]) -> dict[str, Plan]:
    """Return the mixtures of these kinds of sweep by name; the same mixture under one name only."""
    if not any(plan.layers):
        raise UsageError("A sweep needs reference models.", hint="Name some with --reference_models.")
    found: dict[str, Plan] = {}
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"No sweep is called {kind!r}.", hint=f"there are {', '.join(KINDS)}")
        for name, variant in _plans(kind, plan, settings):
            if variant not in found.values():
                found[name] = variant
    return found


async def sweep(settings: Settings, streams: Streams, options: EvalOptions, kinds: Sequence[str]) -> ExitCode:
    """Evaluate all variants one after the other, and print one table of them."""
    if options.dry_run:
        plans = variants_of(make_plan(settings), settings, kinds).values()
        return dry_run(settings, streams, options, ("generate", "judge", "score"), plans)
    async with open_evaluation(settings, streams, options, ("generate", "judge", "score")) as context:
        plan = make_plan(context.settings)
        context.record_mixture(plan)
        summaries: list[Summary] = []
        result, missing, expected = RunResult(), 0, 0
        for name, each in variants_of(plan, context.settings, kinds).items():
            result, errors, summary = await run_stages(context, Variant(name, each, context.out / name))
            if summary is None or result.interrupted:
                break
            summaries.append(summary)
            missing += errors
            expected += summary["n_expected"]
            if not result.complete:
                break
        if summaries:
            write_json(context.out / "sweep.json", summaries)
            text = json.dumps(summaries, indent=2) if settings.json else text_report(with_judges(summaries))
            print(text, file=streams.stdout)
        return finish(context, result, missing, expected)


def _with_layers(plan: Plan, layers: Sequence[tuple[Agent, ...]]) -> Plan:
    fewest = min(len(layer) for layer in layers)
    return replace(plan, layers=tuple(layers), min_references=min(plan.min_references, fewest))


def _names(agents: Sequence[Agent]) -> list[str]:
    short = [agent.model.rpartition("/")[2].replace(":", "-") for agent in agents]
    return [name if short.count(name) == 1 else f"{name}-{index}" for index, name in enumerate(short, 1)]
