"""Retries, and the limits that all requests to one service share. No test waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

import pytest

from bot.client import error_mapping
from bot.client.retry import LOADING_SECONDS, LONGEST_WAIT, STAGGER, RateLimiter, Retrier, backoff
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Message, RateLimitHint, Request, Retrying

T = TypeVar("T")


class VirtualTime:
    """A clock and a sleep: time passes only when all tasks sleep, and then at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = count()
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleeping, (self.now + seconds, next(self._numbers), over))
        await over

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def main() -> T:
            task = asyncio.ensure_future(work())
            while not task.done():
                for _ in range(50):  # whatever can go on without time passing
                    await asyncio.sleep(0)
                if self._sleeping:
                    self.now, _, over = heappop(self._sleeping)
                    over.set_result(None)
            return task.result()

        return asyncio.run(main())

    def retrier(self, ask: Any, **more: Any) -> Retrier:
        return Retrier(ask, clock=self.clock, sleep=self.sleep, jitter=lambda: 1.0, **more)


def request(model: str = "m", base_url: str = "http://one/v1", **endpoint: Any) -> Request:
    return Request(Endpoint("e", base_url, **endpoint), model, (Message("user", "hi"),), 0.7, 10)


class Scripted:
    """A way to ask that gives one scripted list of updates a try, and keeps when each was asked.

    Each try takes `seconds`; when the script is over, all tries are answered.
    """

    def __init__(self, *tries: list[CallUpdate], seconds: float = 0.0) -> None:
        self.time = VirtualTime()
        self.tries, self.seconds = list(tries), seconds
        self.asked: list[tuple[str, float]] = []

    @property
    def times(self) -> list[float]:
        return [when for _, when in self.asked]

    async def __call__(self, asked: Request) -> AsyncGenerator[CallUpdate, None]:
        self.asked.append((asked.endpoint.base_url, self.time.now - 1000.0))
        await self.time.sleep(self.seconds)
        for update in self.tries.pop(0) if self.tries else [Completion("late")]:
            yield update


SOON = 0.05


def fails(kind: FailureKind, after: float | None = SOON) -> list[CallUpdate]:
    return [Failure(kind, "why", "m", retry_after=after)]


def ask(script: Scripted, asked: Request | None = None, **more: Any) -> list[CallUpdate]:
    async def run() -> list[CallUpdate]:
        return [update async for update in script.time.retrier(script, **more)(asked or request())]

    return script.time.run(run)


PASSING = [kind for kind in FailureKind if kind.worth_retrying]


@pytest.mark.parametrize("kind", [kind for kind in PASSING if kind is not FailureKind.LOADING])
def test_passing_failures_are_retried(kind: FailureKind) -> None:
    """A passing failure is reported; the next try's answer is the call's, with the tries counted."""
    got = ask(Scripted(fails(kind), [Completion("yes", seconds=1.0, first_token=0.5)]))
    assert isinstance(got[0], Retrying)
    last = got[-1]
    assert isinstance(last, Completion)
    assert (last.text, last.retries) == ("yes", 1)
    assert last.seconds == pytest.approx(1.0 + SOON)
    assert last.first_token == pytest.approx(0.5 + SOON)


def test_a_model_that_is_being_loaded() -> None:
    """It is waited for, which is reported and is no try; not for ever."""
    loading = fails(FailureKind.LOADING, None)
    *reports, last = ask(Scripted(*[loading] * 40, fails(FailureKind.SERVICE), [Completion("yes")]))
    assert [type(report) for report in reports] == [Retrying] * 41
    assert isinstance(last, Completion)
    assert (last.text, last.retries) == ("yes", 1)
    script = Scripted(*[loading] * 1000)
    *_, last = ask(script)
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.LOADING
    assert LOADING_SECONDS <= script.times[-1] < LOADING_SECONDS + 10


