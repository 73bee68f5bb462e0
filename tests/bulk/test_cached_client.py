"""Asking through a journal: nothing twice, never too much at once, never beyond the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import FakeAsk, failed
from looped import looped
from running import LIMIT

from bot.bulk.budget import Budget, BudgetSpentError
from bot.bulk.cached_client import CachedClient
from bot.bulk.concurrency import AdaptiveConcurrency
from bot.bulk.journal import Journal, key_of
from bot.errors import Failure, FailureKind, MoaError
from bot.messages import Ask, CallUpdate, Completion, Endpoint, Message, Request, Retrying, Usage

REQUEST = Request(
    Endpoint("here", "http://127.0.0.1:1/v1"), "a", (Message("user", "why?"),), temperature=0.5, max_tokens=10
)


def price(request: Request, usage: Usage) -> float | None:
    """A cent a token of an answer; of model "free" the price is unknown."""
    return None if request.model == "free" else (usage.completion_tokens or 0) / 100


def cached_client(journal: Journal, ask: FakeAsk, *, most: int = 8, cap: float | None = None) -> CachedClient:
    return CachedClient(
        ask, journal, concurrency=AdaptiveConcurrency(most), budget=Budget(price, cap, journal.spent)
    )


async def asked(ask: FakeAsk) -> None:
    """Return once the first request is there."""
    while not ask.requests:
        await asyncio.sleep(0)


async def said(way: Ask) -> str:
    updates = [update async for update in way(REQUEST)]
    assert isinstance(updates[-1], Completion)
    return updates[-1].text


@looped
async def test_what_is_on_record_is_not_asked(tmp_path: Path) -> None:
    """The second time the answer comes from the journal, also in another process."""
    ask = FakeAsk({"a": "because of it"})
    with closing(Journal(tmp_path / "calls")) as journal:
        first = await cached_client(journal, ask).complete(REQUEST, 0)
    with closing(Journal(tmp_path / "calls")) as journal:
        again = cached_client(journal, ask)
        assert await again.complete(REQUEST, 0) == first
        assert (again.stats.cached, again.stats.asked, again.stats.spent) == (1, 0, 0.03)
    assert len(ask.requests) == 1


@looped
async def test_the_same_request_twice_in_an_item_is_two_samples(tmp_path: Path) -> None:
    """MODEL*2 asks twice; another item of the same prompt in the same sample shares both."""
    ask = FakeAsk({"a": ["one", "two", "three"]})
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, ask)
        told = []
        for sample in ("", "", "2"):
            way = client.for_item(0, sample)
            told.append([await said(way), await said(way)])
    assert told == [["one", "two"], ["one", "two"], ["three", "three"]]
    assert len(ask.requests) == 4


@looped
async def test_two_that_ask_the_same_share_one_request(tmp_path: Path) -> None:
    """While a request is under way, whoever asks the same waits for it."""
    ask = FakeAsk({"a": "one two"}, hold=["a"])
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, ask)
        both = [asyncio.create_task(client.complete(REQUEST, place)) for place in (0, 1)]
        async with asyncio.timeout(LIMIT):
            await asked(ask)
            ask.release.set()
            first, second = await asyncio.gather(*both)
    assert first == second
    assert len(ask.requests) == 1


@looped
async def test_who_waits_asks_itself_when_the_first_is_cancelled(tmp_path: Path) -> None:
    """An item that is dropped takes nobody else's answer along."""
    ask = FakeAsk({"a": "one two"}, hold=["a"])
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, ask)
        first = asyncio.create_task(client.complete(REQUEST, 0))
        async with asyncio.timeout(LIMIT):
            await asked(ask)
            second = asyncio.create_task(client.complete(REQUEST, 1))
            await asyncio.sleep(0)
            first.cancel()
            ask.release.set()
            assert isinstance(await second, Completion)
    assert len(ask.requests) == 2


