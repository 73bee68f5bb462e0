"""The stages of an evaluation: generate, judge, score; each resumable, each on its own journal.

    generate   items ─► the mixture, as in a chat ─► results.jsonl, the official answers file
    judge      results.jsonl ─► the judge ─► the official judgments file
    score      the judge's journal, parsed anew ─► scores.json

What a benchmark asks, and what its judge's words mean, is the benchmark's; running is the runner's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.bulk.answering import ItemAnswer, answer_item, sample_numbers
from bot.bulk.files import write_json, write_rows
from bot.bulk.runner import Runner, RunResult
from bot.errors import Failure, FailureKind, MoaError
from bot.eval.benchmark import Item, JudgeRequest, Judgment
from bot.eval.eval_context import EvalContext, Variant
from bot.eval.official_data import read_rows
from bot.messages import Request

RESULTS = "results.jsonl"
SCORES = "scores.json"
STOPPED = "stopped.jsonl"
TOGETHER = "together"

_REFUSALS = frozenset({FailureKind.REFUSED, FailureKind.CONTENT_FILTER, FailureKind.CONTEXT_LENGTH})

Summary = dict[str, Any]
"""The figures of a run with everything that has to stand beside them: see `_summarise`."""


async def generate(context: EvalContext, variant: Variant) -> tuple[RunResult, int]:
    """Have every item answered; returns how that ended, and how many items have no answer.

    Writes the results and the official answers file, also when only a part is answered. Answers that the
    folder has to other items are kept in both.
    """
    kept = {key: answer for key, answer in _earlier_answers(variant.folder).items() if not answer.failed}
    answers: dict[str, ItemAnswer] = {}
    samples = sample_numbers(item.turns for item in context.items)

    async def work(index: int, item: Item) -> bool:
        plan = context.plan_for(item, variant.plan)
        ask = context.generating.for_item(index, samples[index])
        answers[item.id], _ = await answer_item(
            item.id, item.turns, plan, ask, context.models, tools=context.tools
        )
        return not answers[item.id].failed

    runner = Runner(context.generating, context.progress, at_once=context.options.concurrency)
    result = await runner.run(f"{variant.name}: answers", context.items, work, len(context.items))
    benchmark, every = context.benchmark, {**kept, **answers}
    in_order = [(item, every[item.id]) for item in benchmark.items() if item.id in every]
    write_rows(variant.folder / RESULTS, (asdict(answer) for _, answer in in_order))
    rows = [
        benchmark.answer_row(item, answer.turns, variant.name)
        for item, answer in in_order
        if not answer.failed
    ]
    write_rows(variant.folder / benchmark.answers_path(variant.name), rows)
    missing = sum(item.id not in every or every[item.id].failed for item in context.items)
    return result, missing


async def judge(context: EvalContext, variant: Variant) -> tuple[RunResult, Summary]:
    """Have every answer judged; returns how that ended, and the figures.

    Writes the official judgments file and the scores, also when only a part is judged. Where early stop
    would have made other replies (--early_stop shadow), these are judged as well, for `eval depth`.
    Judgments of other items that the folder has are kept, and count.
    """
    answers = _earlier_answers(variant.folder)
    if not answers:
        raise MoaError(
            f"{variant.folder}: there are no answers to judge.", hint="Make them first: … generate."
        )
    chosen = {item.id for item in context.items}
    answered = [
        item for item in context.benchmark.items() if item.id in answers and not answers[item.id].failed
    ]

    def is_judged(item: Item) -> bool:
        questions = context.benchmark.judge_requests(item, answers[item.id].turns, variant.name)
        return all(context.judging.is_recorded(_request(context, question)) for question in questions)

    items = [item for item in answered if item.id in chosen or is_judged(item)]
    judged: dict[str, list[Judgment | Failure]] = {}
    stopped: dict[str, list[Judgment | Failure]] = {}

    async def judge_turns(index: int, item: Item, turns: tuple[str, ...]) -> list[Judgment | Failure]:
        found: list[Judgment | Failure] = []
        for question in context.benchmark.judge_requests(item, turns, variant.name):
            outcome = await context.judging.complete(_request(context, question), index)
            if not isinstance(outcome, Failure):
                found.append(context.benchmark.judgment(question, outcome, context.judge.model))
            else:
                found.append(outcome)
        return found

    async def work(index: int, item: Item) -> bool:
        judged[item.id] = await judge_turns(index, item, answers[item.id].turns)
        if (turns := answers[item.id].stopped_turns()) is not None:
            stopped[item.id] = await judge_turns(index, item, turns)
        # Refusals and words that cannot be read are no sign that the service is gone; the figures count them.
        return all(isinstance(each, Judgment) or each.kind in _REFUSALS for each in judged[item.id])

    runner = Runner(context.judging, context.progress, at_once=context.options.concurrency)
    result = await runner.run(f"{variant.name}: judgments", items, work, len(items))
    outcomes = [each for item in items for each in judged.get(item.id, ())]
    judgments = [each for each in outcomes if isinstance(each, Judgment)]
    write_rows(variant.folder / context.benchmark.judgments_file, (each.row for each in judgments))
    if any(answers[item.id].shadows for item in items):
        rows = (
            {"id": name, "score": _score(judged[name]), "score_if_stopped": _score(found)}
            for name, found in stopped.items()
        )
        write_rows(variant.folder / STOPPED, rows)
    good = [answers[item.id] for item in items]
    every = [*context.items, *(item for item in items if item.id not in chosen)]
    failures = len(outcomes) - len(judgments)
    summary = _summarise(context, variant.name, every, good, judgments, failed=failures)
    write_json(variant.folder / SCORES, summary)
    return result, summary


def _score(judgments: Sequence[Judgment | Failure]) -> float | None:
    """Return the mean score of an item's judgments, None unless each has one."""
    return _mean(each.score if isinstance(each, Judgment) else None for each in judgments)


