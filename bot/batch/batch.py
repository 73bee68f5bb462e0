"""An open batch: its rows, its folder, and what was answered before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.app import App
from bot.app.make_plan import make_plan
from bot.batch.answers import Answers, check_form
from bot.batch.rows import PromptRow, Rows
from bot.bulk import manifest
from bot.bulk.answering import ItemAnswer, steady
from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal, RunFolder
from bot.bulk.progress import Progress
from bot.client.retry import Retrier
from bot.errors import UsageError
from bot.eval.eval_context import CONCURRENCY, LONGEST_WAIT, TRIES, price_of

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.events import TurnResult
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

ENGINES = ("local", "ray")


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
        self.plan = steady(make_plan(self.settings))
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


def default_out(source: str) -> Path:
    """Return where answers go when nobody says: beside the prompts, or here for a data set."""
    path = Path(source)
    if not path.is_file():
        return Path(f"{source.replace('/', '-')}.answers.jsonl")
    return path.with_name(f"{path.name.partition('.')[0]}.answers.jsonl")
