"""What a run over several arms may cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.bulk.estimate import Estimate, estimate
from bot.eval.own.arm_plans import ArmPlan
from bot.eval.own.questions import Question
from bot.text.numbers import money, plural

if TYPE_CHECKING:
    from bot.app.turn_budget import Cost
    from bot.method.plan import Plan


def costs_text(arms: Sequence[ArmPlan], questions: Sequence[Question], epochs: int, cost: Cost) -> str:
    """Return a line for each arm as if it were asked alone, and one for all of them together.

    Together they cost less: first rounds that are the same are asked once, and so are lone models that are
    in one of them. Judges are not counted.
    """
    rows = [question.row for question in questions] * epochs
    lines = [f"{arm.name}: {estimate(rows, arm.plan, cost)}" for arm in arms]
    calls, likely, most = 0, 0.0, 0.0
    rounds: list[Plan] = []
    for arm in sorted(arms, key=lambda arm: arm.kind, reverse=True):
        found = estimate(rows, arm.plan, cost)
        shared = Estimate()
        first = _first_round(arm.plan)
        if first is not None and first in rounds:
            shared = estimate(rows, first, cost)
        elif first is not None:
            rounds.append(first)
        elif _in_a_round(arm.plan, rounds):
            shared = found
        calls += found.calls - shared.calls
        likely += found.likely - shared.likely
        most += found.most - shared.most
    if len(arms) > 1:
        lines.append(f"together: {plural(calls, 'call')}: about {money(likely)}, at most {money(most)}")
    return "\n".join(lines)


def _first_round(plan: Plan) -> Plan | None:
    """Return a plan of the first round alone, the same for all plans that send the same requests in it."""
    if not plan.layers or plan.mode == "critique":
        return None
    vote = plan.mode == "vote"
    return replace(
        plan,
        layers=plan.layers[:1],
        aggregator=plan.layers[0][0],
        light_aggregator=None,
        fallbacks=(),
        mode="compare",
        instruction="vote" if vote else "",
        instructions={},
        judge=None,
        max_tokens=plan.reference_max_tokens,
        min_references=1,
        placement="prompt",
        order="given",
        early_stop=type(plan.early_stop)(),
    )


def _in_a_round(lone: Plan, rounds: Sequence[Plan]) -> bool:
    """Return whether a lone model is asked in one of these first rounds already."""
    if lone.layers:
        return False
    for first in rounds:
        for place, agent in enumerate(first.layers[0]):
            limit = first.reference_max_tokens if agent.max_tokens is None else agent.max_tokens
            seed = None if first.seed is None else first.seed + place
            same = replace(agent, max_tokens=limit) == lone.aggregator and seed == lone.seed
            if (
                same
                and not first.instruction
                and (first.system, first.temperature) == (lone.system, lone.temperature)
            ):
                return True
    return False