def _request(context: EvalContext, question: JudgeRequest) -> Request:
    """Return the call that puts a benchmark's question to the judge."""
    endpoint = context.models.endpoint(context.judge.endpoint)
    extra: dict[str, object] = dict(context.models.request_fields(context.judge))
    if question.top_logprobs and endpoint.name == TOGETHER:
        extra["logprobs"] = question.top_logprobs
    elif question.top_logprobs:
        extra |= {"logprobs": True, "top_logprobs": question.top_logprobs}
    return Request(
        endpoint=endpoint,
        model=context.judge.model,
        messages=question.messages,
        temperature=question.temperature,
        max_tokens=question.max_tokens,
        extra=extra,
        timeout=context.settings.timeout,
    )


def _earlier_answers(folder: Path) -> Mapping[str, ItemAnswer]:
    """Return the answers by item that a generate stage has written to a folder, {} when there are none."""
    file = folder / RESULTS
    rows = read_rows(file) if file.exists() else []
    return {answer.id: answer for answer in map(ItemAnswer.from_row, rows)}


def _summarise(
    context: EvalContext,
    name: str,
    items: Sequence[Item],
    answers: Sequence[ItemAnswer],
    judgments: Sequence[Judgment],
    *,
    failed: int,
) -> Summary:
    """Return the figures of a run over these items with everything that has to stand beside them.

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
        "name": name,
        "judge": context.judge.model,
        "n": n,
        "n_expected": expected,
        "n_whole": context.benchmark.whole,
        "unanswered": len(items) - len(answers),
        "failed": failed,
        "unparsable": len(judgments) - n,
        "unparsable_because": reasons[:5],
        "with_missing_references": sum(answer.missing > 0 for answer in answers),
        "cost_per_query": _mean(answer.cost for answer in answers),
        "seconds_per_query": _mean(answer.seconds for answer in answers),
        "tflops_per_query": _mean(answer.tflops for answer in answers),
        "tokens_per_query": _mean(answer.prompt_tokens + answer.completion_tokens for answer in answers),
        "figures": context.benchmark.score(rows, expected) if rows else None,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean, None when there are no values or one of them is unknown."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
