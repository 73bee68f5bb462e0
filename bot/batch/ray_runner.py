"""The same batch on a Ray cluster: the same rows, the same files, the same resume.

    driver: pending rows ─► Ray Data ─► actors, one process each, on any machine of the cluster
       ▲                                   └─ each makes its calls in an event loop of its own
       └── answers and calls come back, and are written here, into the files of every batch

The cluster is the one that --ray_address or RAY_ADDRESS names, else one on this machine. The program and
its libraries have to be installed on all of its machines; keys travel to them inside the cluster. The block
of an actor that died, with its machine or alone, is answered by another. Needs the extra `ray`.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.app.known_models import KnownModels
from bot.app.signals import handle_signals
from bot.batch.answers import line_of
from bot.bulk.answering import answer_item, sample_numbers
from bot.bulk.budget import Budget, BudgetSpentError
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.files import Row
from bot.bulk.journal import Journal
from bot.bulk.rows import PromptRow
from bot.bulk.runner import RunResult, bulk_retrier, price_of
from bot.client.adapt import RequestAdapter
from bot.errors import MoaError, needs_extra

if TYPE_CHECKING:
    from bot.batch.batch import Batch
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # Else it warns at every start of actors; that the level was set is a line of its own.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What Ray must not write to our stderr, nor send to its makers."""
BLOCK_ROWS = 16
"""Rows that an actor gets at a time: what is asked again when an actor or the driver is killed."""

Blocks = asyncio.Queue[Row | BaseException | None]


@dataclass(frozen=True, slots=True)
class ActorConfig:
    """What every actor is given once; the settings hold the keys, `max_cost` is the actor's share.

    `is_draining` says whether blocks that were not begun are to be left.
    """

    settings: Settings
    plan: Plan
    concurrency: int
    max_cost: float | None
    is_draining: Callable[[], bool]


class DrainFlag:
    """Whether the user wants to stop: an actor beside the driver, which the others ask before each block."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Let no further block be begun."""
        self._set = True

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._set


