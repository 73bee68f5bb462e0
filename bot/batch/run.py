"""A batch, from its options to its exit code: read, estimate, resume, answer, write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.app import App
from bot.batch.answers import Answers, check_form, line_of, write_answers
from bot.batch.estimate import Estimate, estimate
from bot.batch.rows import PromptRow, Rows
from bot.bulk import manifest
from bot.bulk.answering import ItemAnswer, converse, samples, steady
from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal, RunFolder
from bot.bulk.progress import Progress, money
from bot.bulk.runner import Outcome, Runner, describe
from bot.client.retry import Retrier
from bot.errors import ExitCode, UsageError
from bot.eval.eval_context import CONCURRENCY, LONGEST_WAIT, TRIES, price_of

if TYPE_CHECKING:
    from bot.app.make_plan import Plan
    from bot.app.streams import Streams
    from bot.events import TurnResult
    from bot.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of a batch besides its mixture. None: not said."""

    source: str
    out: Path | None = None
    column: str | None = None
    split: str = "train"
    subset: str | None = None
    limit: int | None = None
    concurrency: int = CONCURRENCY
    max_errors: int = 0
    max_cost: float | None = None
    dry_run: bool = False
    engine: str = "local"


@dataclass(frozen=True, slots=True)
class Done:
    """A row that is over: its answer, and the last turn's result."""

    answer: ItemAnswer
    result: TurnResult | None

    @property
    def failed(self) -> bool:
        """Whether the row has no reply."""
        return self.answer.failed


class Batch:
    """A batch that is open: what engines need of it."""

    def __init__(self, settings: Settings, streams: Streams, options: Options) -> None:
        self.options, self.streams, self.settings = options, streams, settings
        self.out = options.out or default_out(options.source)
        check_form(self.out)
        if options.engine not in ENGINES:
            raise UsageError(f"--engine: expected {' or '.join(ENGINES)}, found {options.engine}")
        self.folder = self.out.with_name(f"{self.out.name}.run")
        self.rows = Rows(
            options.source,
            column=options.column,
            split=options.split,
            subset=options.subset,
            limit=options.limit,
        )
        self.progress = Progress(streams.stderr, terminal=streams.stderr_is_terminal, quiet=settings.quiet)
        self.plan: Plan
        self.app: App
        self.answers: Answers
        self.journal: Journal
        self.cached_client: CachedClient

    def pending(self) -> Iterator[PromptRow]:
        """Yield the rows that have no reply yet."""
        return (row for row in self.rows if not self.answers.answered(row))

    async def open(self, stack: AsyncExitStack) -> None:
        """Open the folder, the program, and what was done before; makes sure that keys are there."""
        stack.enter_context(RunFolder(self.folder))
        self.answers = Answers(self.folder / "answers.jsonl")
        stack.callback(self.answers.close)
        self.answers.keep_only(len(self.rows))
        quiet = replace(self.settings, save=False)
        verbose = self.streams.stderr if self.settings.verbose else None
        self.app = await stack.enter_async_context(App(quiet, self.streams.say, verbose))
        self.settings = self.app.settings
        self.plan = steady(self.settings.plan())
        for agent in self.plan.agents():
            self.app.models.endpoint(agent.endpoint)
        described = manifest.claim(self.folder, manifest.mixture_of(self.plan), "batch")
        manifest.write(self.folder, {**described, "source": self.options.source, "column": self.rows.column})
        self.journal = stack.enter_context(Journal(self.folder / "calls.jsonl"))
        budget = Budget(price_of(self.settings), self.options.max_cost, self.journal.spent)
        ask = Retrier(self.app.pool.ask, tries=TRIES, rate=self.settings.rate, longest_wait=LONGEST_WAIT)
        self.cached_client = CachedClient(
            ask, self.journal, concurrency=AdaptiveConcurrency(self.options.concurrency), budget=budget
        )


async def run_batch(settings: Settings, streams: Streams, options: Options) -> ExitCode:
    """Answer all rows; returns 1 when more than `max_errors` have no reply, 130 when interrupted."""
    batch = Batch(settings, streams, options)
    if options.dry_run:
        found = _estimate(batch, settings)
        print(found.text(), file=streams.stdout)
        return ExitCode.DONE
    async with AsyncExitStack() as stack:
        await batch.open(stack)
        if not settings.quiet:
            streams.say(f"moa-bot: {_estimate(batch, batch.settings).text()}")
        engine: Callable[[Batch, int], Awaitable[Outcome]] = _local
        if options.engine == "ray":
            from bot.batch import ray_runner

            engine = ray_runner.run
        pending = sum(1 for _ in batch.pending())
        if not settings.quiet and pending < len(batch.rows):
            streams.say(f"moa-bot: {len(batch.rows) - pending:,} are answered already.")
        outcome = await engine(batch, pending)
        write_answers(batch.answers, batch.out)
        return _finish(batch, outcome)


async def _local(batch: Batch, pending: int) -> Outcome:
    """Answer the rows that are open, on this machine."""
    numbers = samples(row.turns for row in batch.rows)
    models = batch.app.models

    async def work(place: int, row: PromptRow) -> Done:
        ask = batch.cached_client.of(place, numbers[row.index])
        return Done(*await converse(str(row.index), row.turns, batch.plan, ask, models))

    def done(place: int, row: PromptRow, result: Done) -> None:  # noqa: ARG001 - the runner's signature
        batch.answers.add(row, line_of(row, result.answer, result.result))

    runner = Runner(work, batch.cached_client, batch.progress, at_once=batch.options.concurrency, done=done)
    return await runner.run("batch", batch.pending(), pending)


def _estimate(batch: Batch, settings: Settings) -> Estimate:
    catalogue = settings.catalogue
    return estimate(
        batch.rows,
        settings.plan(),
        lambda agent, usage: catalogue.cost(agent.model, usage, agent.endpoint),
    )


def _finish(batch: Batch, outcome: Outcome) -> ExitCode:
    """Say how it ended."""
    missing = sum(1 for _ in batch.pending())
    tally = batch.cached_client.tally
    say = batch.streams.say
    again = "The same command goes on from here."
    if outcome.interrupted:
        say(f"moa-bot: interrupted, {missing:,} rows are open. {again}")
    elif outcome.error is not None:
        say(f"moa-bot: {outcome.error.message}")
        for line in (outcome.error.hint, f"{missing:,} rows are open. {again}"):
            if line:
                say(f"  {line}")
    elif missing:
        why = describe(tally)
        say(f"moa-bot: {missing:,} rows have no reply{f' ({why})' if why else ''}. {again}")
    if not batch.settings.quiet:
        say(f"moa-bot: {batch.out}, {money(tally.spent, tally.unpriced)}")
    return outcome.code(missing, batch.options.max_errors)


def default_out(source: str) -> Path:
    """Return where answers go when nobody says: beside the prompts, or here for a data set."""
    path = Path(source)
    if not path.is_file():
        return Path(f"{source.replace('/', '-')}.answers.jsonl")
    return path.with_name(f"{path.name.partition('.')[0]}.answers.jsonl")


ENGINES = ("local", "ray")
