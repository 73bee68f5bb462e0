"""Requests leave one by one, and nobody waits for another's network."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from services import models, start_service

from bot.client.door import Door, watch
from bot.client.provider import Provider
from bot.demo.process import DemoProcess
from bot.messages import CallUpdate, Completion, Endpoint, Message, Request


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoProcess]:
    with start_service(tmp_path, models(a={"reply": "one"}, slow={"reply": "two", "delay": 1.0})) as running:
        yield running


async def passed(door: Door, event: str, seen: list[str], name: str, told: str = "abc") -> None:
    """Go through the door, send what `event` ends, and wait for an answer for a while.

    `told` are those who are then off: nothing more is to be heard of them.
    """
    async with door.through():
        request = httpx.Request("GET", "http://nowhere")
        await watch(request)
        seen.append(f"{name} begins")
        await asyncio.sleep(0)
        seen.append(f"{name} is off")
        trace = request.extensions["trace"]
        await trace("connection.connect_tcp.complete", {})
        await trace(event, {})
        await trace(event, {})  # a connection may be tried twice
        assert ("trace" in request.extensions) == (name not in told)
        await asyncio.sleep(0.05)
        seen.append(f"{name} is answered")


@pytest.mark.parametrize("event", ["http11.send_request_headers.complete", "connection.connect_tcp.started"])
def test_the_next_begins_when_one_is_off(event: str) -> None:
    """One after the other up to there, side by side from there on."""
    seen: list[str] = []

    async def run() -> None:
        door = Door()
        await asyncio.gather(*(passed(door, event, seen, name) for name in "abc"))

    asyncio.run(run())
    assert seen[:6] == [f"{name} {what}" for name in "abc" for what in ("begins", "is off")]
    assert sorted(seen[6:]) == [f"{name} is answered" for name in "abc"]


def test_what_says_nothing_leaves_at_its_end() -> None:
    """Also when it fails, or is cancelled while it stands before the door."""
    seen: list[str] = []

    async def run() -> None:
        door = Door()
        with suppress(ZeroDivisionError):
            async with door.through():
                raise ZeroDivisionError
        first = asyncio.create_task(passed(door, "http11.receive_body.started", seen, "a", ""))
        waiting = asyncio.create_task(passed(door, "", seen, "b", ""))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await passed(door, "", seen, "c", "")
        await first

    asyncio.run(run())
    assert seen == [f"{name} {what}" for name in "ac" for what in ("begins", "is off", "is answered")]


def test_a_request_beside_the_door_is_left_alone() -> None:
    """A list of models is not asked for through it."""
    request = httpx.Request("GET", "http://nowhere")
    asyncio.run(watch(request))
    assert "trace" not in request.extensions


async def last(provider: Provider, url: str, model: str, **more: float) -> tuple[CallUpdate, float]:
    request = Request(Endpoint(url, url, "a-key"), model, (Message("user", "hello"),), 0.7, 100, **more)
    started = time.monotonic()
    [*_, update] = [update async for update in provider.complete(request)]
    return update, time.monotonic() - started


def test_a_slow_answer_holds_nobody_up(service: DemoProcess) -> None:
    """Neither on its first connection nor on one that is kept."""

    async def run() -> None:
        provider = Provider()
        for _ in range(2):
            calls = (last(provider, service.base_url, model) for model in ("slow", "a", "slow", "a"))
            for update, seconds in await asyncio.gather(*calls):
                assert isinstance(update, Completion)
                assert (seconds > 0.9) == (update.text == "two")
        await provider.close()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a backlog that can be filled")
def test_a_connection_that_is_not_taken_holds_nobody_up(service: DemoProcess) -> None:
    """A service that does not answer the door costs its own call only."""

    async def run(url: str) -> None:
        provider = Provider()
        (_, waited), (update, seconds) = await asyncio.gather(
            last(provider, url, "a", timeout=1.5), last(provider, service.base_url, "a")
        )
        assert isinstance(update, Completion)
        assert seconds < 1.0 < waited
        await provider.close()

    with (
        closing(socket.socket()) as listening,
        closing(socket.socket()) as one,
        closing(socket.socket()) as two,
    ):
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filler in (one, two):
            filler.settimeout(0)
            filler.connect_ex(listening.getsockname())
        asyncio.run(run(f"http://127.0.0.1:{listening.getsockname()[1]}/v1"))
