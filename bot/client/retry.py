"""Asks again what may succeed a moment later: the one place where that is decided.

A `Retrier` stands between the callers and the pool, in the main process, so that what a service
tells one worker ("too many requests") holds for all of them.

    Mixture ─► Retrier ─► RateLimiter of the endpoint ─► pool
                  ▲                ▲ paused by a 429's Retry-After and by x-ratelimit headers; keeps to
                  │                │ --rate, and to how many calls the service accepts at once
                  └── passing failure before the answer's first text: wait, ask again ──┘

A server that is loading its model is asked until it is loaded, up to `LOADING_SECONDS`.

Asked again: 429, 5xx, timeouts, lost connections, a stream cut before its first text; once: an answer
that cannot be read. Never: a refused key or request, an unknown model, a context that is too long, a
content filter, a quota that is used up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import replace
from time import monotonic

from bot.errors import Failure, FailureKind
from bot.messages import (
    Ask,
    CallUpdate,
    Completion,
    Delta,
    Dequeued,
    Endpoint,
    Queued,
    RateLimitHint,
    Request,
    Retrying,
)
from bot.text.numbers import duration
from bot.text.words import is_blank

TRIES = 3
FIRST_WAIT = 0.5
LONGEST_WAIT = 20.0
"""Seconds: a person is waiting. A service that asks for a longer wait counts as failed."""
LOADING_SECONDS = 300.0
"""A large model takes minutes from a slow disk."""
LOADING_WAIT = 2.0
"""Seconds between two questions to a server that is loading its model."""
STAGGER = 0.05
"""Seconds between the requests that leave after a pause."""

Clock = Callable[[], float]
"""Returns seconds that only grow."""
Sleep = Callable[[float], Awaitable[None]]


class RateLimiter:
    """Decides when requests to one endpoint leave: none during a pause, no more than `rate` a minute.

    `parallel` is how many calls may be under way at once, None: any number.
    """

    def __init__(
        self, rate: float | None = None, parallel: int | None = None, *, clock: Clock = monotonic
    ) -> None:
        self._parallel = asyncio.Semaphore(parallel) if parallel else None
        self._spacing = 60.0 / rate if rate else 0.0
        self._clock = clock
        self._paused_until = 0.0
        self._next = 0.0

    @property
    def has_parallel_limit(self) -> bool:
        """Whether calls may have to wait for one another."""
        return self._parallel is not None

    @property
    def full(self) -> bool:
        """Whether the next call has to wait for another one."""
        return self._parallel is not None and self._parallel.locked()

    def parallel_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a slot for one call under way; entering it waits until one is free."""
        return self._parallel or nullcontext()

    def pause(self, seconds: float) -> None:
        """Let no request leave for so long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def reserve(self) -> float:
        """Reserve the next departure; returns the seconds until then."""
        now = self._clock()
        departure = max(now, self._paused_until, self._next)
        paused = self._paused_until > now
        self._next = departure + max(self._spacing, STAGGER if paused else 0.0)
        return departure - now


class Retrier:
    """A way to ask that asks again.

    `rate` is requests a minute to each endpoint that has no rate of its own, None: no limit. A wait
    longer than `longest_wait` seconds is not waited. With `count_waiting`, the seconds of a completion
    count from the first try on, else they are those of its own try. `jitter` returns a number from 0
    to 1.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        tries: int = TRIES,
        rate: float | None = None,
        longest_wait: float = LONGEST_WAIT,
        count_waiting: bool = True,
        clock: Clock = monotonic,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ask, self._tries, self._rate, self._longest_wait = ask, tries, rate, longest_wait
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._count_waiting = count_waiting
        self._limiters: dict[tuple[str, str | None], RateLimiter] = {}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call, in several tries if need be; the last update is a completion or a failure."""
        started = self._clock()
        limiter = self._limiter(request.endpoint)
        garbled = attempt = 0
        while True:
            attempt += 1
            has_text = False
            last: CallUpdate | None = None
            if limiter.full:
                yield Queued()
            async with limiter.parallel_slot():
                async with aclosing(self._depart(request, limiter, attempt)) as updates:
                    async for update in updates:
                        yield update
                before = self._clock() - started
                async with aclosing(self._ask(request)) as updates:
                    async for last in updates:
                        if isinstance(last, RateLimitHint):
                            limiter.pause(min(last.seconds, self._longest_wait))
                        elif not isinstance(last, Completion | Failure):
                            has_text = has_text or (isinstance(last, Delta) and not is_blank(last.text))
                            yield last
            if isinstance(last, Completion):
                yield _with_earlier_tries(last, attempt, before if self._count_waiting else 0.0)
                return
            failure = last if isinstance(last, Failure) else _no_result(request)
            loading = failure.kind is FailureKind.LOADING
            loading = loading and not has_text and self._clock() - started < LOADING_SECONDS
            wait = LOADING_WAIT if loading else backoff(attempt, failure.retry_after, self._jitter)
            garbled += failure.kind is FailureKind.GARBLED
            may_pass = failure.kind.worth_retrying or (failure.kind is FailureKind.GARBLED and garbled == 1)
            too_long = may_pass and wait > self._longest_wait
            if not loading and (has_text or attempt >= self._tries or too_long or not may_pass):
                yield _asks_too_long(failure, wait) if too_long else failure
                return
            if failure.kind is FailureKind.RATE_LIMITED:
                limiter.pause(wait)
            yield Retrying(failure, attempt, wait)
            await self._sleep(wait)
            attempt -= loading  # waiting for a model is no try

    async def _depart(
        self, request: Request, limiter: RateLimiter, attempt: int
    ) -> AsyncGenerator[CallUpdate, None]:
        """Wait until the request may be sent; yields what there is to say about that."""
        if limiter.has_parallel_limit:
            yield Dequeued(loaded=False)
        if wait := limiter.reserve():
            if wait > STAGGER:
                paused = Failure(FailureKind.RATE_LIMITED, "", request.model)
                yield Retrying(paused, attempt - 1, wait)
            await self._sleep(wait)

    def _limiter(self, endpoint: Endpoint) -> RateLimiter:
        key = (endpoint.base_url, endpoint.key)
        if key not in self._limiters:
            rate = endpoint.rate or self._rate
            self._limiters[key] = RateLimiter(rate, endpoint.parallel, clock=self._clock)
        return self._limiters[key]


def _no_result(request: Request) -> Failure:
    return Failure(FailureKind.INTERNAL, "the call ended without a result", request.model)


def _asks_too_long(failure: Failure, wait: float) -> Failure:
    return replace(failure, hint=f"the service asks to wait {duration(round(wait))}")


def _with_earlier_tries(completion: Completion, attempt: int, before: float) -> Completion:
    """Return the completion of try `attempt`, with the seconds `before` that try counted in."""
    if attempt == 1:
        return completion
    first = completion.first_token
    return replace(
        completion,
        retries=attempt - 1,
        first_token=None if first is None else first + before,
        seconds=completion.seconds + before,
    )


def backoff(attempt: int, asked: float | None, jitter: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after try `attempt` (from 1).

    What the service `asked` for; else exponential, between half and all of FIRST_WAIT × 2^(attempt - 1),
    at most LONGEST_WAIT.
    """
    if asked is not None:
        return asked
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * (0.5 + jitter() / 2)
