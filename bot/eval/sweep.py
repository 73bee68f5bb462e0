"""The paper's sweeps: many mixtures on one benchmark, made from one, sharing every answer.

    proposers   the first 1, 2, 3 and 6 reference models (those there are)
    single      one model 1, 2, 3 and 6 times, in place of as many models
    rounds      1 to 4 rounds
    roles       each reference model as the aggregator of all; each as the only proposer
    rank        the aggregator picks an answer instead of writing one, beside the mixture itself

All points share the two journals of their folder: what one point has asked, no other asks again,
and a sweep that was killed is resumed by the same command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.app.make_plan import instruction, make_plan
from bot.bulk.manifest import write_json
from bot.bulk.runner import Outcome
from bot.errors import ExitCode, UsageError
from bot.eval.eval_context import EvalContext, Options
from bot.eval.evaluation import finish
from bot.eval.stages import SCORES, Variant, generate, judge
from bot.settings.paths import RANKING

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.messages import Agent
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

NUMBERS = (1, 2, 3, 6)
ROUNDS = (1, 2, 3, 4)

Points = Iterator[tuple[str, "Plan"]]


def _proposers(plan: Plan, settings: Settings) -> Points:  # noqa: ARG001 - as all of its kind
    for number in NUMBERS:
        if all(len(layer) >= number for layer in plan.layers):
            yield f"proposers-{number}", _layers(plan, [layer[:number] for layer in plan.layers])


def _single(plan: Plan, settings: Settings) -> Points:  # noqa: ARG001 - as all of its kind
    for number in NUMBERS:
        layers = [(plan.aggregator,) * number for _ in plan.layers]
        yield f"single-{number}", _layers(plan, layers)


def _rounds(plan: Plan, settings: Settings) -> Points:  # noqa: ARG001 - as all of its kind
    for rounds in ROUNDS:
        layers = [plan.layers[min(index, len(plan.layers) - 1)] for index in range(rounds)]
        yield f"rounds-{rounds}", _layers(plan, layers)


def _roles(plan: Plan, settings: Settings) -> Points:  # noqa: ARG001 - as all of its kind
    everyone = tuple(dict.fromkeys(agent for layer in plan.layers for agent in layer))
    names = dict(zip(everyone, _names(everyone), strict=True))
    for agent in everyone:
        yield f"aggregator-{names[agent]}", replace(plan, aggregator=agent)
    for agent in everyone:
        yield f"proposer-{names[agent]}", _layers(plan, [(agent,) * len(layer) for layer in plan.layers])


def _rank(plan: Plan, settings: Settings) -> Points:
    yield "moa", replace(plan, ranking=None)
    yield "rank", replace(plan, ranking=instruction(settings, RANKING))


KINDS: dict[str, Callable[[Plan, Settings], Points]] = {
    "proposers": _proposers,
    "single": _single,
    "rounds": _rounds,
    "roles": _roles,
    "rank": _rank,
}
SWEEPS = ("proposers", "single", "rounds", "roles")
"""Those that `sweep` makes when none is named."""


def variants_of(plan: Plan, settings: Settings, kinds: Sequence[str]) -> dict[str, Plan]:
    """Return the mixtures of these kinds of sweep by name; the same mixture under one name only."""
    if not any(plan.layers):
        raise UsageError("A sweep needs reference models.", hint="Name some with --reference_models.")
    found: dict[str, Plan] = {}
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"No sweep is called {kind!r}.", hint=f"there are {', '.join(KINDS)}")
        for name, variant in KINDS[kind](plan, settings):
            if variant not in found.values():
                found[name] = variant
    return found


async def sweep(settings: Settings, streams: Streams, options: Options, kinds: Sequence[str]) -> ExitCode:
    """Run all points one after the other, and print one table of them."""
    async with EvalContext(settings, streams, options, ("generate", "judge", "score")) as work:
        plan = make_plan(work.settings)
        work.claim(plan)
        for agent in plan.agents():
            work.bench.models.endpoint(agent.endpoint)
        summaries: list[dict[str, Any]] = []
        outcome, errors = Outcome(), 0
        for name, of_point in variants_of(plan, work.settings, kinds).items():
            variant = work.variant(of_point, name, work.out / name)
            outcome = await _run(work, variant)
            if outcome.interrupted or (outcome.error is not None and not (variant.folder / SCORES).exists()):
                break
            summaries.append(json.loads((variant.folder / SCORES).read_text(encoding="utf-8")))
            errors += summaries[-1]["n_expected"] - summaries[-1]["n"]
            if outcome.error is not None:
                break
        if summaries:
            _show(streams, work, summaries)
        return finish(streams, work, outcome, errors)


async def _run(work: EvalContext, variant: Variant) -> Outcome:
    """Generate and judge one point."""
    outcome = await generate(work.bench, variant, work.generating, work.progress)
    if not outcome.complete:
        return outcome
    return await judge(work.bench, variant, work.judging, work.progress)


def _show(streams: Streams, work: EvalContext, summaries: list[dict[str, Any]]) -> None:
    from bot.eval.report import text_report

    write_json(work.out / "sweep.json", summaries)
    if work.settings.json:
        print(json.dumps(summaries, indent=2), file=streams.stdout)
    else:
        print(text_report(summaries), file=streams.stdout)


def _layers(plan: Plan, layers: Sequence[tuple[Agent, ...]]) -> Plan:
    fewest = min(len(layer) for layer in layers)
    return replace(plan, layers=tuple(layers), min_references=min(plan.min_references, fewest))


def _names(agents: Sequence[Agent]) -> list[str]:
    short = [agent.model.rpartition("/")[2].replace(":", "-") for agent in agents]
    return [name if short.count(name) == 1 else f"{name}-{index}" for index, name in enumerate(short, 1)]
