"""Asks again what may succeed a moment later: the one place where that is decided.

Stands between whoever asks and the pool, in the main process, so that all workers heed what one
of them was told: six models behind one key do not storm a service that has just said "too many".

    Mixture ─► Retrier ─► Gate of the endpoint ─► pool
                  ▲                ▲ held by a 429's Retry-After, by x-ratelimit headers, by --rate,
                  │                │ and by how many calls the service takes at once
                  └── passing failure before the answer's first word: wait, again ──┘

Tried again: 429, 5xx, timeouts, lost connections, a stream cut before its first word, a worker
that died. Never: a refused key or request, an unknown model, a context too long, a filter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import replace
from time import monotonic

from bot.errors import Failure, FailureKind
from bot.messages import Ask, CallUpdate, Completion, Delta, Endpoint, RateLimitHint, Request, Retrying
from bot.text.numbers import duration

TRIES = 3
FIRST_WAIT = 0.5
LONGEST_WAIT = 20.0
"""Seconds: somebody is waiting. A service that asks for more is told as failed."""
STAGGER = 0.05
"""Seconds between the requests that leave once a gate opens again."""


class RateLimiter:
    """Lets requests to one endpoint through: none while it is held, no more than `rate` a minute.

    `parallel` is how many calls may be under way at once, None: any number.
    """

    def __init__(self, rate: float | None = None, parallel: int | None = None) -> None:
        self._places = asyncio.Semaphore(parallel) if parallel else None
        self._spacing = 60.0 / rate if rate else 0.0
        self._opens = 0.0
        self._next = 0.0

    def place(self) -> AbstractAsyncContextManager[None]:
        """Return one of the places of calls under way; entering it waits until one is free."""
        return self._places or nullcontext()

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._opens = max(self._opens, monotonic() + seconds)

    def wait(self) -> float:
        """Take the next place; returns the seconds until its turn."""
        now = monotonic()
        turn = max(now, self._opens, self._next)
        held = self._opens > now
        self._next = turn + max(self._spacing, STAGGER if held else 0.0)
        return turn - now


class Retrier:
    """A way to ask that asks again.

    `rate` is requests a minute to each endpoint that has no rate of its own, None: no limit.
    """

    def __init__(
        self, ask: Ask, *, tries: int = TRIES, rate: float | None = None, longest_wait: float = LONGEST_WAIT
    ) -> None:
        self._ask, self._tries, self._rate, self._longest = ask, tries, rate, longest_wait
        self._limiters: dict[tuple[str, str | None], RateLimiter] = {}

    async def __call__(self, request: Request) -> AsyncGenerator[CallUpdate, None]:
        """Make one call, in several tries if need be; the last update is a completion or a failure."""
        started = monotonic()
        limiter = self._limiter(request.endpoint)
        for attempt in range(1, self._tries + 1):
            said = False
            last: CallUpdate | None = None
            async with limiter.place():
                if before := limiter.wait():
                    if before > STAGGER:
                        held = Failure(FailureKind.RATE_LIMITED, "", request.model)
                        yield Retrying(held, attempt - 1, before)
                    await asyncio.sleep(before)
                tried = monotonic() - started
                async with aclosing(self._ask(request)) as updates:
                    async for last in updates:
                        if isinstance(last, RateLimitHint):
                            limiter.hold(min(last.seconds, self._longest))
                        elif not isinstance(last, Completion | Failure):
                            said = said or (isinstance(last, Delta) and bool(last.text))
                            yield last
            if isinstance(last, Completion):
                yield _whole(last, attempt, tried)
                return
            failure = last if isinstance(last, Failure) else _nothing(request)
            wait = backoff(attempt, failure.retry_after)
            if said or attempt == self._tries or not self._again(failure, wait):
                yield failure if wait <= self._longest else _asks_too_long(failure, wait)
                return
            if failure.kind is FailureKind.RATE_LIMITED:
                limiter.hold(wait)
            yield Retrying(failure, attempt, wait)
            await asyncio.sleep(wait)

    def _limiter(self, endpoint: Endpoint) -> RateLimiter:
        key = (endpoint.base_url, endpoint.key)
        if key not in self._limiters:
            self._limiters[key] = RateLimiter(endpoint.rate or self._rate, endpoint.parallel)
        return self._limiters[key]

    def _again(self, failure: Failure, wait: float) -> bool:
        return failure.kind.worth_retrying and wait <= self._longest


def _nothing(request: Request) -> Failure:
    return Failure(FailureKind.INTERNAL, "the call ended without a result", request.model)


def _asks_too_long(failure: Failure, wait: float) -> Failure:
    return replace(failure, hint=f"the service asks to wait {duration(round(wait))}")


def _whole(completion: Completion, attempt: int, before: float) -> Completion:
    """Return the completion with the earlier tries counted in."""
    if attempt == 1:
        return completion
    first = completion.first_token
    return replace(
        completion,
        retries=attempt - 1,
        first_token=None if first is None else first + before,
        seconds=completion.seconds + before,
    )


def backoff(attempt: int, asked: float | None) -> float:
    """Return the seconds to wait after try `attempt` (from 1): what was asked, else jittered exponential."""
    if asked is not None:
        return asked
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
