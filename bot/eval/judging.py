"""The stages `judge` and `score` of an evaluation, for each of its judges; resumable by its journal.

    judge      results.jsonl ─► a judge ─► judges/NAME/: the official judgments file, scores.json
    score      the judge's journal, parsed anew ─► the same

Several judges are a jury: each has its own figures, and the jury those of the mean of their judgments.
What a judge is asked, and what its words mean, is the benchmark's; running is the runner's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from bot.bulk.answering import ItemAnswer
from bot.bulk.files import write_json, write_rows
from bot.bulk.runner import Runner, RunResult
from bot.errors import Failure, MoaError
from bot.eval.agreement import agreement
from bot.eval.benchmark import Item, JudgeRequest, Judgment
from bot.eval.eval_context import EvalContext, Variant
from bot.eval.judges import JUDGES, Judge
from bot.eval.official_data import read_rows
from bot.eval.proposals import PROPOSALS, Turn, read_turns
from bot.eval.stages import earlier_answers
from bot.eval.trial import REFUSALS, judge_request
from bot.messages import Request

SCORES = "scores.json"
STOPPED = "stopped.jsonl"
_LONGEST_NAME = 150

Summary = dict[str, Any]
"""The figures of a run with everything that has to stand beside them: see `_summarise`."""


Outcome = Judgment | Failure


async def judge(context: EvalContext, variant: Variant) -> tuple[RunResult, Summary]:
    """Have every answer judged by every judge; returns how that ended, and the figures.

    Writes the official judgments file and the scores, also when only a part is judged. Where early stop
    would have made other replies (--early_stop shadow), these are judged as well, for `eval depth`.
    Judgments of other items that the folder has are kept, and count.
    """
    answers = earlier_answers(variant.folder)
    if not answers:
        raise MoaError(
            f"{variant.folder}: there are no answers to judge.", hint="Make them first: … generate."
        )
    if context.options.proposals and not read_turns(variant.folder):
        raise MoaError(
            f"{variant.folder}: there are no proposals to judge.",
            hint="Make the answers again: … generate. What has been answered is not asked again.",
        )
    if not context.judging:
        raise MoaError(f"{variant.folder}: nothing has been judged.", hint="Have it judged first: … judge.")
    result = RunResult()
    runs: list[JudgeRun] = []
    # A judge that is not come to keeps the files that it has.
    for each in context.judging:
        if result.complete:
            runs.append(JudgeRun(context, variant, answers, each))
            result = await runs[-1].judge_all()
    summaries = [run.write() for run in runs]
    return result, summaries[0] if len(runs) == 1 else _write_jury(context, variant, runs, summaries)


class JudgeRun:
    """One judge at work on the answers of one mixture.

    `judged` are the outcomes by item, one a turn, for as many items as were come to; `stopped` those of the
    replies that early stop would have made.
    """

    def __init__(
        self, context: EvalContext, variant: Variant, answers: Mapping[str, ItemAnswer], by: Judge
    ) -> None:
        self.context, self.variant, self.answers, self.by = context, variant, answers, by
        self.client = context.judging[by]
        self.judged: dict[str, list[Outcome]] = {}
        self.stopped: dict[str, list[Outcome]] = {}
        self.proposals: dict[str, list[Turn]] = defaultdict(list)
        self.of_proposals: dict[tuple[str, int], list[float | None]] = {}
        chosen = {item.id for item in context.items}
        for turn in read_turns(variant.folder) if context.options.proposals else ():
            if turn.id in chosen:
                self.proposals[turn.id].append(turn)
        answered = [
            item for item in context.benchmark.items() if item.id in answers and not answers[item.id].failed
        ]
        self.items = [item for item in answered if item.id in chosen or self._is_judged(item)]
        self.every = [*context.items, *(item for item in self.items if item.id not in chosen)]

    async def judge_all(self) -> RunResult:
        """Have all answers judged; returns how that ended."""

        async def work(index: int, item: Item) -> bool:
            answer = self.answers[item.id]
            self.judged[item.id] = found = await self._judge_turns(index, item, answer.turns)
            if item.id in self.proposals:
                await self._judge_proposals(index, item)
            if (turns := answer.stopped_turns()) is not None:
                self.stopped[item.id] = await self._judge_turns(index, item, turns)
            # Refusals and unreadable words are no sign that the service is gone; the figures count them.
            return all(isinstance(each, Judgment) or each.kind in REFUSALS for each in found)

        of = f" of {self.by.name}" if len(self.context.judging) > 1 else ""
        label = f"{self.variant.name}: judgments{of}"
        runner = Runner(self.client, self.context.progress, at_once=self.context.options.concurrency)
        return await runner.run(label, self.items, work, len(self.items))

    def write(self) -> Summary:
        """Write the judgments and the scores; returns these."""
        folder = self.variant.folder / self.by.folder
        outcomes = [each for item in self.items for each in self.judged.get(item.id, ())]
        judgments = [each for each in outcomes if isinstance(each, Judgment)]
        write_rows(folder / self.context.benchmark.judgments_file, (each.row for each in judgments))
        self._write_proposals(folder / PROPOSALS)
        good = [self.answers[item.id] for item in self.items]
        if any(answer.shadows for answer in good):
            rows = (
                {"id": name, "score": _score(self.judged[name]), "score_if_stopped": _score(found)}
                for name, found in self.stopped.items()
            )
            write_rows(folder / STOPPED, rows)
        summary = _summarise(self.context, (self.variant.name, self.by.name), self.every, good, judgments)
        summary["failed"] = len(outcomes) - len(judgments)
        write_json(folder / SCORES, summary)
        return summary

    def scores(self) -> dict[tuple[str, int], float]:
        """Return the score of each judged turn, by item and turn."""
        return {
            (name, turn): each.score
            for name, outcomes in self.judged.items()
            for turn, each in enumerate(outcomes)
            if isinstance(each, Judgment) and each.score is not None
        }

    def _is_judged(self, item: Item) -> bool:
        """Whether the judge's journal has all judgments of the item."""
        calls = (
            request
            for question in self._questions(item, self.answers[item.id].turns)
            for request in self._requests(question)
        )
        return all(map(self.client.is_recorded, calls))

    async def _judge_proposals(self, index: int, item: Item) -> None:
        """Have each answer that a reply was made from judged in the place of this reply."""
        said = self.answers[item.id].turns
        for turn in self.proposals[item.id]:
            before, after = said[: turn.turn - 1], ("",) * (len(item.turns) - turn.turn)
            scores = []
            for proposal in turn.proposals:
                question = self._questions(item, (*before, proposal.text, *after))[turn.turn - 1]
                outcome = await self._judgment(index, question, fresh=False)
                scores.append(outcome.score if isinstance(outcome, Judgment) else None)
            self.of_proposals[item.id, turn.turn] = scores

    def _write_proposals(self, file: Path) -> None:
        """Write the scores of proposals, and keep those of turns that were not judged this time."""
        if not self.of_proposals:
            return
        replies = self.scores()
        rows = {(row["id"], row["turn"]): row for row in (read_rows(file) if file.exists() else ())}
        for (name, turn), scores in self.of_proposals.items():
            reply = replies.get((name, turn - 1))
            rows[name, turn] = {"id": name, "turn": turn, "reply": reply, "scores": scores}
        write_rows(file, rows.values())

    async def _judge_turns(self, index: int, item: Item, turns: tuple[str, ...]) -> list[Outcome]:
        rejudge = self.context.options.rejudge
        found = []
        for question in self._questions(item, turns):
            was_judged = all(map(self.client.is_recorded, self._requests(question)))
            outcome = await self._judgment(index, question, fresh=was_judged and rejudge == "all")
            unreadable = not isinstance(outcome, Judgment) or outcome.score is None
            if was_judged and unreadable and rejudge == "unreadable":
                outcome = await self._judgment(index, question, fresh=True)
            found.append(outcome)
        return found

    async def _judgment(self, index: int, question: JudgeRequest, *, fresh: bool) -> Outcome:
        completions = []
        for request in self._requests(question):
            outcome = await self.client.complete(request, index, fresh=fresh)
            if isinstance(outcome, Failure):
                return outcome
            completions.append(outcome)
        return self.context.benchmark.judgment(question, completions[0], self.by.name, *completions[1:])

    def _questions(self, item: Item, turns: tuple[str, ...]) -> list[JudgeRequest]:
        return self.context.benchmark.judge_requests(item, turns, self.variant.name, by_text=self.by.by_text)

    def _requests(self, question: JudgeRequest) -> list[Request]:
        """Return the call that puts a question to the judge, and that in the other order if there is one."""
        context = self.context
        orders = [messages for messages in (question.messages, question.reversed_messages) if messages]
        return [
            judge_request(self.by.agent, question, context.models, context.settings.timeout, messages)
            for messages in orders
        ]


