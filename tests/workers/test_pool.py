"""The pool with real processes, the real SDK and a real HTTP service."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from running import LIMIT, in_time, until_async, workers
from services import models

from bot.client.retry import Retrier
from bot.demo.process import DemoProcess
from bot.errors import Failure, FailureKind
from bot.messages import CallUpdate, Completion, Delta, Endpoint, Message, Request, Retrying, Usage
from bot.method.aggregation import CONTINUE_AFTER
from bot.workers.pool import Pool, StartMethod

pytestmark = pytest.mark.slow

KEY = "secret-key-of-this-test"


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline(models(a={"reply": "one two three"}))


@pytest.fixture(params=["forkserver", "spawn"])
def method(request: pytest.FixtureRequest) -> StartMethod:
    return request.param


Scenario = Callable[[Pool], Coroutine[Any, Any, Any]]


def with_pool(
    scenario: Scenario, *, processes: int = 1, method: StartMethod = "forkserver", **more: Any
) -> Any:
    """Run the scenario with an open pool; afterwards none of its processes may be left."""

    async def run() -> Any:
        pool = Pool(processes, method=method, **more)
        try:
            return await asyncio.wait_for(scenario(pool), LIMIT)
        finally:
            await pool.close()

    result = asyncio.run(run())
    assert not workers()
    return result


def request(service: DemoProcess, model: str = "a", **more: Any) -> Request:
    endpoint = Endpoint("test", service.base_url, more.pop("key", KEY))
    return Request(endpoint, model, (Message("user", "hello"),), 0.7, 100, **more)


async def updates(calls: AsyncGenerator[CallUpdate, None]) -> list[CallUpdate]:
    return [update async for update in calls]


def test_streams_an_answer(service: DemoProcess, method: StartMethod) -> None:
    """Deltas come as they are written, then the completion with usage; with either start method."""
    got = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))), method=method)
    assert "".join(update.text for update in got[:-1] if isinstance(update, Delta)) == "one two three"
    last = got[-1]
    assert isinstance(last, Completion)
    assert last.text == "one two three"
    assert last.finish_reason == "stop"
    assert last.usage.completion_tokens
    assert last.first_token is not None
    assert last.first_token <= last.seconds
    [on_updates] = service.requests()
    assert on_updates["headers"]["authorization"] == f"Bearer {KEY}"
    assert on_updates["body"]["max_tokens"] == 100


def test_one_process_holds_many_calls_at_once(service: DemoProcess) -> None:
    """num_proc limits processes, not the calls that are under way together."""
    service.set_behaviour(models(a={"reply": "x", "delay": 0.5}))

    async def scenario(pool: Pool) -> float:
        await updates(Retrier(pool.ask)(request(service)))
        started = time.monotonic()
        await asyncio.gather(*(updates(Retrier(pool.ask)(request(service))) for _ in range(8)))
        return time.monotonic() - started

    assert in_time(with_pool(scenario), 2.0)


def test_connections_are_kept(service: DemoProcess) -> None:
    """Round after round, no new connection is made."""
    before = service.connections()["opened"]

    async def scenario(pool: Pool) -> None:
        for _ in range(5):
            await updates(Retrier(pool.ask)(request(service)))

    with_pool(scenario)
    assert service.connections()["opened"] == before + 1


def test_closing_the_iterator_cancels_the_call(service: DemoProcess) -> None:
    """A call whose iterator is closed is cancelled at the service as well."""
    service.set_behaviour(models(a={"reply": "word " * 500, "tokens_per_second": 50}))

    async def scenario(pool: Pool) -> None:
        calls = pool.ask(request(service))
        async for _ in calls:
            break
        await calls.aclose()
        await until_async(lambda: service.requests()[0]["cancelled"])

    with_pool(scenario)


def test_a_killed_worker_is_replaced_and_its_call_asked_again(service: DemoProcess) -> None:
    """SIGKILL in the middle of a call: another worker asks again, and the answer comes."""
    service.set_behaviour(models(a={"replies": ["first try", "second try"], "delay": 0.4}))

    async def scenario(pool: Pool) -> tuple[list[CallUpdate], list[int], list[int]]:
        asking = asyncio.ensure_future(updates(Retrier(pool.ask)(request(service))))
        await until_async(service.requests)
        before = pool.pids
        os.kill(before[0], signal.SIGKILL)
        return await asking, before, pool.pids

    got, before, after = with_pool(scenario)
    retry, last = got[0], got[-1]
    assert isinstance(retry, Retrying)
    assert retry.failure.kind is FailureKind.WORKER
    assert "signal 9" in retry.failure.message
    assert isinstance(last, Completion)
    assert last.text == "second try"
    assert before != after


def test_a_call_is_asked_again_only_twice(service: DemoProcess) -> None:
    """When its third worker dies as well, the call fails with that reason."""
    service.set_behaviour(models(a={"reply": "x", "failures": [{"kind": "stall"}]}))

    async def scenario(pool: Pool) -> list[CallUpdate]:
        asking = asyncio.ensure_future(updates(Retrier(pool.ask)(request(service))))
        for times in (1, 2, 3):
            await until_async(lambda times=times: len(service.requests()) == times)
            os.kill(pool.pids[0], signal.SIGKILL)
        return await asking

    last = with_pool(scenario)[-1]
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.WORKER


def freezing(service: DemoProcess) -> Request:
    """A request that holds up the whole worker while it is made ready."""
    headers: Any = SimpleNamespace(items=partial(time.sleep, 600))
    return replace(request(service), endpoint=Endpoint("bad", service.base_url, headers=headers), model="bad")


@pytest.mark.parametrize("workers_up", [1, 2])
def test_a_call_that_freezes_two_workers_is_given_up(
    service: DemoProcess, method: StartMethod, workers_up: int
) -> None:
    """The calls beside it are asked again elsewhere and answered; it alone fails, after two workers."""
    service.set_behaviour(models(a={"reply": "word " * 40, "tokens_per_second": 20}))

    async def scenario(pool: Pool) -> tuple[list[list[CallUpdate]], list[CallUpdate]]:
        good = [asyncio.ensure_future(updates(pool.ask(request(service)))) for _ in range(4)]
        await until_async(lambda: len(service.requests()) == 4)
        bad = await updates(pool.ask(freezing(service)))
        return await asyncio.gather(*good), bad

    good, bad = with_pool(scenario, method=method, processes=workers_up, frozen_seconds=1.0)
    assert [type(update) for update in bad] == [Retrying, Failure]
    last = bad[-1]
    assert isinstance(last, Failure)
    assert (last.kind, last.message) == (
        FailureKind.WORKER,
        "its worker process did not respond for 1 s",
    )
    assert all(isinstance(got[-1], Completion) for got in good)


def test_a_reply_beside_a_call_that_freezes_its_worker(service: DemoProcess) -> None:
    """A reply that was shown in part fails as a cut stream does, so that the rest is asked for."""
    service.set_behaviour(models(a={"reply": "word " * 400, "tokens_per_second": 20}))

    async def scenario(pool: Pool) -> list[CallUpdate]:
        got: list[CallUpdate] = []
        asking: Any = None
        async for update in pool.ask(request(service, retry_partial=False)):
            asking = asking or asyncio.ensure_future(updates(pool.ask(freezing(service))))
            got.append(update)
        asking.cancel()
        return got

    *deltas, last = with_pool(scenario, frozen_seconds=1.0)
    assert isinstance(deltas[0], Delta)
    assert isinstance(last, Failure)
    assert last.kind in CONTINUE_AFTER


def test_all_workers_killed(service: DemoProcess) -> None:
    """However many die at once, each call is asked again once and answered."""
    service.set_behaviour(models(a={"reply": "x", "delay": 0.5}))

    async def scenario(pool: Pool) -> list[list[CallUpdate]]:
        asking = [asyncio.ensure_future(updates(Retrier(pool.ask)(request(service)))) for _ in range(4)]
        await until_async(lambda: len(service.requests()) == 4)
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        return await asyncio.gather(*asking)

    assert all(isinstance(got[-1], Completion) for got in with_pool(scenario, processes=2))


def test_a_frozen_worker_is_replaced(service: DemoProcess) -> None:
    """SIGSTOP in the middle of a call: its silence is noticed, it is killed, and the call asked again."""
    service.set_behaviour(models(a={"replies": ["never seen", "second try"], "delay": 0.5}))

    async def scenario(pool: Pool) -> tuple[list[CallUpdate], int]:
        asking = asyncio.ensure_future(updates(Retrier(pool.ask)(request(service))))
        await until_async(service.requests)
        frozen = pool.pids[0]
        os.kill(frozen, signal.SIGSTOP)
        return await asking, frozen

    got, frozen = with_pool(scenario, frozen_seconds=0.8)
    assert isinstance(got[-1], Completion)
    assert got[-1].text == "second try"
    assert not psutil.pid_exists(frozen)


def test_a_busy_worker_does_not_count_as_frozen(service: DemoProcess) -> None:
    """A model may think for longer than the limit: its worker still replies to "ping"."""
    service.set_behaviour(models(a={"reply": "slow but there", "delay": 2.0}))
    got = with_pool(lambda pool: updates(pool.ask(request(service))), frozen_seconds=0.8)
    assert [type(update) for update in got][-1] is Completion
    assert not any(isinstance(update, Retrying) for update in got)


def test_a_started_reply_is_not_asked_again(service: DemoProcess) -> None:
    """Without `retry_partial`, a call whose text has begun fails: text once shown cannot be withdrawn."""
    service.set_behaviour(models(a={"reply": "word " * 500, "tokens_per_second": 50}))

    async def scenario(pool: Pool) -> list[CallUpdate]:
        got = []
        async for update in pool.ask(request(service, retry_partial=False)):
            if not got:
                os.kill(pool.pids[0], signal.SIGKILL)
            got.append(update)
        return got

    got = with_pool(scenario)
    assert isinstance(got[0], Delta)
    assert not any(isinstance(update, Retrying) for update in got)
    assert isinstance(got[-1], Failure)


def test_the_workers_end_when_the_parent_is_killed(
    service: DemoProcess, method: StartMethod, tmp_path: Path
) -> None:
    """However the parent dies, its workers are gone within two seconds."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(method=method), encoding="utf-8")

    async def scenario() -> None:
        parent = await asyncio.create_subprocess_exec(
            os.sys.executable,  # type: ignore[attr-defined]
            str(script),
            service.base_url,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert parent.stdout
        line = await asyncio.wait_for(parent.stdout.readline(), LIMIT)
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) >= 2, line
        parent.kill()
        await parent.wait()
        await until_async(
            lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], 2
        )

    asyncio.run(scenario())


