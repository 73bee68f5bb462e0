"""The stages of an evaluation: generate, judge, score; each resumable, each on its own journal.

    generate   items ─► the mixture, as in a chat ─► results.jsonl, the official answers file
    judge      results.jsonl ─► the judge ─► the official judgments file
    score      the judge's journal, parsed anew ─► scores.json

What a benchmark asks, and what its judge's words mean, is the benchmark's; running is the runner's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.bulk.answering import ItemAnswer, converse, samples, steady
from bot.bulk.cached_client import CachedClient
from bot.bulk.manifest import write_json
from bot.bulk.progress import Progress
from bot.bulk.runner import Outcome, Runner
from bot.errors import Failure, FailureKind, MoaError
from bot.eval.benchmark import Benchmark, Item, JudgeRequest, Judgment
from bot.eval.files import read_rows, write_rows
from bot.messages import Agent, CallUpdate, Request
from bot.method.model_call import Models

if TYPE_CHECKING:
    from bot.method.plan import Plan

RESULTS = "results.jsonl"
SCORES = "scores.json"
TOGETHER = "together"


@dataclass(frozen=True, slots=True)
class Variant:
    """A mixture to be evaluated, under a name, and the folder that its figures go into.

    `keep_temperature` and `keep_max_tokens`: the user has said them, so that what the benchmark
    prescribes does not count.
    """

    name: str
    plan: Plan
    folder: Path
    keep_temperature: bool = False
    keep_max_tokens: bool = False

    def for_item(self, item: Item) -> Plan:
        """Return the plan for one item, with what the benchmark prescribes."""
        plan = steady(self.plan)
        if item.temperature is not None and not self.keep_temperature:
            plan = replace(plan, temperature=item.temperature)
        if item.max_tokens is not None and not self.keep_max_tokens:
            plan = replace(plan, max_tokens=item.max_tokens, reference_max_tokens=item.max_tokens)
        return plan


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge made of an item; `failures` are questions that it did not answer."""

    judgments: tuple[Judgment, ...]
    failures: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a question has no answer, or none that can be read."""
        return bool(self.failures) or any(judgment.score is None for judgment in self.judgments)


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark's items and judge, and what there is to know of the models; shared by all points."""

    benchmark: Benchmark
    items: tuple[Item, ...]
    models: Models
    judge: Agent
    limit: int | None = None
    at_once: int = 32
    timeout: float = 120.0

    @property
    def expected(self) -> int:
        """The number of judgments that a whole run has."""
        return sum(len(item.turns) for item in self.items)


async def generate(
    bench: Bench, variant: Variant, cached_client: CachedClient, progress: Progress
) -> Outcome:
    """Have every item answered; writes results and the official answers file, also of a part."""
    answers: dict[str, ItemAnswer] = {}
    numbers = samples(item.turns for item in bench.items)

    async def work(place: int, item: Item) -> ItemAnswer:
        ask = cached_client.of(place, numbers[place])
        answer, _ = await converse(item.id, item.turns, variant.for_item(item), ask, bench.models)
        return answer

    def done(place: int, item: Item, answer: ItemAnswer) -> None:  # noqa: ARG001 - the runner's signature
        answers[item.id] = answer

    runner = Runner(work, cached_client, progress, at_once=bench.at_once, done=done)
    outcome = await runner.run(f"{variant.name}: answers", bench.items, len(bench.items))
    ordered = [answers[item.id] for item in bench.items if item.id in answers]
    write_rows(variant.folder / RESULTS, [answer.row() for answer in ordered])
    now = time.time()
    rows = [
        bench.benchmark.answer_row(item, answers[item.id].turns, variant.name, now)
        for item in bench.items
        if item.id in answers and not answers[item.id].failed
    ]
    write_rows(variant.folder / bench.benchmark.answers_file, rows)
    return outcome


