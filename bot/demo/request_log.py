"""The requests and connections that the inspection routes show.

Requests are kept only while inspection is on, because they include keys.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.demo.http_wire import HttpRequest


@dataclass(slots=True)
class RequestRecord:
    """One chat request. Times are seconds of the monotonic clock; `ended` is None while it runs.

    `finished` when the answer was complete, `cancelled` when the client disconnected before.
    """

    number: int
    connection: int
    request: HttpRequest
    ended: float | None = None
    finished: bool = False
    cancelled: bool = False

    def finish(self, *, cancelled: bool) -> None:
        """Record how the request ended, and when."""
        self.ended = time.monotonic()
        self.finished, self.cancelled = not cancelled, cancelled

    def as_json(self) -> dict[str, Any]:
        """Return its entry in GET /demo/requests."""
        try:
            body = json.loads(self.request.body)
        except ValueError:
            body = None
        return {
            "n": self.number,
            "time": self.request.time,
            "ended": self.ended,
            "connection": self.connection,
            "headers": dict(self.request.headers),
            "body": body,
            "finished": self.finished,
            "cancelled": self.cancelled,
        }


@dataclass(slots=True)
class RequestLog:
    """The chat requests since the log was cleared, and the numbers of connections.

    A connection that uses an inspection route is not counted.
    """

    enabled: bool
    requests: list[RequestRecord] = field(default_factory=list)
    number: int = 0
    opened: int = 0
    open: int = 0

    def add(self, request: HttpRequest, connection: int) -> RequestRecord:
        """Record a chat request."""
        self.number += 1
        record = RequestRecord(self.number, connection, request)
        if self.enabled:
            self.requests.append(record)
        return record