@looped
async def test_half_an_answer_is_a_failure(tmp_path: Path) -> None:
    """An answer that broke off is asked for again, and then counts as none."""
    half = Completion("half", partial="stream cut", truncation_kind=FailureKind.CUT)
    ask = FakeAsk({"a": half, "b": [half, Completion("whole")]})
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, ask)
        assert isinstance(await client.complete(REQUEST, 0), Failure)
        assert await client.complete(replace(REQUEST, model="b"), 0) == Completion("whole")
        assert journal.answer(key_of(REQUEST, "")) is None
    assert len(ask.to("a")) == 3
    assert client.stats.retries == 3


@looped
async def test_a_refused_key_is_remembered_as_hopeless(tmp_path: Path) -> None:
    """What no further request can change is told, so that a run can stop."""
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, FakeAsk({"a": failed(FailureKind.KEY_REFUSED, "no", "a")}))
        await client.complete(REQUEST, 0)
        assert client.stats.fatal is not None
        assert client.stats.failures.total() == 1


@looped
async def test_a_budget_is_never_overdrawn(tmp_path: Path) -> None:
    """Requests wait for what others did not use, and end when the rest is too little."""
    ask = FakeAsk({"a": "five words are said here"})
    with closing(Journal(tmp_path / "calls")) as journal:
        client = cached_client(journal, ask, cap=0.22)
        results = await asyncio.gather(
            *(client.complete(replace(REQUEST, seed=seed), seed) for seed in range(9)), return_exceptions=True
        )
        assert client.budget.spent == pytest.approx(0.15)
    assert sum(isinstance(result, Completion) for result in results) == 3
    assert sum(isinstance(result, BudgetSpentError) for result in results) == 6


@looped
async def test_a_budget_needs_prices(tmp_path: Path) -> None:
    """With a cap, a model of unknown price is refused before it is asked."""
    ask = FakeAsk({})
    with closing(Journal(tmp_path / "calls")) as journal, pytest.raises(MoaError, match="price is not known"):
        await cached_client(journal, ask, cap=5).complete(replace(REQUEST, model="free"), 0)
    assert not ask.requests


@looped
async def test_concurrency_shrinks_at_refusals_and_grows_again(tmp_path: Path) -> None:
    """A service that says "too many" is sent less at once; answers that come well let it grow."""
    running = most = 0

    async def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        if request.seed == 0:
            yield Retrying(failed(FailureKind.RATE_LIMITED, "429"), 1, 0.0)
        await asyncio.sleep(0)
        running -= 1
        yield Completion("yes")

    with closing(Journal(tmp_path / "calls")) as journal:
        client = CachedClient(ask, journal, concurrency=AdaptiveConcurrency(16), budget=Budget(price))
        await asyncio.gather(*(client.complete(replace(REQUEST, seed=seed), seed) for seed in range(16)))
        assert most == 16
        shrunk = client.concurrency.limit("here")
        assert shrunk < 16
        most = 0
        await asyncio.gather(
            *(client.complete(replace(REQUEST, seed=seed), seed) for seed in range(100, 116))
        )
        assert most <= shrunk + 2
        for first in range(200, 500, 50):
            await asyncio.gather(*(client.complete(replace(REQUEST, seed=first + n), n) for n in range(50)))
        assert client.concurrency.limit("here") == 16
        assert client.stats.retries == 1


@looped
async def test_what_was_begun_first_goes_first() -> None:
    """Whoever waits with the lowest place is let in next, whenever it came."""
    concurrency, order = AdaptiveConcurrency(1), []

    async def enter(place: int) -> None:
        await concurrency.acquire("here", place)
        order.append(place)
        await asyncio.sleep(0)
        concurrency.release("here", success=True)

    await concurrency.acquire("here", 0)
    tasks = [asyncio.create_task(enter(place)) for place in (5, 3, 9, 1)]
    await asyncio.sleep(0)
    concurrency.release("here", success=True)
    await asyncio.gather(*tasks)
    assert order == [1, 3, 5, 9]


@looped
async def test_waiting_can_be_given_up() -> None:
    """A place that was given up is nobody's: the room is not lost."""
    concurrency = AdaptiveConcurrency(1)
    await concurrency.acquire("here", 0)
    waiting = asyncio.create_task(concurrency.acquire("here", 1))
    await asyncio.sleep(0)
    concurrency.release("here", success=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await concurrency.acquire("here", 2)
