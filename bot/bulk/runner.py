"""Runs many items at once: what evaluations and batches share, from the open program to the exit code.

    items ─► N tasks, in order ─► work(index, item), through a CachedClient, whose journal makes it resumable
                  └─ Ctrl-C: no new item is begun, those under way are finished; again: they are dropped

What an item is and what is done with it is the caller's. That a failed item never stops the others,
that a run ends when the service is gone, and that a person sees how far it is, is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from bot.app.app import App
from bot.app.signals import handle_signals
from bot.bulk.budget import Price
from bot.bulk.cached_client import CachedClient, CallStats
from bot.bulk.progress import BulkProgress
from bot.client.retry import Retrier
from bot.errors import ExitCode, MoaError, TurnFailedError
from bot.messages import Ask, Request, Usage

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.settings.settings import Settings

CONCURRENCY = 32
"""Requests under way at once by default."""
TRIES = 8
LONGEST_WAIT = 120.0
"""Seconds: a service that asks for a wait of a minute gets it."""
MOST_FAILURES = 25
"""So many failures in a row, with nothing answered in between: the service is gone."""
REFRESH_SECONDS = 0.25

T = TypeVar("T")


async def open_app(stack: AsyncExitStack, settings: Settings, streams: Streams) -> App:
    """Return the open program that a run makes its calls through; it keeps no conversation."""
    verbose = streams.stderr if settings.verbose else None
    return await stack.enter_async_context(App(replace(settings, save=False), streams.say, verbose))


def bulk_retrier(ask: Ask, rate: float | None) -> Retrier:
    """Return the way to ask with retries for a run that nobody waits for at a prompt.

    An answer's seconds are those of the try that made it, without earlier ones and the waits between:
    these say how busy the service was with this run.
    """
    return Retrier(ask, tries=TRIES, rate=rate, longest_wait=LONGEST_WAIT, count_waiting=False)


def price_of(settings: Settings) -> Price:
    """Return what a request costs, by the settings' catalogue; local models cost nothing."""

    def price(request: Request, usage: Usage) -> float | None:
        if settings.is_free(request.model, request.endpoint.name):
            return 0.0
        return settings.catalogue.cost(request.model, usage, request.endpoint.name)

    return price


@dataclass(slots=True)
class RunResult:
    """How a run over items ended: interrupted, or by an error, or else complete."""

    interrupted: bool = False
    error: MoaError | None = None

    @property
    def complete(self) -> bool:
        """Whether every item has been worked on."""
        return not self.interrupted and self.error is None

    def exit_code(self, errors: int, max_errors: int) -> ExitCode:
        """Return the exit code of a run with `errors` failed items, of which `max_errors` are allowed."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.error is not None:
            return self.error.exit_code
        return ExitCode.FAILED if errors > max_errors else ExitCode.DONE

    def say_end(self, say: Callable[[str], None], missing: str, stats: CallStats) -> None:
        """Report why a run is incomplete; `missing` is what it lacks, "" when it lacks nothing."""
        again = "The same command goes on from here."
        rest = f"{missing}. {again}" if missing else again
        if self.error is not None:
            say(f"moa-bot: {self.error.message}")
            for line in filter(None, (self.error.hint, rest)):
                say(f"  {line}")
        elif self.interrupted:
            say(f"moa-bot: interrupted; {rest}")
        elif missing:
            why = stats.describe_failures()
            say(f"moa-bot: {missing}{f' ({why})' if why else ''}. {again}")


class Runner:
    """Works on items through one client, `at_once` of them at the same time."""

    def __init__(self, client: CachedClient, progress: BulkProgress, *, at_once: int) -> None:
        self._client, self._progress, self._at_once = client, progress, max(1, at_once)
        self._failures_in_a_row = 0
        self._result = RunResult()

    async def run(
        self, label: str, items: Iterable[T], work: Callable[[int, T], Awaitable[bool]], total: int
    ) -> RunResult:
        """Have `work` done on each of `total` items; it returns whether the item succeeded.

        Returns how the run ended, and raises nothing that an item may cause.
        """
        self._progress.begin(label, total, self._client.stats)
        source = enumerate(items)
        workers = [asyncio.create_task(self._drain(source, work)) for _ in range(self._at_once)]
        tasks = [*workers, asyncio.create_task(self._refresh())]

        def stop() -> None:
            self._result.interrupted = True
            for task in workers:
                task.cancel()

        def drain() -> None:
            if self._result.interrupted:
                stop()
                return
            self._result.interrupted = True
            self._progress.note("finishing what is under way; Ctrl-C again stops at once")

        with handle_signals(drain, ("SIGINT",)), handle_signals(stop, ("SIGTERM", "SIGHUP")):
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                if not self._result.interrupted:
                    raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._progress.end()
        return self._result

    async def _drain(
        self, source: Iterator[tuple[int, T]], work: Callable[[int, T], Awaitable[bool]]
    ) -> None:
        """Work on one item after the other until there are none, or the run has to stop."""
        stats, result = self._client.stats, self._result
        for index, item in source:
            if result.error is not None or result.interrupted:
                return
            asked = stats.asked
            try:
                success = await work(index, item)
            except MoaError as error:
                result.error = result.error or error
                return
            # Others ask at the same time: that nothing was asked meanwhile is sure, the rest a guess.
            cached = stats.asked == asked
            self._progress.item(failed=not success, cached=cached)
            self._failures_in_a_row = 0 if success or cached else self._failures_in_a_row + 1
            if stats.fatal is not None:
                result.error = result.error or TurnFailedError(stats.fatal)
            elif self._failures_in_a_row >= MOST_FAILURES:
                why = f"{MOST_FAILURES} in a row failed; the run stops here. {stats.describe_failures()}"
                result.error = result.error or MoaError(why)
            if cached:
                await asyncio.sleep(0)  # no call was awaited: let other tasks run

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            self._progress.refresh()
