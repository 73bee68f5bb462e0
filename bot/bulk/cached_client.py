"""A way to ask that keeps what it hears: the journal between a mixture and the pool.

    Mixture ─► Asker.of(item) ─► journal: answered before? ─► the answer, from there
                                    │ no
                                    ▼
                     budget ─► gate ─► Retrier ─► pool ─► the answer, into the journal

The mixture cannot tell the difference, so a run that was killed is resumed by running it again:
it asks for the same things in the same order and finds them answered. Two that ask for the same
thing at the same time share one request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from bot.bulk.budget import Budget
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Record, key_of
from bot.errors import Failure, FailureKind
from bot.messages import Ask, CallUpdate, Completion, Request, Retrying

WHOLE = 3600.0
"""Seconds: nobody watches these answers grow."""
SECOND_CHANCES = 2
"""How often an answer that broke off is asked for once more."""

_TOO_MANY = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED})
_HOPELESS = frozenset({FailureKind.KEY_REFUSED, FailureKind.NOT_FOUND, FailureKind.FORBIDDEN})


@dataclass(slots=True)
class Tally:
    """What has happened so far: calls, by where their answers came from, and what is under way."""

    asked: int = 0
    answered: int = 0
    replayed: int = 0
    failed: int = 0
    retries: int = 0
    in_flight: int = 0
    spent: float = 0.0
    unpriced: int = 0
    hopeless: Failure | None = None
    """A failure that every further request to this model would meet."""
    kinds: Counter[FailureKind] = field(default_factory=Counter)


class CachedClient:
    """Asks through a journal. To be used from one event loop."""

    def __init__(
        self,
        ask: Ask,
        journal: Record,
        *,
        concurrency: AdaptiveConcurrency,
        budget: Budget,
        tally: Tally | None = None,
    ) -> None:
        self._ask = ask
        self.journal = journal
        self.concurrency = concurrency
        self.budget = budget
        self.tally = tally or Tally(spent=journal.spent, unpriced=journal.unpriced)
        self._open: dict[str, asyncio.Event] = {}

    def of(self, place: int, sample: str = "") -> Ask:
        """Return a way to ask for one item: those with a lower `place` are served first.

        The same request made twice through it is two samples; through another of the same
        `sample` it is the same one again.
        """
        times: Counter[str] = Counter()

        def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
            plain = key_of(request, sample)
            times[plain] += 1
            key = plain if times[plain] == 1 else key_of(request, f"{sample}#{times[plain]}")
            return self._follow(request, key, place)

        return ask

    async def one(self, request: Request, place: int, sample: str = "") -> Completion | Failure:
        """Make one call and return what comes of it."""
        async with aclosing(self.of(place, sample)(request)) as updates:
            async for update in updates:
                if isinstance(update, Completion | Failure):
                    return update
        return Failure(FailureKind.INTERNAL, "the call ended without a result", request.model)

    async def _follow(self, request: Request, key: str, place: int) -> AsyncGenerator[CallUpdate, None]:
        while (known := self.journal.answer(key)) is None and key in self._open:
            await self._open[key].wait()
        if known is not None:
            self.tally.replayed += 1
            yield known
            return
        self._open[key] = over = asyncio.Event()
        try:
            outcome = await self._make(request, key, place)
        finally:
            del self._open[key]
            over.set()
        yield outcome

    async def _make(self, request: Request, key: str, place: int) -> Completion | Failure:
        aside = await self.budget.set_aside(request)
        cost: float | None = 0.0
        try:
            lane = request.endpoint.name
            await self.concurrency.enter(lane, place)
            outcome: Completion | Failure | None = None
            self.tally.in_flight += 1
            try:
                outcome, retries = await self._tries(request, lane)
            finally:
                self.tally.in_flight -= 1
                self.concurrency.leave(lane, well=isinstance(outcome, Completion))
            if isinstance(outcome, Completion):
                cost = self.budget.price(request, outcome.usage)
            self.journal.add(key, request, outcome, cost, retries)
        finally:
            self.budget.settle(aside, cost)
        self._count(outcome, cost)
        return outcome

    async def _tries(self, request: Request, lane: str) -> tuple[Completion | Failure, int]:
        """Ask, and ask again for an answer that broke off; returns what came and the retries it took."""
        retries = 0
        outcome: Completion | Failure = Failure(FailureKind.INTERNAL, "no answer came", request.model)
        for chance in range(1 + SECOND_CHANCES):
            self.tally.asked += 1
            if chance:
                retries += 1
                self.tally.retries += 1
            async with aclosing(
                self._ask(replace(request, delta_interval=WHOLE, retry_partial=True))
            ) as updates:
                async for update in updates:
                    if isinstance(update, Retrying):
                        retries += 1
                        self.tally.retries += 1
                        if update.failure.kind in _TOO_MANY:
                            self.concurrency.refused(lane)
                    elif isinstance(update, Completion | Failure):
                        outcome = update
            if isinstance(outcome, Failure) and outcome.kind in _TOO_MANY:
                self.concurrency.refused(lane)
            if isinstance(outcome, Failure) or not outcome.partial:
                return outcome, retries
            # Half an answer is none: it must not be scored, nor read by other models.
            outcome = Failure(outcome.truncation_kind or FailureKind.CUT, outcome.partial, request.model)
        return outcome, retries

    def _count(self, outcome: Completion | Failure, cost: float | None) -> None:
        tally = self.tally
        if cost is None:
            tally.unpriced += 1
        else:
            tally.spent += cost
        if isinstance(outcome, Completion):
            tally.answered += 1
            return
        tally.failed += 1
        tally.kinds[outcome.kind] += 1
        if outcome.kind in _HOPELESS:
            tally.hopeless = outcome