async def judge(bench: Bench, variant: Variant, cached_client: CachedClient, progress: Progress) -> Outcome:
    """Have every answer judged; writes the official judgments file and the scores, also of a part."""
    answers = read_answers(variant.folder)
    items = [item for item in bench.items if item.id in answers and not answers[item.id].failed]
    judged: dict[str, Judged] = {}

    async def work(place: int, item: Item) -> Judged:
        judgments, failures = [], []
        for question in bench.benchmark.judge_requests(item, answers[item.id].turns, variant.name):
            said = await cached_client.one(judge_request(bench, question), place)
            if isinstance(said, Failure):
                failures.append(str(said))
            else:
                judgments.append(bench.benchmark.judgment(question, said, bench.judge.model, time.time()))
        return Judged(tuple(judgments), tuple(failures))

    def done(place: int, item: Item, result: Judged) -> None:  # noqa: ARG001 - the runner's signature
        judged[item.id] = result

    runner = Runner(work, cached_client, progress, at_once=bench.at_once, done=done)
    outcome = await runner.run(f"{variant.name}: judgments", items, len(items))
    in_order = [judgment for item in items if item.id in judged for judgment in judged[item.id].judgments]
    write_rows(variant.folder / bench.benchmark.judgments_file, [judgment.row for judgment in in_order])
    write_json(variant.folder / SCORES, summary(bench, variant, answers, list(judged.values())))
    return outcome


def judge_request(bench: Bench, question: JudgeRequest) -> Request:
    """Return the call that puts a benchmark's question to the judge."""
    endpoint = bench.models.endpoint(bench.judge.endpoint)
    extra: dict[str, object] = dict(bench.models.request_fields(bench.judge))
    if question.top_logprobs:
        # Together counts them in one field, OpenAI switches them on in one and counts in another.
        together = endpoint.name == TOGETHER
        extra |= (
            {"logprobs": question.top_logprobs}
            if together
            else {"logprobs": True, "top_logprobs": question.top_logprobs}
        )
    return Request(
        endpoint=endpoint,
        model=bench.judge.model,
        messages=question.messages,
        temperature=question.temperature,
        max_tokens=question.max_tokens,
        extra=extra,
        timeout=bench.timeout,
    )


def read_answers(folder: Path) -> dict[str, ItemAnswer]:
    """Return the answers of a generate stage by item. MoaError when there are none."""
    file = folder / RESULTS
    if not file.exists():
        raise MoaError(f"{folder}: there are no answers to judge.", hint="Make them first: … generate.")
    return {answer.id: answer for answer in map(ItemAnswer.of, read_rows(file))}


def summary(
    bench: Bench, variant: Variant, answers: dict[str, ItemAnswer], judged: Sequence[Judged]
) -> dict[str, Any]:
    """Return the figures of a run with everything that has to stand beside them.

    `n` of `n_expected` judgments have a score; `unanswered` items have no answer, `failed`
    judgments were refused or cut off, `unparsable` ones cannot be read. `with_missing_references`
    counts answers made from fewer references than the mixture has. Costs and seconds are means
    per answered item, over the models alone, without the judge.
    """
    judgments = [judgment for each in judged for judgment in each.judgments]
    good = [answer for item in bench.items if (answer := answers.get(item.id)) and not answer.failed]
    n = sum(judgment.score is not None for judgment in judgments)
    expected = None if bench.limit is None else bench.expected
    reasons = sorted({judgment.reason for judgment in judgments if judgment.reason})
    return {
        "benchmark": bench.benchmark.name,
        "name": variant.name,
        "judge": bench.judge.model,
        "n": n,
        "n_expected": bench.expected,
        "unanswered": len(bench.items) - len(good),
        "failed": sum(len(each.failures) for each in judged),
        "unparsable": len(judgments) - n,
        "unparsable_because": reasons[:5],
        "with_missing_references": sum(answer.missing > 0 for answer in good),
        "cost_per_query": _mean([answer.cost for answer in good]),
        "seconds_per_query": _mean([answer.seconds for answer in good]),
        "tflops_per_query": _mean([answer.tflops for answer in good]),
        "tokens_per_query": _mean([answer.prompt_tokens + answer.completion_tokens for answer in good]),
        "figures": bench.benchmark.score([judgment.row for judgment in judgments], expected)
        if judgments
        else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(values) if known and len(known) == len(values) else None


async def not_asked(request: Request) -> AsyncGenerator[CallUpdate, None]:
    """Ask nobody: what is not in the journal stays without an answer."""
    yield Failure(FailureKind.CANCELLED, "not asked yet", request.model)
