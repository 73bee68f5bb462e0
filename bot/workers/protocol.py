"""What the pool and a worker process send each other, and how.

    pool ── Command: (verb, call number, request) ──► worker
    pool ◄── Reply: (call number, updates) ────────── worker

They go over a pair of connected sockets, which asyncio reads and writes without blocking on every
platform. A message is the length of its pickle (4 bytes, big-endian) and the pickle. The pool ends a
worker by closing its socket.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

from bot.client.model_list import ModelList
from bot.messages import CallUpdate, Request

CallVerb = Literal["ask", "models"]
"""Starts a call: one completion, or the list of an endpoint's models."""
Verb = Literal[CallVerb, "cancel", "ping"]
Command = tuple[Verb, int, Request | None]
"""The request comes with a `CallVerb` only. A call number is never reused; that of "ping" is 0."""
Update = CallUpdate | ModelList
Reply = tuple[int, tuple[Update, ...]]

NO_CALL = 0
"""What `CurrentCall` holds between two calls."""
READY = 0
"""The call number of a worker's first reply, and of its replies to "ping"; they hold no updates."""

_LENGTH = struct.Struct(">I")


class CurrentCall(Protocol):
    """A number in memory that a worker and the pool share: the call that the worker computes for now.

    A worker that hangs in a call cannot say so any more; the number still can.
    """

    value: int


class MessageChannel(asyncio.Protocol):
    """One end of the connection. All methods are called in the event loop, none of them blocks.

    `on_message` gets each message that comes; `on_close` gets the error that closed the connection,
    None for a regular end. What is sent before the connection is made goes out once it is.
    """

    def __init__(
        self, on_message: Callable[[Any], None], on_close: Callable[[Exception | None], None]
    ) -> None:
        self._on_message, self._on_close = on_message, on_close
        self._received, self._unsent = bytearray(), bytearray()
        self._transport: asyncio.Transport | None = None
        self._closing = False

    def send(self, message: Command | Reply) -> None:
        """Send a message; does nothing when the connection is closed."""
        data = pickle.dumps(message)
        frame = _LENGTH.pack(len(data)) + data
        if self._transport is None:
            self._unsent += frame
        elif not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        """Close the connection, or the one that is being made; what was not sent yet is dropped."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what had to wait."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._unsent)
        self._unsent = bytearray()
        if self._closing:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on the messages that are complete."""
        self._received += data
        while len(self._received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            message = pickle.loads(self._received[_LENGTH.size : end])  # noqa: S301 - a process of ours sent it
            del self._received[:end]
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on why the connection ended."""
        self._on_close(exc)
