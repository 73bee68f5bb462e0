"""HTTP connections whose requests have to arrive in time.

uvicorn waits without end for the head of a request, and for its body. Here a request that is not
complete after some seconds ends its connection. Of connections without a complete request only so many
are kept: one more ends the oldest of them, so that they cannot use up what the service can hold open.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 20.0
"""How long a request may take to arrive, head and body together."""
MAX_INCOMPLETE = 256


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with a limit on the time until a request is complete."""

    incomplete: ClassVar[dict[TimedProtocol, None]] = {}
    """The connections without a complete request, the oldest first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; a request that they complete is waited for no longer."""
        super().data_received(data)
        if self.conn.their_state not in _INCOMPLETE:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if self.conn.their_state in _INCOMPLETE and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._stop_waiting()
        self.incomplete[self] = None
        self._timer = self.loop.call_later(REQUEST_SECONDS, self.end)
        if len(self.incomplete) > MAX_INCOMPLETE:
            next(iter(self.incomplete)).end()

    def _stop_waiting(self) -> None:
        self.incomplete.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Close the connection."""
        self._stop_waiting()
        self.transport.close()


_INCOMPLETE = frozenset({h11.IDLE, h11.SEND_BODY})
"""The states of a client that has not sent a whole request."""