class Actor:
    """Answers blocks of rows, all rows of a block at once as far as the concurrency allows."""

    def __init__(self, config: ActorConfig) -> None:
        from bot.client.provider import Provider  # noqa: PLC0415 - in Ray's workers only

        self._config = config
        self._models = KnownModels(config.settings, {})
        self._runner = asyncio.Runner()
        self._runner.get_loop()
        ask = RequestAdapter(Provider().complete, self._models.adaptation)
        self._ask = bulk_retrier(ask, config.settings.rate)
        self._concurrency = AdaptiveConcurrency(config.concurrency)
        self._spent = 0.0

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Answer a block of pickled rows; returns answers, calls and why it stopped, as JSON."""
        if self._config.is_draining():
            return {"done": [json.dumps({"answers": [], "calls": [], "stopped": ""})]}
        rows = [pickle.loads(row) for row in block["row"]]  # noqa: S301 - the driver's own
        return {"done": [json.dumps(self._runner.run(self._answer(rows, block["sample"])))]}

    async def _answer(self, rows: list[PromptRow], samples: list[str]) -> Row:
        config, journal = self._config, Journal()
        budget = Budget(price_of(config.settings), config.max_cost, self._spent)
        client = CachedClient(self._ask, journal, concurrency=self._concurrency, budget=budget)
        answers: list[Row] = []
        stopped = ""

        async def work(priority: int, row: PromptRow, sample: str) -> None:
            nonlocal stopped
            ask = client.for_item(priority, str(sample))
            try:
                plan = row.plan_for(config.plan)
                answer, result = await answer_item(
                    str(row.index), row.turns, plan, ask, self._models, before=row.history
                )
            except BudgetSpentError as error:
                stopped = error.message
            else:
                answers.append(line_of(row, answer, result))

        await asyncio.gather(*map(work, range(len(rows)), rows, samples))
        self._spent = budget.spent
        return {"answers": answers, "calls": list(journal.rows()), "stopped": stopped}


class Cluster:
    """A connection to a Ray cluster, made by `start`."""

    def __init__(self, batch: Batch) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        with needs_extra("ray"):
            import ray  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - an extra
            import ray.data  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - an extra
        self._ray: Any = ray
        self._batch = batch
        self._flag: Any = None

    def drain(self) -> None:
        """Let no further block be begun."""
        if self._flag is not None:
            self._flag.set.remote()

    def close(self) -> None:
        """Leave the cluster, or end the one that was made here."""
        self._ray.shutdown()

    def start(self, rows: dict[int, PromptRow], blocks: Blocks) -> None:
        """Have the rows answered in a thread; the blocks, and at last an error or None, go into the queue."""
        loop = asyncio.get_running_loop()

        def execute() -> None:
            last: BaseException | None = None
            try:
                for block in self._execute(rows):
                    loop.call_soon_threadsafe(blocks.put_nowait, block)
            except BaseException as error:  # noqa: BLE001 - raised again in the loop
                last = error
            with suppress(RuntimeError):  # the loop is closed: the program is leaving
                loop.call_soon_threadsafe(blocks.put_nowait, last)

        threading.Thread(target=execute, daemon=True).start()

    def _execute(self, rows: dict[int, PromptRow]) -> Iterator[Row]:
        """Start Ray and yield what the actors return, as it comes."""
        ray, batch = self._ray, self._batch
        if not ray.is_initialized():
            address = batch.options.ray_address
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="error")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        settings, options = batch.app.settings, batch.options
        cores = int(ray.cluster_resources().get("CPU", 1))
        actors = max(1, min(settings.num_proc or cores, cores, len(rows)))
        spent = batch.client.stats.spent
        share = None if options.max_cost is None else max(0.0, options.max_cost - spent) / actors
        for agent in batch.plan.agents():
            endpoint = batch.app.models.endpoint(agent.endpoint)
            settings = settings.with_endpoint(endpoint.name, endpoint.base_url, endpoint.key)
        concurrency = max(1, options.concurrency // actors)
        config = ActorConfig(settings, batch.plan, concurrency, share, self._make_flag())
        samples = sample_numbers(row.turns for row in batch.rows)
        items = [{"row": pickle.dumps(row), "sample": samples[row.index]} for row in rows.values()]
        size = max(1, min(BLOCK_ROWS, len(rows) // (2 * actors)))
        data = ray.data.from_items(items, override_num_blocks=-(-len(items) // size)).map_batches(
            Actor,
            fn_constructor_args=(config,),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
        )
        for row in data.iter_rows():
            block: Row = json.loads(row["done"])
            yield block

    def _make_flag(self) -> Callable[[], bool]:
        """Make the flag on the driver's machine; returns what asks it."""
        ray = self._ray
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        flag = ray.remote(DrainFlag).options(num_cpus=0, scheduling_strategy=here).remote()
        self._flag = flag

        def is_draining() -> bool:
            return bool(ray.get(flag.is_set.remote()))

        return is_draining


async def run_on_ray(batch: Batch, pending: int) -> RunResult:
    """Answer the pending rows on the cluster; the driver alone writes files.

    The first Ctrl-C lets the blocks under way finish, the second stops at once. MoaError when Ray fails.
    """
    cluster, result = Cluster(batch), RunResult()
    blocks: Blocks = asyncio.Queue()
    rows = {row.index: row for row in batch.pending()}

    def stop() -> None:
        result.interrupted = True
        blocks.put_nowait(None)

    def drain() -> None:
        if result.interrupted:
            stop()
            return
        result.interrupted = True
        batch.progress.note("finishing what is under way; Ctrl-C again stops at once")
        cluster.drain()

    # Ray prints to stdout, where only replies belong, what happens to its machines.
    reports = sys.stderr if batch.app.settings.verbose else io.StringIO()
    batch.progress.begin("batch on Ray", pending, batch.client.stats)
    with (
        redirect_stdout(reports),
        handle_signals(drain, ("SIGINT",)),
        handle_signals(stop, ("SIGTERM", "SIGHUP")),
    ):
        cluster.start(rows, blocks)
        try:
            while (block := await blocks.get()) is not None:
                if isinstance(block, BaseException):
                    raise MoaError(f"Ray: {' '.join(str(block).split())[-300:]}") from block
                _keep(batch, rows, block)
                if block["stopped"]:
                    result.error = MoaError(block["stopped"])
        finally:
            await asyncio.to_thread(cluster.close)
            batch.progress.end()
    return result


def _keep(batch: Batch, rows: dict[int, PromptRow], block: Row) -> None:
    """Write a block's answers and calls into the batch's files."""
    batch.client.merge(block["calls"])
    for line in block["answers"]:
        batch.answers.add(rows[line["index"]], line)
        batch.progress.item(failed=bool(line["error"]), cached=False)
    batch.progress.refresh()
