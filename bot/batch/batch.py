"""An open batch: its rows, its folder, what was answered before, and the client that answers the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.app import App
from bot.app.make_plan import make_plan
from bot.batch.answers import Answers
from bot.bulk import run_folder
from bot.bulk.answering import strict_plan
from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal
from bot.bulk.progress import BulkProgress
from bot.bulk.rows import PromptRow, Rows
from bot.bulk.runner import CONCURRENCY, bulk_retrier, open_app, price_of
from bot.errors import UsageError
from bot.settings.endpoints import LOCAL

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

ENGINES = ("local", "ray")
FORMS = (".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The options of a batch besides its mixture; None: not given."""

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
    ray_address: str | None = None

    def answers_file(self) -> Path:
        """Return where answers go: `out`, or else beside the prompts, or here for a data set."""
        if self.out is not None:
            return self.out
        path = Path(self.source)
        if not path.is_file():
            return Path(f"{self.source.replace('/', '-')}.answers.jsonl")
        return path.with_name(f"{path.name.partition('.')[0]}.answers.jsonl")

    def place(self) -> str:
        """Return where the prompts are: a file's whole path, or the parts of a data set's name."""
        path = Path(self.source).expanduser()
        return str(path.absolute()) if path.is_file() else f"{self.source} {self.subset or ''} {self.split}"


@dataclass(frozen=True, slots=True)
class Batch:
    """What the engines need of a batch that is open."""

    options: BatchOptions
    rows: Rows
    app: App
    plan: Plan
    answers: Answers
    client: CachedClient
    progress: BulkProgress

    def pending(self) -> Iterator[PromptRow]:
        """Yield the rows that have no reply yet."""
        return (row for row in self.rows if not self.answers.answered(row))


def open_rows(options: BatchOptions) -> Rows:
    """Return the rows of a batch. Raises UsageError for these and for other options that are wrong."""
    name = options.answers_file().name
    if not name.endswith(FORMS):
        raise UsageError(f"--out: expected a name that ends in {' or '.join(FORMS)}, found {name}")
    if options.engine not in ENGINES:
        raise UsageError(f"--engine: expected {' or '.join(ENGINES)}, found {options.engine}")
    if options.ray_address and options.engine != "ray":
        raise UsageError("--ray_address is the cluster of --engine ray.", hint="Add --engine ray.")
    return Rows(
        options.source,
        column=options.column,
        split=options.split,
        subset=options.subset,
        limit=options.limit,
    )


def check_engine(options: BatchOptions, plan: Plan) -> None:
    """Raise UsageError where the engine cannot ask the models of the plan."""
    if options.engine == "ray" and any(agent.endpoint == LOCAL for agent in plan.agents()):
        raise UsageError("--engine ray cannot ask local models.", hint="Leave out --engine.")


def _refuse_to_overwrite(options: BatchOptions, out: Path, folder: Path) -> None:
    """Raise UsageError when `out` is a file that no batch wrote, the prompts themselves, say."""
    if not out.exists() or (folder / run_folder.MANIFEST).exists():
        return
    source = Path(options.source).expanduser()
    what = (
        "the file of the prompts" if source.exists() and out.samefile(source) else "a file of something else"
    )
    raise UsageError(f"{out} is {what}.", hint="Give another --out.")


async def open_batch(
    stack: AsyncExitStack, settings: Settings, streams: Streams, options: BatchOptions, rows: Rows
) -> Batch:
    """Open the folder, the program, and what was answered before; KeyMissingError when a key is missing."""
    out = options.answers_file()
    folder = out.with_name(f"{out.name}.run")
    stack.enter_context(run_folder.lock(folder))
    _refuse_to_overwrite(options, out, folder)
    answers = Answers(folder / "answers.jsonl")
    stack.callback(answers.close)
    app = await open_app(stack, settings, streams)
    plan = strict_plan(make_plan(app.settings))
    if plan.uses_tools and options.engine == "ray":
        raise UsageError("--engine ray runs no tools: leave out --tools, or --engine.")
    manifest = run_folder.manifest_for(folder, plan, "batch")
    known = {"source": options.source, "column": rows.column, "place": options.place()}
    # A file that was moved, or given rows at its end, is no other source.
    if any(manifest.get(name, value) != value for name, value in known.items()) and answers.of_others(rows):
        raise UsageError(
            f"{out} holds the answers to other prompts ({manifest['source']}, column {manifest['column']}).",
            hint="Give another --out.",
        )
    run_folder.write_manifest(folder, {**manifest, **known})
    journal = Journal(folder / "calls.jsonl")
    stack.callback(journal.close)
    client = CachedClient(
        bulk_retrier(app.ask_once, settings.rate),
        journal,
        concurrency=AdaptiveConcurrency(options.concurrency),
        budget=Budget(price_of(app.settings), options.max_cost, journal.spent),
    )
    return Batch(options, rows, app, plan, answers, client, BulkProgress(streams, quiet=settings.quiet))