def _write_jury(
    context: EvalContext, variant: Variant, runs: Sequence[JudgeRun], summaries: Sequence[Summary]
) -> Summary:
    """Write what the judges find together: the means of what all of them have scored. Returns the figures.

    `judges` are the figures of each, `agreement` how far each two of them agree.
    """
    benchmark, names = context.benchmark, [run.by.name for run in runs]
    name = f"jury of {' + '.join(names)}"
    scores = {run.by.name: run.scores() for run in runs}
    judgments = []
    for item in runs[0].items:
        for turn in range(len(item.turns)):
            if all((item.id, turn) in found for found in scores.values()):
                rows = [each.row for run in runs if isinstance(each := run.judged[item.id][turn], Judgment)]
                mean = fmean(found[item.id, turn] for found in scores.values())
                judgments.append(Judgment(mean, benchmark.jury_row(rows, name)))
    folder = variant.folder / JUDGES / re.sub(r"[^\w.+-]+", "-", name)[:_LONGEST_NAME]
    write_rows(folder / benchmark.judgments_file, (each.row for each in judgments))
    good = [runs[0].answers[item.id] for item in runs[0].items]
    summary = _summarise(context, (variant.name, name), runs[0].every, good, judgments)
    summary["failed"] = max(each["failed"] for each in summaries)
    summary["unparsable"] = max(each["unparsable"] for each in summaries)
    summary |= {"judges": list(summaries), "agreement": agreement(scores, benchmark.verdict)}
    write_json(folder / SCORES, {key: value for key, value in summary.items() if key != "judges"})
    return summary


