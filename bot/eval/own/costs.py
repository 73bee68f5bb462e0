"""What a run over several arms may cost, its judges included, before anything is asked (`--dry_run`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.bulk.estimate import LIKELY_TOKENS, estimate
from bot.eval.dry_run import JUDGMENT_TOKENS, Part
from bot.eval.own.arm_plans import ArmPlan
from bot.eval.own.judged import JudgedScorer
from bot.eval.own.questions import Question
from bot.eval.own.scoring import JUDGE_TOKENS, Scorer
from bot.messages import Agent, Usage
from bot.method.context import MESSAGE_TOKENS, estimate_tokens

if TYPE_CHECKING:
    from bot.app.turn_budget import Cost
    from bot.method.plan import Plan


def costs_of(arms: Sequence[ArmPlan], questions: Sequence[Question], epochs: int, cost: Cost) -> list[Part]:
    """Return what each arm may cost if it were asked alone, and all of them together.

    Together they cost less: first rounds that are the same are asked once, and so are lone models that are
    in one of them.
    """
    rows = [question.row for question in questions] * epochs
    parts, together = [], Part("all arms together")
    rounds: list[Plan] = []
    for arm in sorted(arms, key=lambda arm: arm.kind == "alone"):
        part = Part(arm.name)
        found = estimate(rows, arm.plan, cost)
        part.add(found)
        parts.append(part)
        first = _first_round(arm.plan)
        if _in_a_round(arm.plan, rounds):
            continue
        together.add(found)
        if first is not None and first in rounds:
            shared = estimate(rows, first, cost)
            together.add(replace(shared, calls=-shared.calls, likely=-shared.likely, most=-shared.most))
        elif first is not None:
            rounds.append(first)
    return [*parts, together]


def judge_costs(
    scorers: Iterable[Scorer],
    judges: Sequence[Agent],
    arms: Sequence[ArmPlan],
    questions: Sequence[Question],
    *,
    epochs: int,
    cost: Cost,
) -> list[Part]:
    """Return what the judges of each scorer may cost."""
    parts = []
    for scorer in scorers:
        for judge in judges if isinstance(scorer, JudgedScorer) else ():
            assert isinstance(scorer, JudgedScorer)  # noqa: S101 - as above
            part = Part(f"{scorer.name}, judge {judge.model}")
            longest = judge.max_tokens or JUDGE_TOKENS
            for question in questions:
                target = next(iter(question.targets), "")
                asked = scorer.questions("\n\n".join(question.turns), "", target)
                prompt = sum(estimate_tokens(text) + MESSAGE_TOKENS for text in asked)
                for arm in arms:
                    if arm.name == scorer.against:
                        continue  # a tie with itself
                    limit = arm.plan.max_tokens
                    read = prompt + len(asked) * min(limit, LIKELY_TOKENS)
                    likely = cost(judge, Usage(read, len(asked) * min(longest, JUDGMENT_TOKENS)))
                    most = cost(judge, Usage(prompt + len(asked) * limit, len(asked) * longest))
                    part.calls += epochs * len(asked)
                    part.likely += epochs * (likely or 0.0)
                    part.most += epochs * (most or 0.0)
                    part.unpriced |= {judge.model} if most is None else set()
            parts.append(part)
    return parts


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
