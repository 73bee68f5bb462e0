"""Opens what an evaluation needs, and closes it.

    Options ─► EvalContext ─┬─ Benchmark (its data is read and checked before money is spent)
                            ├─ the run's folder, locked, and its manifest
                            ├─ App (pool, keys, prices), unless only scores are made
                            ├─ Judges, each after a trial judgment
            └─ CachedClients: a journal for the answers and one for each judge, one concurrency and one budget

What is done with it is in `stages`, `evaluation` and `sweep`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bot.app.known_models import KnownModels
from bot.app.make_plan import make_plan
from bot.bulk import run_folder
from bot.bulk.answering import strict_plan
from bot.bulk.budget import Budget
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal
from bot.bulk.progress import BulkProgress
from bot.bulk.runner import CONCURRENCY, bulk_retrier, open_app, price_of
from bot.errors import Failure, FailureKind, UsageError
from bot.eval.agreement import require_libraries
from bot.eval.benchmark import Benchmark, Item, Stage, stratified
from bot.eval.judges import Judge, JudgeOptions, chosen_agents, folders_of, make_judge, recorded_judges
from bot.eval.registry import open_benchmark
from bot.eval.trial import Trial
from bot.messages import Ask, CallUpdate, Request
from bot.settings.settings import Level
from bot.tool_use import PermittedTools

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

SCORE_ONLY: tuple[Stage, ...] = ("score",)
TRIALS = "trials.jsonl"
"""The journal of trial judgments in a run's folder."""
JUDGMENTS = "judge.jsonl"
"""The journal in a judge's folder."""
_THIS_COMPUTER = "http://127.0.0.1"


Rejudge = Literal["all", "unreadable"]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The options of an evaluation besides its mixture; None: not given.

    `judge` is one name or several. `rejudge`: which judgments are made anew, all or those that could not
    be read. `proposals`: the reference answers are judged, too.
    """

    benchmark: str
    out: Path | None = None
    limit: int | None = None
    first: int | None = None
    sample_seed: int = 0
    judge: str | Sequence[str] | None = None
    judging: JudgeOptions = field(default_factory=JudgeOptions)
    rejudge: Rejudge | None = None
    proposals: bool = False
    concurrency: int = CONCURRENCY
    data_dir: Path | None = None
    accept_altered: bool = False
    max_errors: int = 0
    max_cost: float | None = None
    dry_run: bool = False
    name: str | None = None

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of the judges, none where the official one is to judge."""
        return (self.judge,) if isinstance(self.judge, str) else tuple(self.judge or ())


@dataclass(frozen=True, slots=True)
class Variant:
    """A mixture to be evaluated, under a name, and the folder that its figures go into."""

    name: str
    plan: Plan
    folder: Path


@dataclass(frozen=True, slots=True)
class EvalContext:
    """An open evaluation. `generating` makes the calls of the mixture, `judging` those of each judge."""

    settings: Settings
    streams: Streams
    options: EvalOptions
    stages: tuple[Stage, ...]
    name: str
    out: Path
    benchmark: Benchmark[Any]
    items: tuple[Item, ...]
    models: KnownModels
    generating: CachedClient
    judging: Mapping[Judge, CachedClient]
    progress: BulkProgress
    manifest: dict[str, Any]
    tools: PermittedTools | None = None

    def record_mixture(self, plan: Plan) -> None:
        """Write the manifest of a run of this mixture. Raises UsageError when the folder is another's."""
        kept = run_folder.manifest_for(self.out, plan, self.options.benchmark)
        self.manifest.update({**kept, **self.manifest})
        run_folder.write_manifest(self.out, self.manifest)

    def plan_for(self, item: Item, plan: Plan) -> Plan:
        """Return the plan for one item, with what the benchmark prescribes unless the user gave it."""
        return plan_for(self.settings, item, plan)


def plan_for(settings: Settings, item: Item, plan: Plan) -> Plan:
    """Return the plan for one item, with what the benchmark prescribes unless the user gave it."""

    def given(option: str) -> bool:
        return settings.sources[option].level <= Level.ENVIRONMENT

    plan = strict_plan(plan)
    if item.temperature is not None and not given("temperature"):
        plan = replace(plan, temperature=item.temperature)
    if item.max_tokens is not None and not given("max_tokens"):
        plan = replace(plan, max_tokens=item.max_tokens, reference_max_tokens=item.max_tokens)
    return plan