def _score(judgments: Sequence[Outcome]) -> float | None:
    """Return the mean score of an item's judgments, None unless each has one."""
    return _mean(each.score if isinstance(each, Judgment) else None for each in judgments)


def _summarise(
    context: EvalContext,
    names: tuple[str, str],
    items: Sequence[Item],
    answers: Sequence[ItemAnswer],
    judgments: Sequence[Judgment],
) -> Summary:
    """Return the figures of a run over these items with everything that has to stand beside them.

    `names` are those of the mixture and of its judge.
    `n` of `n_expected` judgments have a score (the whole benchmark has `n_whole`);
    `unanswered` items have no answer, `failed` judgments were refused or cut off, `unparsable` ones
    cannot be read. `with_missing_references` counts answers made from fewer references than the
    mixture has. Costs and seconds are means per answered item, over the models alone, without the
    judge.
    """
    n = sum(judgment.score is not None for judgment in judgments)
    expected = sum(len(item.turns) for item in items)
    reasons = sorted({judgment.reason for judgment in judgments if judgment.reason})
    rows = [judgment.row for judgment in judgments]
    return {
        "benchmark": context.benchmark.name,
        "name": names[0],
        "judge": names[1],
        "n": n,
        "n_expected": expected,
        "n_whole": context.benchmark.whole,
        "unanswered": len(items) - len(answers),
        "failed": 0,
        "unparsable": len(judgments) - n,
        "unparsable_because": reasons[:5],
        "with_missing_references": sum(answer.missing > 0 for answer in answers),
        "cost_per_query": _mean(answer.cost for answer in answers),
        # Recorded answers of others have no calls.
        "seconds_per_query": _mean(answer.seconds if answer.calls else None for answer in answers),
        "tflops_per_query": _mean(answer.tflops for answer in answers),
        "tokens_per_query": _mean(
            answer.prompt_tokens + answer.completion_tokens if answer.calls else None for answer in answers
        ),
        "figures": context.benchmark.score(rows, expected) if rows else None,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean, None when there are no values or one of them is unknown."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
