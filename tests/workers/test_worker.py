"""A worker's side of the connection, in this process."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from running import LIMIT
from services import models

from bot.demo.process import DemoProcess
from bot.messages import Completion, Delta, Endpoint, Message, Request
from bot.workers.protocol import NO_CALL, READY, MessageChannel
from bot.workers.worker import Worker, _announced


class Parent:
    """The parent's end, used without an event loop."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._stream = connected.makefile("rb")

    def send(self, message: object) -> None:
        data = pickle.dumps(message)
        self._socket.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self) -> Any:
        size = int.from_bytes(self._stream.read(4), "big")
        return pickle.loads(self._stream.read(size))

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def service(offline: Callable[..., DemoProcess]) -> DemoProcess:
    return offline(models(a={"reply": "one two three"}, slow={"delay": 30}))


@pytest.fixture
def parent() -> Iterator[Parent]:
    """The parent of a worker that is ready."""
    with _worker() as running:
        assert running.receive() == (READY, ())
        yield running


@contextmanager
def _worker() -> Iterator[Parent]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)

    async def serve() -> None:
        worker = Worker(theirs)
        await worker.serve()
        await worker.provider.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    parent = Parent(ours)
    try:
        yield parent
    finally:
        parent.close()  # that alone ends it
        thread.join(LIMIT)
    assert not thread.is_alive()


def request(service: DemoProcess, model: str, delta_interval: float = 0.0) -> Request:
    endpoint = Endpoint("test", service.base_url, "a-key")
    return Request(endpoint, model, (Message("user", "hello"),), 0.7, 100, delta_interval=delta_interval)


def answered(parent: Parent, number: int) -> list[object]:
    """The updates of a call until its completion."""
    found: list[object] = []
    while not (found and isinstance(found[-1], Completion)):
        said, updates = parent.receive()
        if said == number:
            found += updates
    return found


def test_commands_are_run(parent: Parent, service: DemoProcess) -> None:
    """A reply to "ping", and a call with its text and its end."""
    parent.send(("ping", 0, None))
    assert parent.receive() == (READY, ())
    parent.send(("ask", 7, request(service, "a")))
    *deltas, last = answered(parent, 7)
    assert len(deltas) > 1
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == "one two three"
    assert isinstance(last, Completion)


def test_many_commands_at_once(parent: Parent, service: DemoProcess) -> None:
    """Commands that come together are all run, and a cancelled call sends nothing more."""
    parent.send(("ask", 1, request(service, "slow")))
    parent.send(("ask", 2, request(service, "a", delta_interval=5.0)))
    parent.send(("cancel", 1, None))
    parent.send(("cancel", 99, None))
    *deltas, _ = answered(parent, 2)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == "one two three"
    assert len(deltas) < 3, "they are gathered"
    parent.send(("ping", 0, None))
    assert parent.receive() == (READY, ())


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def test_messages_come_whole_however_their_bytes_are_cut() -> None:
    """Also what was sent before there was a connection; what is sent after its end is dropped."""
    transport, received = Transport(), []
    sender = MessageChannel(received.append, lambda _: None)
    sender.send((1, ()))
    sender.connection_made(transport)
    sender.send((2, (Delta("x" * 1000),)))
    sender.close()
    sender.send((3, ()))
    receiver = MessageChannel(received.append, lambda _: None)
    for at in range(0, len(transport.written), 3):
        receiver.data_received(transport.written[at : at + 3])
    receiver.data_received(transport.written)
    assert received == [(1, ()), (2, (Delta("x" * 1000),))] * 2


def test_a_channel_that_was_closed_before_it_was_connected() -> None:
    """The connection is ended as soon as it is made."""
    transport = Transport()
    channel = MessageChannel(lambda _: None, lambda _: None)
    channel.close()
    channel.connection_made(transport)
    assert transport.aborted


class Number:
    """What a worker shares with the pool, and what it was set to."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @property
    def value(self) -> int:
        return self.seen[-1]

    @value.setter
    def value(self, number: int) -> None:
        self.seen.append(number)


def test_the_call_at_work_is_announced() -> None:
    """While a call computes its number is there, while it waits none; cancelling it works all the same."""

    async def run() -> None:
        number, states = Number(), []

        async def work() -> None:
            states.append(number.value)
            try:
                await asyncio.sleep(0)
                states.append(number.value)
                await asyncio.sleep(3600)
            finally:
                states.append(number.value)

        task = asyncio.ensure_future(_announced(work(), 7, number))
        for _ in range(3):
            await asyncio.sleep(0)
            assert number.value == NO_CALL
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert states == [7, 7, 7]
        assert number.value == NO_CALL

    asyncio.run(run())
