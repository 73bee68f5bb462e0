"""Opens what an evaluation needs, and closes it.

    Options ─► EvalContext ─┬─ Benchmark (its data is read and checked before money is spent)
                            ├─ the run's folder, locked, and its manifest
                            ├─ App (pool, keys, prices), unless only scores are made
                            └─ CachedClients: one journal a stage, one concurrency and one budget for both

What is done with it is in `stages`, `evaluation` and `sweep`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from bot.eval.benchmark import Benchmark, Item, Stage, stratified
from bot.eval.registry import open_benchmark
from bot.messages import Agent, Ask, CallUpdate, Request
from bot.settings.local_models import find_local_model
from bot.settings.model_names import split_endpoint
from bot.settings.settings import Level
from bot.tool_use import PermittedTools

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

OPENAI = "openai"
SCORE_ONLY: tuple[Stage, ...] = ("score",)
_THIS_COMPUTER = "http://127.0.0.1"


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The options of an evaluation besides its mixture; None: not given."""

    benchmark: str
    out: Path | None = None
    limit: int | None = None
    first: int | None = None
    sample_seed: int = 0
    judge: str | None = None
    concurrency: int = CONCURRENCY
    data_dir: Path | None = None
    accept_altered: bool = False
    max_errors: int = 0
    max_cost: float | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """A mixture to be evaluated, under a name, and the folder that its figures go into."""

    name: str
    plan: Plan
    folder: Path


@dataclass(frozen=True, slots=True)
class EvalContext:
    """An open evaluation. `generating` and `judging` make the calls of the two stages."""

    settings: Settings
    streams: Streams
    options: EvalOptions
    stages: tuple[Stage, ...]
    name: str
    out: Path
    benchmark: Benchmark[Any]
    items: tuple[Item, ...]
    models: KnownModels
    judge: Agent
    generating: CachedClient
    judging: CachedClient
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

        def given(option: str) -> bool:
            return self.settings.sources[option].level <= Level.ENVIRONMENT

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
    out = options.out or Path("evaluations") / options.benchmark / name
    kept = run_folder.read_manifest(out)
    name = options.name or kept.get("name", name)
    if options.limit is not None and options.first is not None:
        raise UsageError("--limit and --first cannot both be given.")
    if stages == SCORE_ONLY and options.limit is None and options.first is None and kept:
        # Before there were samples, --limit N stood for the first N.
        seed = kept.get("sample_seed")
        limit, first = (
            (kept.get("limit"), kept.get("first")) if seed is not None else (None, kept.get("limit"))
        )
        options = replace(options, limit=limit, first=first, sample_seed=seed or 0)
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
        judge = _judge(settings, options, stages, kept, benchmark.default_judge)
        if "judge" in stages:
            models.endpoint(judge.endpoint)
        items = tuple(_chosen(benchmark, options))
        journals = [Journal(out / f"{stage}.jsonl") for stage in ("generate", "judge")]
        for journal in journals:
            stack.callback(journal.close)
        concurrency = AdaptiveConcurrency(options.concurrency)
        budget = Budget(price_of(settings), options.max_cost, sum(journal.spent for journal in journals))
        generating, judging = (
            CachedClient(ask, journal, concurrency=concurrency, budget=budget) for journal in journals
        )
        endpoints = {judge.endpoint, *(agent.endpoint for agent in make_plan(settings).agents())}
        manifest = {
            "name": name,
            "judge": asdict(judge),
            "data": dict(benchmark.data.hashes),
            "limit": options.limit,
            "first": options.first,
            "sample_seed": options.sample_seed,
            "items": len(items),
            "seed": settings.seed,
            "options": {key: str(value) for key, value in asdict(options).items() if value is not None},
            "endpoints": {each: settings.endpoints[each].base_url for each in endpoints},
        }
        yield EvalContext(
            settings, streams, options, stages, name, out, benchmark, items, models, judge,
            generating, judging, BulkProgress(streams, quiet=settings.quiet or stages == SCORE_ONLY),
            manifest, tools,
        )  # fmt: skip


def _chosen(benchmark: Benchmark[Any], options: EvalOptions) -> list[Item]:
    """Return the items that are to be answered, in the benchmark's order."""
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
        name = f"{aggregator}-of-{len(settings.reference_models)}-r{settings.rounds}"
    return name if settings.mode == "moa" else f"{name}-{settings.mode}"


def _judge(
    settings: Settings, options: EvalOptions, stages: Sequence[Stage], kept: Mapping[str, Any], official: str
) -> Agent:
    """Return the judge: the one that was named, or that of the run, or the official one."""
    if options.judge is None:
        if stages == SCORE_ONLY and "judge" in kept:
            return Agent(**kept["judge"])
        if settings.local and "judge" in stages:
            raise UsageError(
                f"The official judge, {official}, does not run on this computer.",
                hint="Name one with --judge.",
            )
        if settings.demo and "judge" in stages:
            raise UsageError("The offline service has no judge.", hint="Name one with --judge.")
        return Agent(official, OPENAI if OPENAI in settings.endpoints else settings.default_endpoint)
    judge = options.judge
    if settings.local:
        try:
            judge = find_local_model(judge, settings.local_models, settings.endpoints)
        except UsageError as problem:
            raise UsageError(f"--judge: {problem.message}", hint=problem.hint) from None
    try:
        endpoint, model = split_endpoint(judge, settings.endpoints)
    except ValueError as problem:
        raise UsageError(f"--judge: expected ENDPOINT:MODEL, found {problem}") from None
    return Agent(model, endpoint or settings.default_endpoint)


def _with_addresses(settings: Settings, addresses: Mapping[str, str]) -> Settings:
    """Return settings whose endpoints have the addresses that the run used, and need no keys."""
    known = {name: endpoint.base_url for name, endpoint in settings.endpoints.items()}
    for name, url in {**known, **addresses}.items():
        settings = settings.with_endpoint(name, url or _THIS_COMPUTER, key="not-used")
    return settings


async def _journal_only(request: Request) -> AsyncGenerator[CallUpdate, None]:
    """Make no call: what is not in the journal stays without an answer."""
    yield Failure(FailureKind.CANCELLED, "not asked yet", request.model)