PARENT = """
import asyncio, sys
from bot.messages import Endpoint, Message, Request
from bot.workers.pool import Pool

async def main():
    pool = Pool(2, method="{method}")
    for _ in range(2):
        async for _ in pool.ask(Request(Endpoint("t", sys.argv[1]), "a", (Message("user", "hi"),), 0.7, 10)):
            pass
    print(pool.pids, flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"status": 400, "message": "bad temperature"}, FailureKind.BAD_REQUEST),
        ({"status": 401}, FailureKind.KEY_REFUSED),
        ({"status": 404}, FailureKind.NOT_FOUND),
        ({"kind": "context_length", "limit": 100}, FailureKind.CONTEXT_LENGTH),
        ({"kind": "html"}, FailureKind.GARBLED),
        ({"kind": "garbage"}, FailureKind.GARBLED),
        ({"kind": "error_in_stream", "tokens": 0}, FailureKind.SERVICE),
    ],
)
def test_failures_come_back_as_values(service: DemoProcess, rule: dict[str, Any], kind: FailureKind) -> None:
    """What waiting cannot mend comes back as a failure of its kind, without the key."""
    service.set_behaviour(models(a={"reply": "x", "failures": [rule]}))
    last = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))))[-1]
    assert isinstance(last, Failure)
    assert last.kind is kind
    assert last.model == "a"
    assert KEY not in str(last)


@pytest.mark.parametrize(
    "rule",
    [
        {"status": 429, "times": 1, "headers": {"Retry-After": "0.1"}},
        {"status": 500, "times": 2},
        {"status": 503, "times": 1},
        {"kind": "refuse", "times": 1},
        {"kind": "reset", "times": 1},
        {"kind": "cut", "tokens": 0, "times": 1},
    ],
)
def test_what_passes_is_tried_again(service: DemoProcess, rule: dict[str, Any]) -> None:
    """A passing failure before the first text is reported and waited out; then the answer comes."""
    service.set_behaviour(models(a={"reply": "at last", "failures": [rule]}))
    got = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))))
    assert isinstance(got[0], Retrying)
    last = got[-1]
    assert isinstance(last, Completion)
    assert last.text == "at last"
    assert last.retries == rule["times"]


def test_a_stream_cut_after_its_first_words_is_partial(service: DemoProcess) -> None:
    """The text so far is kept and marked as partial; the call is not asked again."""
    rule = {"kind": "cut", "tokens": 3, "reset": True}
    service.set_behaviour(models(a={"reply": "one two three four", "failures": [rule]}))
    last = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))))[-1]
    assert isinstance(last, Completion)
    assert last.partial.startswith("stream cut")
    assert "one two three four".startswith(last.text)
    assert last.text
    assert len(service.requests()) == 1


@pytest.mark.parametrize("kind", ["comments", "split", "invalid_utf8", "no_done", "no_finish", "empty_delta"])
def test_odd_streams_are_read(service: DemoProcess, kind: str) -> None:
    """Keep-alives, odd splits, bad bytes and missing ends do not cost the answer."""
    service.set_behaviour(models(a={"reply": "one two three", "failures": [{"kind": kind}]}))
    last = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))))[-1]
    assert isinstance(last, Completion)
    assert not last.partial
    assert "one two three" in last.text


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "think"])
def test_thinking_is_kept_apart(service: DemoProcess, field: str) -> None:
    """Wherever a service puts the thinking, it never ends up in the answer."""
    service.set_behaviour(
        models(a={"reply": "the answer", "reasoning": "let me think", "reasoning_field": field})
    )
    last = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service))))[-1]
    assert isinstance(last, Completion)
    assert last.text == "the answer"
    assert last.reasoning.strip() == "let me think"


def test_usage_is_what_the_service_says_or_unknown(service: DemoProcess) -> None:
    """Tokens come from the service, also in a chunk of their own; unsaid, they are unknown."""
    service.set_behaviour(
        models(a={"reply": "one two", "usage_chunk": True}, b={"reply": "one two", "usage": False})
    )

    async def scenario(pool: Pool) -> list[Usage]:
        asked = {"stream_options": {"include_usage": True}}
        completions = [
            (await updates(Retrier(pool.ask)(request(service, "a", extra=asked))))[-1],
            (await updates(Retrier(pool.ask)(request(service, "b"))))[-1],
        ]
        return [last.usage for last in completions if isinstance(last, Completion)]

    reported, unreported = with_pool(scenario)
    assert reported.completion_tokens
    assert unreported == Usage()


def test_deltas_are_gathered_where_asked(service: DemoProcess) -> None:
    """With a `delta_interval`, many tokens make few updates, the first comes at once, and no text is lost."""
    text = " ".join(str(number) for number in range(100))
    service.set_behaviour(models(a={"reply": text, "tokens_per_second": 1000}))
    got = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service, delta_interval=0.05))))
    deltas = [update for update in got if isinstance(update, Delta)]
    assert "".join(delta.text for delta in deltas) == text
    assert len(deltas) < 40


def test_a_service_that_is_not_running(tmp_path: Path) -> None:
    """It fails as a refused connection, after the tries that a passing failure gets."""
    dead = Endpoint("dead", "http://127.0.0.1:9/v1")
    asked = Request(dead, "a", (Message("user", "hi"),), 0.7, 10)
    got = with_pool(lambda pool: updates(Retrier(pool.ask)(asked)))
    assert [type(update) for update in got] == [Retrying, Retrying, Failure]
    assert got[-1].kind is FailureKind.CONNECTION


def test_silence_ends_the_try(service: DemoProcess) -> None:
    """No byte for `timeout` seconds ends the try; the failure names the seconds."""
    service.set_behaviour(models(a={"reply": "x", "failures": [{"kind": "stall", "times": 1}]}))
    got = with_pool(lambda pool: updates(Retrier(pool.ask)(request(service, timeout=0.5))))
    assert isinstance(got[0], Retrying)
    assert got[0].failure.kind is FailureKind.TIMEOUT
    assert "0.5 s" in got[0].failure.message
    assert isinstance(got[-1], Completion)


def test_a_lone_surrogate_does_not_break_the_call(service: DemoProcess) -> None:
    """Pasted text may hold half a character; the call is made all the same."""
    asked = request(service)
    odd = Request(asked.endpoint, "a", (Message("user", "half \ud83d"),), 0.7, 100)
    assert isinstance(with_pool(lambda pool: updates(Retrier(pool.ask)(odd)))[-1], Completion | Failure)
