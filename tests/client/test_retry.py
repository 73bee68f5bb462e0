"""What is asked again, when, and what all requests to one service heed together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from bot.client import error_mapping
from bot.client.retry import RateLimiter, Retrier, backoff
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Message, RateLimitHint, Request, Retrying

SOON = 0.05


def request(model: str = "m", base_url: str = "http://one/v1") -> Request:
    return Request(Endpoint("e", base_url), model, (Message("user", "hi"),), 0.7, 10)


class Scripted:
    """A way to ask that gives one scripted list of updates a try, and keeps when each was asked."""

    def __init__(self, *tries: list[CallUpdate]) -> None:
        self.tries = list(tries)
        self.asked: list[float] = []

    async def __call__(self, asked: Request) -> AsyncGenerator[CallUpdate, None]:
        self.asked.append(time.monotonic())
        for update in self.tries.pop(0) if self.tries else [Completion("late")]:
            yield update


def fails(kind: FailureKind, after: float | None = SOON) -> list[CallUpdate]:
    return [Failure(kind, "why", "m", retry_after=after)]


def ask(script: Scripted, **more: Any) -> list[CallUpdate]:
    async def run() -> list[CallUpdate]:
        return [update async for update in Retrier(script, **more)(request())]

    return asyncio.run(run())


PASSING = [kind for kind in FailureKind if kind.worth_retrying]


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_is_asked_again(kind: FailureKind) -> None:
    """A passing failure is told as such, and the next try's answer is the call's, with the tries counted."""
    got = ask(Scripted(fails(kind), [Completion("yes", seconds=1.0, first_token=0.5)]))
    assert isinstance(got[0], Retrying)
    last = got[-1]
    assert isinstance(last, Completion)
    assert (last.text, last.retries) == ("yes", 1)
    assert 1.0 + SOON <= last.seconds < 1.5
    assert last.first_token
    assert last.first_token >= 0.5 + SOON


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind not in PASSING])
def test_what_does_not_pass_is_the_last_word(kind: FailureKind) -> None:
    """Everything else is never asked twice."""
    script = Scripted(fails(kind))
    assert ask(script) == fails(kind)
    assert len(script.asked) == 1


def test_not_for_ever() -> None:
    """After the last try the failure is told."""
    script = Scripted(*[fails(FailureKind.SERVICE)] * 5)
    got = ask(script, tries=3)
    assert [type(update) for update in got] == [Retrying, Retrying, Failure]


def test_not_once_words_have_come() -> None:
    """Words cannot be taken back, thoughts can."""
    script = Scripted([Delta("word"), *fails(FailureKind.CUT)])
    assert isinstance(ask(script)[-1], Failure)
    script = Scripted([Delta(reasoning="hm"), *fails(FailureKind.CUT)], [Completion("yes")])
    assert isinstance(ask(script)[-1], Completion)


def test_a_wait_that_is_too_long_is_told() -> None:
    """A service that asks for minutes is a failed one, and how long it asks for is said."""
    [failure] = ask(Scripted(fails(FailureKind.RATE_LIMITED, 300.0)))
    assert isinstance(failure, Failure)
    assert "5 min 00 s" in failure.hint


def test_a_limit_holds_everyone_at_the_same_service() -> None:
    """What one request was told, those behind it heed: none of them is sent before the time."""

    class Limited:
        """Answers the first request with 429 and counts."""

        def __init__(self) -> None:
            self.asked: list[tuple[str, float]] = []

        async def __call__(self, asked: Request) -> AsyncGenerator[CallUpdate, None]:
            self.asked.append((asked.endpoint.base_url, time.monotonic()))
            if len(self.asked) == 1:
                yield Failure(FailureKind.RATE_LIMITED, "", "m", 429, retry_after=0.3)
            else:
                yield Completion("yes")

    async def run() -> list[tuple[str, float]]:
        limited = Limited()
        retrier = Retrier(limited)

        async def one(base_url: str) -> None:
            async for _ in retrier(request(base_url=base_url)):
                pass

        first = asyncio.ensure_future(one("http://one/v1"))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, one("http://one/v1"), one("http://one/v1"), one("http://two/v1"))
        return limited.asked

    asked = asyncio.run(run())
    start = asked[0][1]
    later = sorted(when - start for url, when in asked[1:] if url == "http://one/v1")
    other = [when - start for url, when in asked if url == "http://two/v1"]
    assert len(later) == 3
    assert later[0] >= 0.3
    assert other[0] < 0.2


def test_pace_of_a_good_answer_is_heeded() -> None:
    """x-ratelimit headers of an answer hold what comes next."""

    async def run() -> float:
        script = Scripted([RateLimitHint(0.3), Completion("one")], [Completion("two")])
        retrier = Retrier(script)
        for _ in range(2):
            async for _ in retrier(request()):
                pass
        return script.asked[1] - script.asked[0]

    assert asyncio.run(run()) >= 0.28


def test_a_known_rate() -> None:
    """With a rate, requests leave evenly."""
    limiter = RateLimiter(rate=600)
    waits = [limiter.wait() for _ in range(4)]
    assert waits[0] == 0
    assert [round(wait, 1) for wait in waits[1:]] == [0.1, 0.2, 0.3]


def test_backoff_grows_and_is_jittered() -> None:
    """What the service asks for counts; else it doubles, with chance in it."""
    assert backoff(1, 7.5) == 7.5
    assert 0.25 <= backoff(1, None) <= 0.5
    assert 1.0 <= backoff(3, None) <= 2.0
    assert len({backoff(3, None) for _ in range(5)}) > 1


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
    """OpenAI's and Together's forms are understood, others are as if they were not there."""
    assert error_mapping.rate_limit_reset(headers) == seconds
