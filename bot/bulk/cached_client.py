"""Makes calls through a journal: what is on record is not asked again.

    Mixture ─► CachedClient.for_item(…) ─► journal: answered before? ─► the answer, from there
                                              │ no
                                              ▼
                     Budget ─► AdaptiveConcurrency ─► Retrier ─► pool ─► the answer, into the journal

The mixture cannot tell the difference, so a run that was killed is resumed by running it again:
it makes the same requests in the same order and finds them answered. Two that make the same
request at the same time share one call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from bot.bulk.budget import Budget
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.files import Row
from bot.bulk.journal import Journal, key_of
from bot.errors import Failure, FailureKind
from bot.messages import Ask, CallUpdate, Completion, Request, Retrying

WHOLE = 3600.0
"""Seconds between deltas: these answers are not shown while they grow."""
TRUNCATION_RETRIES = 2
"""How often an answer that broke off is asked for again."""

_TOO_MANY = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED})
_FATAL = frozenset({FailureKind.KEY_REFUSED, FailureKind.NOT_FOUND, FailureKind.FORBIDDEN, FailureKind.QUOTA})


@dataclass(slots=True)
class CallStats:
    """Calls so far: requests made, answers from the journal (`cached`), US dollars `spent`.

    `unpriced` calls are of unknown price; `failures` counts failed calls by kind; `fatal` is a
    failure that every further request to this model would meet.
    """

    asked: int = 0
    cached: int = 0
    retries: int = 0
    in_flight: int = 0
    spent: float = 0.0
    unpriced: int = 0
    fatal: Failure | None = None
    failures: Counter[FailureKind] = field(default_factory=Counter)

    def add_cost(self, cost: float | None) -> None:
        """Add what a call cost, None when that is unknown."""
        self.spent += cost or 0.0
        self.unpriced += cost is None

    def describe_failures(self) -> str:
        """Return which failures there were, the commonest first, "" when there were none."""
        return ", ".join(f"{count:,} × {kind}" for kind, count in self.failures.most_common())


class CachedClient:
    """Makes calls through a journal, from one event loop."""

    def __init__(
        self, ask: Ask, journal: Journal, *, concurrency: AdaptiveConcurrency, budget: Budget
    ) -> None:
        self.journal, self.concurrency, self.budget = journal, concurrency, budget
        self.stats = CallStats(spent=journal.spent, unpriced=journal.unpriced)
        self._ask = ask
        self._in_flight: dict[str, asyncio.Event] = {}

    def for_item(self, priority: int, sample: str = "") -> Ask:
        """Return a way to ask for one item: those with a lower `priority` number are served first.

        The same request made twice through it is two samples; through another of the same
        `sample` it is the same one again.
        """
        times: Counter[str] = Counter()

        async def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
            key = key_of(request, sample)
            times[key] += 1
            if times[key] > 1:
                key = key_of(request, f"{sample}#{times[key]}")
            yield await self._outcome(request, key, priority)

        return ask

    async def complete(self, request: Request, priority: int, *, fresh: bool = False) -> Completion | Failure:
        """Make one call and return its outcome; a `fresh` answer takes the place of the one on record."""
        key = key_of(request, "")
        return await (self._call if fresh else self._outcome)(request, key, priority)

    def is_recorded(self, request: Request) -> bool:
        """Return whether `complete` would find the outcome of this call in the journal."""
        return self.journal.answer(key_of(request, "")) is not None

    def merge(self, rows: Iterable[Row]) -> None:
        """Add the calls in the rows of another journal to this one's, and to the statistics."""
        for row in rows:
            self.journal.extend([row])
            if "key" in row:
                self.stats.asked += 1
                self.stats.retries += row["retries"]
                self.stats.add_cost(row["cost"])
                if "failure" in row:
                    self.stats.failures[FailureKind(row["failure"]["kind"])] += 1

    async def _outcome(self, request: Request, key: str, priority: int) -> Completion | Failure:
        """Return the answer on record, or that of the same call under way, or make the call."""
        while (known := self.journal.answer(key)) is None and key in self._in_flight:
            await self._in_flight[key].wait()
        if known is not None:
            self.stats.cached += 1
            return known
        self._in_flight[key] = over = asyncio.Event()
        try:
            return await self._call(request, key, priority)
        finally:
            del self._in_flight[key]
            over.set()

    async def _call(self, request: Request, key: str, priority: int) -> Completion | Failure:
        reservation = await self.budget.reserve(request)
        endpoint = request.endpoint.name
        cost: float | None = 0.0
        outcome: Completion | Failure | None = None
        try:
            await self.concurrency.acquire(endpoint, priority)
            self.stats.in_flight += 1
            try:
                outcome, retries = await self._whole_answer(request)
            finally:
                self.stats.in_flight -= 1
                self.concurrency.release(endpoint, success=isinstance(outcome, Completion))
            if isinstance(outcome, Completion):
                cost = self.budget.price(request, outcome.usage)
            self.journal.add(key, request, outcome, cost, retries)
        finally:
            self.budget.settle(reservation, cost)
        self.stats.add_cost(cost)
        if isinstance(outcome, Failure):
            self.stats.failures[outcome.kind] += 1
            if outcome.kind in _FATAL:
                self.stats.fatal = outcome
        return outcome

    async def _whole_answer(self, request: Request) -> tuple[Completion | Failure, int]:
        """Ask, and ask again for an answer that broke off; returns the outcome and the number of retries."""
        request = replace(request, delta_interval=WHOLE, retry_partial=True)
        retries = 0
        outcome: Completion | Failure = Failure(FailureKind.INTERNAL, "no answer came", request.model)
        for attempt in range(1 + TRUNCATION_RETRIES):
            self.stats.asked += 1
            if attempt:
                retries += 1
                self.stats.retries += 1
            async with aclosing(self._ask(request)) as updates:
                async for update in updates:
                    if isinstance(update, Retrying):
                        retries += 1
                        self.stats.retries += 1
                        self._note_refusal(request, update.failure)
                    elif isinstance(update, Completion | Failure):
                        outcome = update
            self._note_refusal(request, outcome)
            if isinstance(outcome, Failure) or not outcome.partial:
                break
            # Half an answer is none: it must not be scored, nor read by other models.
            outcome = Failure(outcome.truncation_kind or FailureKind.CUT, outcome.partial, request.model)
        return outcome, retries

    def _note_refusal(self, request: Request, outcome: Completion | Failure) -> None:
        if isinstance(outcome, Failure) and outcome.kind in _TOO_MANY:
            self.concurrency.decrease(request.endpoint.name)
