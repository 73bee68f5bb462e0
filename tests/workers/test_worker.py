"""A worker's side of the pipe, in this process: with an event loop that watches pipes, and without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from services import models, start_service

from bot.demo.process import DemoProcess
from bot.messages import Completion, Delta, Endpoint, Message, Request
from bot.workers.protocol import READY
from bot.workers.worker import Worker


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DemoProcess]:
    with start_service(tmp_path, models(a={"reply": "one two three"}, slow={"delay": 30})) as running:
        yield running


@pytest.fixture(params=["watched", "read in a thread"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The parent's end; the worker has greeted."""
    if request.param == "read in a thread":
        monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", _refused)
    with _worker() as ours:
        assert ours.poll(10)
        assert ours.recv() == (READY, ())
        yield ours


def _refused(*_: object) -> None:
    raise NotImplementedError  # as the event loop of Windows does


@contextmanager
def _worker() -> Iterator[Connection]:
    ours, theirs = Pipe()

    async def serve() -> None:
        worker = Worker(theirs)
        await worker.serve()
        await worker.provider.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield ours
    finally:
        ours.close()  # that alone ends it
        thread.join(10)
        theirs.close()
    assert not thread.is_alive()


def request(service: DemoProcess, model: str, delta_interval: float = 0.0) -> Request:
    endpoint = Endpoint("test", service.base_url, "a-key")
    return Request(endpoint, model, (Message("user", "hello"),), 0.7, 100, delta_interval=delta_interval)


def answered(pipe: Connection, number: int) -> list[object]:
    """The updates of a call until its completion."""
    found: list[object] = []
    while not (found and isinstance(found[-1], Completion)):
        assert pipe.poll(10)
        said, updates = pipe.recv()
        if said == number:
            found += updates
    return found


def test_orders_are_taken(pipe: Connection, service: DemoProcess) -> None:
    """Signs of life, and a call with its words and its end."""
    pipe.send(("ping", 0, None))
    assert pipe.poll(10)
    assert pipe.recv() == (READY, ())
    pipe.send(("ask", 7, request(service, "a")))
    *deltas, last = answered(pipe, 7)
    assert len(deltas) > 1
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == "one two three"
    assert isinstance(last, Completion)


def test_many_orders_at_once(pipe: Connection, service: DemoProcess) -> None:
    """What stands in the pipe together is all taken, and a call that is cancelled says nothing more."""
    pipe.send(("ask", 1, request(service, "slow")))
    pipe.send(("ask", 2, request(service, "a", delta_interval=5.0)))
    pipe.send(("cancel", 1, None))
    pipe.send(("cancel", 99, None))
    found = answered(pipe, 2)
    *deltas, _ = found
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == "one two three"
    assert len(deltas) < 3, "they are gathered"
    assert not pipe.poll(0.2)


def test_it_ends_when_told(pipe: Connection) -> None:
    """And without a word."""
    pipe.send(("quit", 0, None))
    assert not pipe.poll(0.2)