@asynccontextmanager
async def open_evaluation(
    settings: Settings, streams: Streams, options: EvalOptions, stages: Sequence[Stage]
) -> AsyncIterator[EvalContext]:
    """Open an evaluation of these stages; to make figures anew, no key is needed and no call is made."""
    stages = tuple(stages)
    name = options.name or name_of(settings)
    out = folder_of(settings, options)
    kept = run_folder.read_manifest(out)
    name = options.name or kept.get("name", name)
    if stages == SCORE_ONLY and options.limit is None and options.first is None and kept:
        options = _with_sample(options, kept)
    benchmark = open_benchmark(options.benchmark, options.data_dir, accept_altered=options.accept_altered)
    benchmark.load(stages)
    async with AsyncExitStack() as stack:
        stack.enter_context(run_folder.lock(out))
        ask: Ask
        tools: PermittedTools | None = None
        if stages == SCORE_ONLY:
            ask, settings = _journal_only, _with_addresses(settings, kept.get("endpoints", {}))
            models = KnownModels(settings)
        else:
            app = await open_app(stack, settings, streams)
            ask, settings, models = bulk_retrier(app.ask_once, settings.rate), app.settings, app.models
            tools = app.permitted
        items = tuple(chosen_items(benchmark, options))
        generated, tried = (_journal(stack, out / name) for name in ("generate.jsonl", TRIALS))
        paid_before = sum(_spent(out / folder / JUDGMENTS) for folder in folders_of(kept))
        spent = generated.spent + tried.spent + paid_before
        concurrency = AdaptiveConcurrency(options.concurrency)
        budget = Budget(price_of(settings), options.max_cost, spent)

        def client(journal: Journal) -> CachedClient:
            return CachedClient(ask, journal, concurrency=concurrency, budget=budget)

        progress = BulkProgress(streams, quiet=settings.quiet or stages == SCORE_ONLY)
        judges: tuple[Judge, ...] = ()
        if stages == SCORE_ONLY:
            judges = recorded_judges(benchmark, settings, kept)
        if "judge" in stages:
            agents = chosen_agents(settings, options.judges, options.judging, benchmark)
            if len(agents) > 1:
                require_libraries()
            trial = Trial(benchmark, models, client(tried), progress.note, settings.timeout)
            for agent in agents:
                by_text = await trial.run(agent, options.judging.by)
                judges += (make_judge(agent, benchmark, settings, kept, by_text=by_text),)
        judging = {judge: client(_journal(stack, out / judge.folder / JUDGMENTS)) for judge in judges}
        facts = _manifest(settings, options, benchmark, len(items), judges=judges, kept=kept)
        yield EvalContext(
            settings, streams, options, stages, name, out, benchmark, items, models,
            client(generated), judging, progress, {"name": name, **facts}, tools,
        )  # fmt: skip


def _with_sample(options: EvalOptions, kept: Mapping[str, Any]) -> EvalOptions:
    """Return the options with the items of the run that has this manifest."""
    limit, first, seed = (kept.get(name) for name in ("limit", "first", "sample_seed"))
    if seed is None:
        # Before there were samples, --limit N stood for the first N.
        limit, first, seed = None, limit, 0
    return replace(options, limit=limit, first=first, sample_seed=seed)


def _manifest(
    settings: Settings,
    options: EvalOptions,
    benchmark: Benchmark[Any],
    items: int,
    *,
    judges: Sequence[Judge],
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a run's manifest says of data, options, judges and services; `kept` is the last one."""
    used = [*(judge.agent for judge in judges), *make_plan(settings).agents()]
    addresses = {agent.endpoint: settings.endpoints[agent.endpoint].base_url for agent in used}
    return {
        **_judges_of(kept, judges),
        "data": dict(benchmark.data.hashes),
        "limit": options.limit,
        "first": options.first,
        "sample_seed": options.sample_seed,
        "items": items,
        "seed": settings.seed,
        "options": {key: str(value) for key, value in asdict(options).items() if value is not None},
        "endpoints": {**kept.get("endpoints", {}), **addresses},
    }


def _judges_of(kept: Mapping[str, Any], judges: Sequence[Judge]) -> dict[str, Any]:
    """Return what the manifest says of judges: all that have judged, and those of the last judging."""
    if not judges:
        return {}
    folders = folders_of(kept) | {judge.folder: judge.as_json() for judge in judges}
    return {"judges": folders, "jury": [judge.folder for judge in judges]}


def _journal(stack: AsyncExitStack, path: Path) -> Journal:
    journal = Journal(path)
    stack.callback(journal.close)
    return journal


def _spent(path: Path) -> float:
    """Return what the calls of a journal cost in US dollars, 0 where there is none."""
    if not path.exists():
        return 0.0
    journal = Journal(path)
    journal.close()
    return journal.spent


def folder_of(settings: Settings, options: EvalOptions) -> Path:
    """Return the run's folder."""
    name = options.name or name_of(settings)
    return options.out or Path("evaluations") / options.benchmark / name


def chosen_items(benchmark: Benchmark[Any], options: EvalOptions) -> list[Item]:
    """Return the items that are to be answered, in the benchmark's order. Raises UsageError."""
    if options.limit is not None and options.first is not None:
        raise UsageError("--limit and --first cannot both be given.")
    if options.limit is None:
        return list(benchmark.items(options.first))
    return stratified(benchmark.items(), options.limit, options.sample_seed)


def name_of(settings: Settings) -> str:
    """Return a name for the mixture: its preset's, or one of what was changed in it."""
    levels = [settings.sources[name].level for name in ("aggregator", "reference_models", "rounds")]
    if all(level >= Level.PRESET for level in levels):
        name = settings.preset.name
    else:
        aggregator = settings.aggregator.rpartition("/")[2].replace(":", "-")
        references = len(settings.reference_models) * settings.rounds
        name = f"{aggregator}-of-{len(settings.reference_models)}-r{settings.rounds}"
        name = name if references else f"{aggregator}-alone"
    name = name if settings.when == "always" else f"{name}-{settings.when}"
    return name if settings.mode == "moa" else f"{name}-{settings.mode}"


def _with_addresses(settings: Settings, addresses: Mapping[str, str]) -> Settings:
    """Return settings whose endpoints have the addresses that the run used, and need no keys."""
    known = {name: endpoint.base_url for name, endpoint in settings.endpoints.items()}
    for name, url in {**known, **addresses}.items():
        settings = settings.with_endpoint(name, url or _THIS_COMPUTER, key="not-used")
    return settings


async def _journal_only(request: Request) -> AsyncGenerator[CallUpdate, None]:
    """Make no call: what is not in the journal stays without an answer."""
    yield Failure(FailureKind.CANCELLED, "not asked yet", request.model)
