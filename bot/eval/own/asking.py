"""Has every question answered by every arm, through one journal: what one arm has asked, no other asks again.

What an answer cost and how long it took is counted for each arm as if it had been asked alone: the calls that
it found in the journal count as what they were when they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.bulk.answering import ItemAnswer, answer_item, sample_numbers, strict_plan
from bot.bulk.runner import Runner, RunResult
from bot.eval.arms import Outcome, Proposal
from bot.eval.own.arm_plans import ArmPlan
from bot.eval.own.questions import Question
from bot.eval.proposals import read_by_last_layer

if TYPE_CHECKING:
    from bot.app.known_models import KnownModels
    from bot.bulk.cached_client import CachedClient
    from bot.bulk.progress import BulkProgress
    from bot.method.plan import Plan

SEEDS_APART = 1000
"""How far the seeds of two epochs are apart: the same seed would give the same answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An arm's answer to a question in one epoch (from 1), with the answers that its last layer read."""

    arm: ArmPlan
    question: Question
    epoch: int
    answer: ItemAnswer
    proposals: tuple[Proposal, ...] = ()

    @property
    def reply(self) -> str:
        """The last reply, "" where there is none."""
        return self.answer.turns[-1] if self.answer.turns and not self.answer.failed else ""

    def row(self) -> dict[str, Any]:
        """Return it as a line of the arm's results."""
        proposals = [{"model": each.model, "text": each.text} for each in self.proposals]
        return {**asdict(self.answer), "epoch": self.epoch, "proposals": proposals}

    def outcome(self) -> Outcome:
        """Return it as an outcome without a score."""
        answer = self.answer
        return Outcome(
            item=self.question.id,
            score=None,
            group=self.question.group,
            epoch=self.epoch,
            reply=self.reply,
            proposals=self.proposals,
            calls=answer.calls,
            tokens=answer.prompt_tokens + answer.completion_tokens,
            dollars=answer.cost,
            seconds=None if answer.failed else answer.seconds,
            first_word=None if answer.failed else answer.first_word,
            error=answer.failure,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """What makes calls: a client with its journal, what is known of the models, `at_once` items at a time."""

    client: CachedClient
    models: KnownModels
    progress: BulkProgress
    at_once: int


async def ask_arms(
    arms: Sequence[ArmPlan], questions: Sequence[Question], epochs: int, caller: Caller
) -> tuple[RunResult, list[Asked]]:
    """Ask all arms each question before the next, so that a run that ends early has whole pairs.

    Returns how that ended, and what was answered, in the order of epochs, questions and arms.
    """
    samples = sample_numbers(question.turns for question in questions)
    jobs = [
        (epoch, sample, question, arm)
        for epoch in range(1, epochs + 1)
        for question, sample in zip(questions, samples, strict=True)
        for arm in arms
    ]
    asked: dict[int, Asked] = {}

    async def work(index: int, job: tuple[int, str, Question, ArmPlan]) -> bool:
        epoch, sample, question, arm = job
        plan = _plan_of(arm, question, epoch)
        ask = caller.client.for_item(index, sample if epoch == 1 else f"{sample}|{epoch}")
        answer, result = await answer_item(
            question.id, question.turns, plan, ask, caller.models, before=question.row.history
        )
        read = read_by_last_layer(plan, question.turns[-1], result) if result else ()
        asked[index] = Asked(arm, question, epoch, answer, tuple(read))
        return not answer.failed

    runner = Runner(caller.client, caller.progress, at_once=caller.at_once)
    ended = await runner.run("answers", jobs, work, len(jobs))
    return ended, [asked[index] for index in sorted(asked)]


def _plan_of(arm: ArmPlan, question: Question, epoch: int) -> Plan:
    plan = question.plan_for(strict_plan(arm.plan))
    return plan if plan.seed is None else replace(plan, seed=plan.seed + SEEDS_APART * (epoch - 1))
