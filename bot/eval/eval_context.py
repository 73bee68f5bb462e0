"""Opens together what an evaluation needs, and closes it together.

    Options ─► Workbench ─┬─ Benchmark (its data is read and checked before money is spent)
                          ├─ Folder (held by one process), manifest
                          ├─ Program (pool, keys, prices), unless only scores are made
                          └─ Askers: one journal a stage, one gate and one budget for both

What is done on it is in `evaluation` and `sweep`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.app.app import App, KnownModels
from bot.app.make_plan import make_plan
from bot.app.opening import Opening
from bot.bulk import manifest
from bot.bulk.budget import Budget, Price
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal, RunFolder
from bot.bulk.progress import Progress
from bot.client.retry import Retrier
from bot.errors import UsageError
from bot.eval.benchmark import Stage
from bot.eval.registry import open_benchmark
from bot.eval.stages import Bench, Variant, not_asked
from bot.messages import Agent, Ask, Endpoint, Request, Usage
from bot.settings.model_names import split_endpoint
from bot.settings.settings import Level

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

CONCURRENCY = 32
TRIES = 8
LONGEST_WAIT = 120.0
"""Seconds: nobody waits at a prompt, so a service that asks for a minute gets it."""
OPENAI = "openai"
SCORE_ONLY: tuple[Stage, ...] = ("score",)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of an evaluation besides its mixture. None: not said."""

    benchmark: str
    out: Path | None = None
    limit: int | None = None
    judge: str | None = None
    concurrency: int = CONCURRENCY
    data_dir: Path | None = None
    accept_altered: bool = False
    max_errors: int = 0
    max_cost: float | None = None
    name: str | None = None


class KeylessModels(KnownModels):
    """Models of which nothing will be asked, so that no key is needed.

    Services are where they were when they were asked: `addresses` are the manifest's.
    """

    def __init__(self, settings: Settings, addresses: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._addresses = {name: known.base_url for name, known in settings.endpoints.items()}
        self._addresses.update(addresses)

    def endpoint(self, name: str) -> Endpoint:
        """Return the service without its key."""
        return Endpoint(name, self._addresses.get(name, ""))


class EvalContext(Opening):
    """An open evaluation: `async with Workbench(settings, streams, options, stages) as bench`.

    `generating` and `judging` are the ways to ask of the two stages.
    """

    def __init__(
        self, settings: Settings, streams: Streams, options: Options, stages: Sequence[Stage]
    ) -> None:
        super().__init__()
        self.settings, self.stages = settings, tuple(stages)
        self.name = options.name or name_of(settings)
        self.out = options.out or Path("evaluations") / options.benchmark / self.name
        self._kept = manifest.read(self.out)
        if not options.name:
            self.name = self._kept.get("name", self.name)
        if self.stages == SCORE_ONLY and options.limit is None:
            options = replace(options, limit=self._kept.get("limit"))
        self.options = options
        self.progress = Progress(
            streams.stderr,
            terminal=streams.stderr_is_terminal,
            quiet=settings.quiet or self.stages == SCORE_ONLY,
        )
        self.manifest: dict[str, Any] = {}
        self.bench: Bench
        self.generating: CachedClient
        self.judging: CachedClient
        self._streams = streams

    def variant(self, plan: Plan, name: str = "", folder: Path | None = None) -> Variant:
        """Return a mixture to be evaluated here."""

        def said(option: str) -> bool:
            return self.settings.sources[option].level <= Level.ENVIRONMENT

        return Variant(
            name or self.name,
            plan,
            folder or self.out,
            keep_temperature=said("temperature"),
            keep_max_tokens=said("max_tokens"),
        )

    def claim(self, plan: Plan) -> None:
        """Make the folder that of this mixture; UsageError when it is another's."""
        self.manifest = {
            **manifest.claim(self.out, manifest.mixture_of(plan), self.options.benchmark),
            **self.manifest,
        }
        manifest.write(self.out, self.manifest)

    async def _open(self) -> None:
        options, settings = self.options, self.settings
        benchmark = open_benchmark(options.benchmark, options.data_dir, accept_altered=options.accept_altered)
        hashes = benchmark.prepare(self.stages)
        self._stack.enter_context(RunFolder(self.out))
        models: KnownModels
        if self.stages == SCORE_ONLY:
            ask: Ask = not_asked
            models = KeylessModels(settings, self._kept.get("endpoints", {}))
        else:
            quiet = replace(settings, save=False)
            verbose = self._streams.stderr if settings.verbose else None
            app = await self._stack.enter_async_context(App(quiet, self._streams.say, verbose))
            models, self.settings = app.models, app.settings
            ask = Retrier(app.pool.ask, tries=TRIES, rate=settings.rate, longest_wait=LONGEST_WAIT)
        judge = self._judge(benchmark.default_judge)
        if "judge" in self.stages:
            models.endpoint(judge.endpoint)
        self.bench = Bench(
            benchmark=benchmark,
            items=tuple(benchmark.items(options.limit)),
            models=models,
            judge=judge,
            limit=options.limit,
            at_once=options.concurrency,
            timeout=settings.timeout,
        )
        generate = self._stack.enter_context(Journal(self.out / "generate.jsonl"))
        judged = self._stack.enter_context(Journal(self.out / "judge.jsonl"))
        concurrency = AdaptiveConcurrency(options.concurrency)
        budget = Budget(price_of(settings), options.max_cost, generate.spent + judged.spent)
        self.generating = CachedClient(ask, generate, concurrency=concurrency, budget=budget)
        self.judging = CachedClient(ask, judged, concurrency=concurrency, budget=budget)
        self.manifest = {
            "name": self.name,
            "judge": asdict(judge),
            "data": dict(hashes),
            "limit": options.limit,
            "items": len(self.bench.items),
            "seed": settings.seed,
            "options": {name: str(value) for name, value in asdict(options).items() if value is not None},
            "endpoints": {
                name: settings.endpoints[name].base_url
                for name in {judge.endpoint, *(agent.endpoint for agent in make_plan(settings).agents())}
            },
        }

    def _judge(self, official: str) -> Agent:
        settings, said = self.settings, self.options.judge
        if said is None and self.stages == SCORE_ONLY and "judge" in self._kept:
            return Agent(**self._kept["judge"])
        if said is None:
            if settings.demo and "judge" in self.stages:
                raise UsageError("The offline service has no judge.", hint="Name one with --judge.")
            known = OPENAI in settings.endpoints
            return Agent(official, OPENAI if known else settings.default_endpoint)
        try:
            endpoint, model = split_endpoint(said, settings.endpoints)
        except ValueError as problem:
            raise UsageError(f"--judge: expected ENDPOINT:MODEL, found {problem}") from None
        return Agent(model, endpoint or settings.default_endpoint)


def name_of(settings: Settings) -> str:
    """Return a name for the mixture: its preset's, or one of what was changed in it."""
    levels = [settings.sources[name].level for name in ("aggregator", "reference_models", "rounds")]
    if all(level >= Level.PRESET for level in levels):
        name = settings.preset.name
    else:
        aggregator = settings.aggregator.rpartition("/")[2].replace(":", "-")
        name = f"{aggregator}-of-{len(settings.reference_models)}-r{settings.rounds}"
    return name if settings.mode == "moa" else f"{name}-{settings.mode}"


def price_of(settings: Settings) -> Price:
    """Return what a request costs, by the settings' catalogue."""

    def price(request: Request, usage: Usage) -> float | None:
        return settings.catalogue.cost(request.model, usage, request.endpoint.name)

    return price
