"""Scores what the arms answered: by rule at once, by judges through a journal of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from bot.bulk.runner import Runner, RunResult
from bot.errors import Failure, TurnFailedError, UsageError
from bot.eval.arms import Arm, Outcome, Proposal
from bot.eval.benchmark import JudgeRequest
from bot.eval.own.asking import Asked, Caller
from bot.eval.own.judged import JudgedScorer, judged_scorer
from bot.eval.own.scorers import JUDGED, RuleScorer, Scored, rule_scorer
from bot.eval.trial import REFUSALS, TRIAL_ANSWER, judge_request
from bot.messages import Agent, Message, Request

if TYPE_CHECKING:
    from bot.eval.own.arm_plans import ArmPlan
    from bot.eval.own.questions import Question

Scorer = RuleScorer | JudgedScorer
TIE = 0.5
JUDGE_TOKENS = 1024
"""The longest judgment: a few sentences and the mark; thinking counts."""


def make_scorers(specs: Sequence[str], arms: Sequence[ArmPlan]) -> list[Scorer]:
    """Return the scorers that were named. Raises UsageError for those that there are not."""
    found: list[Scorer] = []
    for spec in dict.fromkeys(specs):
        found.append(judged_scorer(spec) if spec.partition(":")[0] in JUDGED else rule_scorer(spec))
        scorer = found[-1]
        names = [arm.name for arm in arms]
        if isinstance(scorer, JudgedScorer) and scorer.against and scorer.against not in names:
            raise UsageError(
                f"--scorer {spec}: no arm is called {scorer.against}.", hint=f"Arms: {', '.join(names)}."
            )
    return found


def check_targets(scorers: Sequence[Scorer], questions: Sequence[Question]) -> None:
    """Raise UsageError for a scorer that could score nothing, as no question has a target."""
    if any(question.targets for question in questions):
        return
    for scorer in scorers:
        pairwise = isinstance(scorer, JudgedScorer) and scorer.is_pairwise and not scorer.against
        if pairwise or (isinstance(scorer, RuleScorer) and scorer.needs_target):
            raise UsageError(
                f"--scorer {scorer.name}: no question has a target.",
                hint="Name their column: --columns target=COLUMN.",
            )


def score_by_rule(scorer: RuleScorer, asked: Sequence[Asked]) -> list[Outcome]:
    """Return the outcomes, their proposals scored as well."""
    outcomes = []
    for each in asked:
        targets = each.question.targets
        proposals = [replace(read, score=scorer.score(read.text, targets).score) for read in each.proposals]
        found = Scored(None, each.answer.failure) if each.answer.failed else scorer.score(each.reply, targets)
        outcomes.append(_outcome(each, found, proposals))
    return outcomes


async def score_by_judges(
    scorer: JudgedScorer, asked: Sequence[Asked], judges: Sequence[Agent], caller: Caller, seconds: float
) -> tuple[RunResult, list[Outcome]]:
    """Return how the judging ended, and the outcomes; a score is the mean of the judges'.

    A judge has `seconds` for the next word.
    A proposal has a score where it is the reply of a lone arm, which was judged.
    """
    rivals = {(each.question.id, each.epoch): each.reply for each in asked if each.arm.name == scorer.against}
    scores: dict[int, Scored] = {}

    async def judged(judge: Agent, index: int, each: Asked, target: str) -> Scored:
        verdicts = []
        for text in scorer.questions("\n\n".join(each.question.turns), each.reply, target):
            outcome = await caller.client.complete(_request(judge, text, caller, seconds), index)
            if isinstance(outcome, Failure):
                return Scored(None, f"the judge {judge.model} did not answer: {outcome.describe()}")
            verdicts.append(outcome.text)
        return scorer.score(tuple(verdicts))

    async def work(index: int, each: Asked) -> bool:
        target = next(iter(each.question.targets), "")
        if scorer.against:
            target = rivals.get((each.question.id, each.epoch), "")
        if each.answer.failed:
            scores[index] = Scored(None, each.answer.failure)
        elif scorer.against == each.arm.name and scorer.against:
            scores[index] = Scored(TIE)
        elif scorer.is_pairwise and not target:
            scores[index] = Scored(None, "there is nothing to compare the reply with")
        else:
            scores[index] = _mean([await judged(judge, index, each, target) for judge in judges])
        # What cannot be read is no sign that the service is gone.
        return scores[index].score is not None or "did not answer" not in scores[index].error

    runner = Runner(caller.client, caller.progress, at_once=caller.at_once)
    ended = await runner.run(f"{scorer.name.partition(':')[0]}: judgments", asked, work, len(asked))
    known = {
        (each.question.id, each.epoch, each.reply): scores[index].score
        for index, each in enumerate(asked)
        if each.arm.kind == "alone" and index in scores
    }
    return ended, [
        _outcome(each, scores.get(index, Scored(None, "not judged")), _with_scores(each, known))
        for index, each in enumerate(asked)
    ]


def arms_of(arms: Sequence[ArmPlan], asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> tuple[Arm, ...]:
    """Return the arms with their outcomes."""
    return tuple(
        Arm(
            arm.name,
            arm.kind,
            tuple(found for each, found in zip(asked, outcomes, strict=True) if each.arm is arm),
            arm.model,
            arm.members,
        )
        for arm in arms
    )


async def try_judges(
    scorers: Sequence[Scorer], question: Question, judges: Sequence[Agent], caller: Caller, seconds: float
) -> None:
    """Have each judge make one judgment before any answer is paid for.

    Raises TurnFailedError when a judge cannot be asked. A judgment that cannot be read is reported only.
    """
    scorer = next((each for each in scorers if isinstance(each, JudgedScorer)), None)
    for judge in judges if scorer else ():
        assert scorer is not None  # noqa: S101 - as above
        text = scorer.questions("\n\n".join(question.turns), TRIAL_ANSWER, TRIAL_ANSWER)[0]
        outcome = await caller.client.complete(_request(judge, text, caller, seconds), 0)
        if isinstance(outcome, Failure) and outcome.kind not in REFUSALS:
            raise TurnFailedError(outcome)
        verdicts = (outcome.text,) if not isinstance(outcome, Failure) else ("",)
        if scorer.score(verdicts * (2 if scorer.is_pairwise else 1)).score is None:
            caller.progress.note(f"the trial judgment of {judge.model} cannot be read")


def _request(judge: Agent, text: str, caller: Caller, seconds: float) -> Request:
    question = JudgeRequest(
        messages=(Message("user", text),), temperature=0.0, max_tokens=JUDGE_TOKENS, row={}
    )
    return judge_request(judge, question, caller.models, seconds)


def _mean(found: Sequence[Scored]) -> Scored:
    """Return the mean of the judges' scores, none where one is missing: arms would have different judges."""
    known = [each.score for each in found if each.score is not None]
    return Scored(fmean(known)) if len(known) == len(found) else next(x for x in found if x.score is None)


def _with_scores(each: Asked, known: Mapping[tuple[str, int, str], float | None]) -> list[Proposal]:
    return [
        replace(read, score=known.get((each.question.id, each.epoch, read.text))) for read in each.proposals
    ]


def _outcome(each: Asked, found: Scored, proposals: Sequence[Proposal]) -> Outcome:
    return replace(each.outcome(), score=found.score, error=found.error, proposals=tuple(proposals))
