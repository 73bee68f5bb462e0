"""Runs many items at once over one pool: the loop that evaluations and batches share.

    items ─► N tasks, in order ─► work(place, item) ─► done(place, item, result)
                  │                     └─ asks through an Asker, whose journal makes it resumable
                  └─ Ctrl-C: no new item is begun, calls under way are dropped, what came is kept

What an item is and what is done with it is the caller's; that a failed item never stops the others,
that hopeless runs stop, and that a person sees how far it is, is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bot.bulk.cached_client import CachedClient, Tally
from bot.bulk.progress import Progress
from bot.errors import ExitCode, MoaError, TurnFailedError

HOPELESS_ROW = 25
"""So many failures in a row, with nothing answered in between: the service is gone."""
TICK_SECONDS = 0.25

T = TypeVar("T")


class Result(Protocol):
    """What the runner must know of an item's result."""

    @property
    def failed(self) -> bool:
        """Whether the item has no answer."""


R = TypeVar("R", bound=Result)


@dataclass(slots=True)
class Outcome:
    """How a run over items ended: items done and failed, and what stopped it early, if anything did."""

    done: int = 0
    failed: int = 0
    interrupted: bool = False
    error: MoaError | None = None

    @property
    def complete(self) -> bool:
        """Whether every item has had its turn."""
        return not self.interrupted and self.error is None

    def code(self, errors: int, max_errors: int) -> ExitCode:
        """Return the exit code of a run with so many errors where so many are allowed."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.error is not None:
            return self.error.exit_code
        return ExitCode.FAILED if errors > max_errors else ExitCode.DONE


class Runner(Generic[T, R]):
    """Runs items through `work`, `at_once` of them at the same time, over one asker."""

    def __init__(
        self,
        work: Callable[[int, T], Awaitable[R]],
        cached_client: CachedClient,
        progress: Progress,
        *,
        at_once: int,
        done: Callable[[int, T, R], None] | None = None,
    ) -> None:
        self._work, self._asker, self._progress = work, cached_client, progress
        self._at_once = max(1, at_once)
        self._done = done
        self._row = 0
        self._over = asyncio.Event()
        self.outcome = Outcome()

    async def run(self, label: str, items: Iterable[T], total: int | None = None) -> Outcome:
        """Run all items; returns how it ended, and raises nothing that an item may cause."""
        from bot.app.signals import handle_signals

        self._progress.begin(label, total, self._asker.tally)
        source = enumerate(items)
        with handle_signals(self._interrupt):
            tasks = [asyncio.create_task(self._take(source)) for _ in range(self._at_once)]
            watch = asyncio.create_task(self._tick())
            stop = asyncio.create_task(self._over.wait())
            everything = asyncio.gather(*tasks)
            either: set[asyncio.Future[Any]] = {everything, stop}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if everything.done():
                    await everything
            finally:
                for task in (*tasks, watch, stop):
                    task.cancel()
                await asyncio.gather(everything, watch, stop, return_exceptions=True)
                self._asker.journal.sync(now=True)
                self._progress.end()
        return self.outcome

    def _interrupt(self) -> None:
        self.outcome.interrupted = True
        self._over.set()

    def _stop(self, error: MoaError) -> None:
        """Let items under way come to their end, and begin no more."""
        self.outcome.error = self.outcome.error or error

    async def _take(self, source: Iterator[tuple[int, T]]) -> None:
        """Work on one item after the other until there are none, or no sense in going on."""
        for place, item in source:
            if self.outcome.error is not None:
                return
            before = self._asker.tally.asked
            try:
                result = await self._work(place, item)
            except MoaError as error:
                self._stop(error)
                return
            # Others ask at the same time: that nothing was asked meanwhile is sure, the rest a guess.
            old = self._asker.tally.asked == before
            self._count(place, item, result, old=old)
            if old:
                # What is replayed needs no service: let others have their turn all the same.
                await asyncio.sleep(0)

    def _count(self, place: int, item: T, result: R, *, old: bool) -> None:
        outcome, tally = self.outcome, self._asker.tally
        outcome.done += 1
        outcome.failed += result.failed
        self._row = self._row + 1 if result.failed and not old else 0
        self._progress.item(failed=result.failed, old=old)
        if self._done is not None:
            self._done(place, item, result)
        if tally.hopeless is not None:
            self._stop(TurnFailedError(tally.hopeless))
        elif self._row >= HOPELESS_ROW:
            self._stop(MoaError(f"{self._row} in a row failed; the run stops here. {describe(tally)}"))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._progress.tick()
            with suppress(RuntimeError):  # the executor of a loop that is closing
                await asyncio.to_thread(self._asker.journal.sync)


def describe(tally: Tally) -> str:
    """Return which failures there were, the commonest first, "" when there were none."""
    return ", ".join(f"{count:,} × {kind}" for kind, count in tally.kinds.most_common())
