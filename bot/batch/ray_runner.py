"""The same batch on a Ray cluster: the same rows, the same files, the same resume.

    driver: open rows ─► Ray Data ─► actors, one process each, on any machine of the cluster
       ▲                                └─ each asks through the SDK, in an event loop of its own
       └── lines and calls come back, and are written here, into the files of every batch

The cluster is the one that RAY_ADDRESS names, else one on this machine. The program and its
libraries have to be installed on all of its machines; keys travel to them inside the cluster.
Needs the extra `ray`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.batch.answers import line_of
from bot.batch.rows import PromptRow
from bot.bulk.answering import converse, samples
from bot.bulk.budget import Budget, BudgetSpentError
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Record
from bot.bulk.runner import Outcome
from bot.client.retry import Retrier
from bot.errors import Failure, MoaError
from bot.eval.eval_context import LONGEST_WAIT, TRIES
from bot.eval.extras import needs_extra
from bot.messages import Agent, Completion, Endpoint, Request, Usage

if TYPE_CHECKING:
    from bot.batch.batch import Batch
    from bot.method.plan import Plan

_MILLION = 1_000_000
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What Ray must not say on our stderr, nor tell its makers."""
ROWS_AT_ONCE = 16
"""Rows that an actor gets at a time: what is lost when the driver is killed."""


@dataclass(frozen=True, slots=True)
class PlainModels:
    """What has to be known of the models, as plain values that can be sent to another machine."""

    endpoints: Mapping[str, Endpoint]
    contexts: Mapping[Agent, int | None]
    further: Mapping[Agent, Mapping[str, object]]
    prices: Mapping[tuple[str, str], tuple[float, float] | None]

    def endpoint(self, name: str) -> Endpoint:
        """Return the service of that name."""
        return self.endpoints[name]

    def context_length(self, agent: Agent) -> int | None:
        """Return the context length in tokens, None when unknown."""
        return self.contexts.get(agent)

    def learn_context_length(self, agent: Agent, tokens: int) -> None:
        """Forget it again: what one actor learns, the others would not know."""

    def request_fields(self, agent: Agent) -> Mapping[str, object]:
        """Return further fields of the request's body."""
        return self.further.get(agent, {})

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        """Return US dollars, None when price or tokens are unknown."""
        return self._cost(agent.model, agent.endpoint, usage)

    def price(self, request: Request, usage: Usage) -> float | None:
        """Return what a request costs in US dollars."""
        return self._cost(request.model, request.endpoint.name, usage)

    def _cost(self, model: str, endpoint: str, usage: Usage) -> float | None:
        prices = self.prices.get((model, endpoint))
        if prices is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        return usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]


@dataclass(frozen=True, slots=True)
class Orders:
    """What every actor is told once."""

    plan: Plan
    models: PlainModels
    concurrency: int
    max_cost: float | None
    rate: float | None


class Collected:
    """A journal that only collects: the driver writes what is in it."""

    def __init__(self) -> None:
        self.spent, self.unpriced = 0.0, 0
        self.calls: list[tuple[str, Request, Completion | Failure, float | None, int]] = []
        self._known: dict[str, Completion | Failure] = {}

    def answer(self, key: str) -> Completion | Failure | None:
        """Return what has been answered here."""
        return self._known.get(key)

    def add(
        self,
        key: str,
        request: Request,
        outcome: Completion | Failure,
        cost: float | None,
        retries: int = 0,
    ) -> None:
        """Keep a call that is over, without the key of its service."""
        bare = replace(request, endpoint=replace(request.endpoint, key=None, headers={}))
        self.calls.append((key, bare, outcome, cost, retries))
        if isinstance(outcome, Completion):
            self._known[key] = outcome

    def sync(self, *, now: bool = False) -> None:
        """Do nothing: there is no file."""