@pytest.mark.parametrize(
    "kind", [kind for kind in FailureKind if kind not in PASSING and kind is not FailureKind.GARBLED]
)
def test_other_failures_are_not_retried(kind: FailureKind) -> None:
    """Such a call is made once, and its failure is the result."""
    script = Scripted(fails(kind))
    assert ask(script) == fails(kind)
    assert len(script.asked) == 1


@pytest.mark.parametrize("before", [[], [Delta(" \n")], [Delta("\u200b")], [Delta(reasoning="hm")]], ids=str)
def test_an_unreadable_answer_is_asked_for_once_more(before: list[CallUpdate]) -> None:
    """Before a word was shown, whatever else has come; a second one is the result."""
    garbled = [*before, *fails(FailureKind.GARBLED)]
    assert isinstance(ask(Scripted(garbled, [Completion("yes")]))[-1], Completion)
    script = Scripted(garbled, garbled)
    assert ask(script)[-1] == garbled[-1]
    assert len(script.asked) == 2


def test_an_unreadable_answer_after_another_failure() -> None:
    """It has its own try; after a word there is none."""
    script = Scripted(fails(FailureKind.SERVICE), fails(FailureKind.GARBLED), [Completion("yes")])
    assert isinstance(ask(script)[-1], Completion)
    script = Scripted([Delta("word"), *fails(FailureKind.GARBLED)])
    assert isinstance(ask(script)[-1], Failure)
    assert len(script.asked) == 1


def test_a_quota_keeps_its_hint() -> None:
    """A long Retry-After does not turn a bill into a wait."""
    quota = Failure(FailureKind.QUOTA, "pay", "m", retry_after=86_400.0, hint="check billing")
    assert ask(Scripted([quota])) == [quota]


def test_the_number_of_tries() -> None:
    """After the last try the failure is the result."""
    script = Scripted(*[fails(FailureKind.SERVICE)] * 5)
    got = ask(script, tries=3)
    assert [type(update) for update in got] == [Retrying, Retrying, Failure]


def test_no_retry_once_text_has_come() -> None:
    """Text that was shown cannot be withdrawn, thinking can."""
    script = Scripted([Delta("word"), *fails(FailureKind.CUT)])
    assert isinstance(ask(script)[-1], Failure)
    script = Scripted([Delta(reasoning="hm"), *fails(FailureKind.CUT)], [Completion("yes")])
    assert isinstance(ask(script)[-1], Completion)


def test_a_wait_that_is_too_long() -> None:
    """A service that asks for minutes counts as failed, and the hint says how long it asks for."""
    [failure] = ask(Scripted(fails(FailureKind.RATE_LIMITED, 300.0)))
    assert isinstance(failure, Failure)
    assert "5 min 00 s" in failure.hint


def test_the_longest_wait_is_waited_and_no_longer() -> None:
    """A wait of just that many seconds is waited, one that is longer is not."""
    script = Scripted(fails(FailureKind.OVERLOADED, 3.0))
    assert isinstance(ask(script, longest_wait=3.0)[-1], Completion)
    assert script.times == [0.0, 3.0]
    script = Scripted(fails(FailureKind.OVERLOADED, 3.1))
    [failure] = ask(script, longest_wait=3.0)
    assert isinstance(failure, Failure)
    assert failure.hint == "the service asks to wait 3 s"
    assert script.times == [0.0]


def test_the_times_of_a_call_count_from_its_first_try() -> None:
    """Two tries and two waits come before the third try's own times; each retry is reported with its wait."""
    failing = fails(FailureKind.SERVICE, None)
    script = Scripted(failing, failing, [Completion("yes", first_token=0.25, seconds=4.0)], seconds=2.0)
    first, second, last = ask(script)
    assert first == Retrying(failing[0], 1, 0.5)
    assert second == Retrying(failing[0], 2, 1.0)
    assert script.times == [0.0, 2.5, 5.5]
    assert last == Completion("yes", first_token=5.75, seconds=9.5, retries=2)