class Answerer:
    """An actor: answers the rows of a block, all at once as far as the gate lets it."""

    def __init__(self, orders: Orders) -> None:
        from bot.client.provider import Provider

        self._orders = orders
        self._runner = asyncio.Runner()
        self._runner.get_loop()
        self._ask = Retrier(Provider().complete, tries=TRIES, rate=orders.rate, longest_wait=LONGEST_WAIT)
        self._concurrency = AdaptiveConcurrency(orders.concurrency)
        self._spent = 0.0

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Answer a block of rows; columns in, columns out: lines and calls, pickled."""
        pickled = zip(block["row"], block["sample"], strict=True)
        rows = [(pickle.loads(row), str(sample)) for row, sample in pickled]  # noqa: S301 - the driver's own
        return {"done": [pickle.dumps(self._runner.run(self._block(rows)))]}

    async def _block(self, rows: list[tuple[PromptRow, str]]) -> tuple[list[Any], list[Any], str]:
        orders, journal = self._orders, Collected()
        budget = Budget(orders.models.price, orders.max_cost, self._spent)
        cached_client = CachedClient(self._ask, journal, concurrency=self._concurrency, budget=budget)
        stopped = ""

        async def one(place: int, row: PromptRow, sample: str) -> tuple[int, dict[str, Any]] | None:
            nonlocal stopped
            try:
                answer, result = await converse(
                    str(row.index), row.turns, orders.plan, cached_client.of(place, sample), orders.models
                )
            except BudgetSpentError as error:
                stopped = error.message
                return None
            return row.index, line_of(row, answer, result)

        lines = await asyncio.gather(*(one(place, *each) for place, each in enumerate(rows)))
        self._spent = budget.spent
        return [line for line in lines if line], journal.calls, stopped


async def run(batch: Batch, pending: int) -> Outcome:
    """Answer the rows that are open, on the cluster; the driver alone writes files."""
    from bot.app.signals import handle_signals

    outcome = Outcome()
    if not pending:
        return outcome
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with needs_extra("ray"):
        import ray  # type: ignore[import-untyped,unused-ignore]  # ships its own, in part
        import ray.data  # type: ignore[import-untyped,unused-ignore]  # likewise
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    rows = {row.index: row for row in batch.pending()}

    def work() -> None:
        try:
            for block in _execute(ray, batch, rows):
                loop.call_soon_threadsafe(blocks.put_nowait, block)
            last: BaseException | None = None
        except BaseException as error:  # noqa: BLE001 - raised again in the loop
            last = error
        with suppress(RuntimeError):  # the loop is closed: the program is leaving
            loop.call_soon_threadsafe(blocks.put_nowait, last)

    def interrupt() -> None:
        outcome.interrupted = True
        blocks.put_nowait(None)

    batch.progress.begin("batch on Ray", pending, batch.cached_client.tally)
    with handle_signals(interrupt):
        threading.Thread(target=work, daemon=True).start()
        try:
            while (block := await blocks.get()) is not None:
                if isinstance(block, BaseException):
                    raise MoaError(f"Ray: {' '.join(str(block).split())[-300:]}") from block
                _take(batch, rows, block, outcome)
                batch.progress.tick()
        finally:
            await asyncio.to_thread(ray.shutdown)
            batch.progress.end()
    return outcome


def _execute(ray: Any, batch: Batch, rows: Mapping[int, PromptRow]) -> Iterator[bytes]:
    """Start Ray and yield what the actors return, as it comes."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    cores = int(ray.cluster_resources().get("CPU", 1))
    actors = max(1, min(batch.settings.num_proc or cores, cores, len(rows)))
    options = batch.options
    left = None if options.max_cost is None else max(0.0, options.max_cost - batch.journal.spent) / actors
    orders = Orders(
        batch.plan, plain_models(batch), max(1, options.concurrency // actors), left, batch.settings.rate
    )
    numbers = samples(row.turns for row in batch.rows)
    size = max(1, min(ROWS_AT_ONCE, len(rows) // (2 * actors)))
    items = [{"row": pickle.dumps(row), "sample": numbers[row.index]} for row in rows.values()]
    blocks = -(-len(items) // size)
    data = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        Answerer,
        fn_constructor_args=(orders,),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
    )
    for row in data.iter_rows():
        yield bytes(row["done"])


def _take(batch: Batch, rows: Mapping[int, PromptRow], block: bytes, outcome: Outcome) -> None:
    """Write what an actor has done."""
    lines, calls, stopped = pickle.loads(block)  # noqa: S301 - our own actors'
    tally = batch.cached_client.tally
    for call in calls:
        key, request, result, cost, retries = call
        batch.journal.add(key, request, result, cost, retries)
        tally.asked += 1
        tally.retries += retries
        tally.failed += isinstance(result, Failure)
        tally.spent += cost or 0.0
        tally.unpriced += cost is None
        if isinstance(result, Failure):
            tally.kinds[result.kind] += 1
    for index, line in lines:
        batch.answers.add(rows[index], line)
        outcome.done += 1
        outcome.failed += bool(line["error"])
        batch.progress.item(failed=bool(line["error"]), old=False)
    if stopped:
        outcome.error = outcome.error or MoaError(stopped)


def plain_models(batch: Batch) -> PlainModels:
    """Return what the program knows of the plan's models, as plain values."""
    models, agents = batch.app.models, batch.plan.agents()
    prices: dict[tuple[str, str], tuple[float, float] | None] = {}
    for agent in agents:
        into, out = models.cost(agent, Usage(_MILLION, 0)), models.cost(agent, Usage(0, _MILLION))
        known = into is not None and out is not None
        prices[agent.model, agent.endpoint] = (into / _MILLION, out / _MILLION) if known else None  # type: ignore[operator]  # known says so
    return PlainModels(
        endpoints={agent.endpoint: models.endpoint(agent.endpoint) for agent in agents},
        contexts={agent: models.context_length(agent) for agent in agents},
        further={agent: dict(models.request_fields(agent)) for agent in agents},
        prices=prices,
    )


_: type[Record] = Collected