def test_an_answer_without_a_token_has_no_first_token_after_retries_either() -> None:
    """What never came has no time."""
    script = Scripted(fails(FailureKind.SERVICE, 1.0), [Completion("", seconds=0.5)])
    assert ask(script)[-1] == Completion("", seconds=1.5, retries=1)


def test_a_rate_limit_holds_all_requests_to_the_service() -> None:
    """After a 429 to one request, the others leave when its wait is over, one by one."""
    script = Scripted([Failure(FailureKind.RATE_LIMITED, "", "m", 429, retry_after=10.0)])

    async def run() -> list[list[CallUpdate]]:
        retrier = script.time.retrier(script)

        async def one(base_url: str = "http://one/v1") -> list[CallUpdate]:
            return [update async for update in retrier(request(base_url=base_url))]

        first = asyncio.ensure_future(one())
        await script.time.sleep(1.0)
        return await asyncio.gather(first, one(), one(), one("http://two/v1"))

    first, second, third, other = script.time.run(run)
    assert [when for url, when in script.asked if url == "http://two/v1"] == [1.0]
    times = [when for url, when in script.asked if url == "http://one/v1"]
    assert times == [0.0, *(pytest.approx(10.0 + STAGGER * place) for place in range(3))]
    assert [type(update) for update in first] == [Retrying, Retrying, Completion]
    assert second == [Retrying(Failure(FailureKind.RATE_LIMITED, "", "m"), 0, 9.0), Completion("late")]
    assert third[0].wait == pytest.approx(9.0 + STAGGER)
    assert other == [Completion("late")]


def test_the_rate_limit_headers_of_an_answer() -> None:
    """They delay the next request, for the longest wait at most."""
    script = Scripted(
        [RateLimitHint(7.0), Completion("one")],
        [RateLimitHint(300.0), Completion("two")],
        [Completion("three")],
    )

    async def run() -> list[CallUpdate]:
        retrier = script.time.retrier(script)
        return [update for _ in range(3) async for update in retrier(request())]

    updates = script.time.run(run)
    assert not any(isinstance(update, RateLimitHint) for update in updates)
    assert script.times == [0.0, 7.0, 7.0 + LONGEST_WAIT]


def test_the_end_of_a_pause_is_staggered() -> None:
    """Requests that wait for it leave one after the other, later ones at once."""
    time = VirtualTime()
    limiter = RateLimiter(clock=time.clock)
    assert [limiter.reserve() for _ in range(2)] == [0.0, 0.0]
    limiter.pause(10.0)
    limiter.pause(4.0)
    assert [limiter.reserve() for _ in range(3)] == [10.0, pytest.approx(10.05), pytest.approx(10.1)]
    time.now += 11.0
    assert [limiter.reserve() for _ in range(2)] == [0.0, 0.0]


def test_a_known_rate() -> None:
    """With a rate, requests leave evenly; the rate wins over the stagger."""
    time = VirtualTime()
    limiter = RateLimiter(rate=600, clock=time.clock)
    assert [limiter.reserve() for _ in range(4)] == [0.0, *(pytest.approx(wait) for wait in (0.1, 0.2, 0.3))]
    limiter.pause(10.0)
    assert [limiter.reserve() for _ in range(2)] == [10.0, pytest.approx(10.1)]


def test_backoff_grows_and_is_jittered() -> None:
    """What the service asks for counts; else it doubles up to the longest wait, with jitter."""
    assert backoff(1, 7.5) == 7.5
    assert 0.25 <= backoff(1, None) <= 0.5
    assert 1.0 <= backoff(3, None) <= 2.0
    assert len({backoff(3, None) for _ in range(5)}) > 1
    assert [backoff(attempt, None, lambda: 1.0) for attempt in (1, 2, 6, 7, 50)] == [
        0.5,
        1.0,
        16.0,
        20.0,
        20.0,
    ]
    assert backoff(3, None, lambda: 0.0) == 1.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "3"}, 3.0),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "3"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], seconds: float | None) -> None:
    """OpenAI's and Together's forms are understood, others are ignored."""
    assert error_mapping.rate_limit_reset(headers) == seconds
