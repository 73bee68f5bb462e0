"""What the service remembers for its inspection routes: requests and connections.

Kept only while inspection is on, because it holds whole requests, keys among them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.demo.http_wire import Request


@dataclass(slots=True)
class Record:
    """One chat request. Times are seconds of the monotonic clock; `ended` is None while it runs.

    `finished` when the service did all it meant to do, `cancelled` when the client left before.
    """

    number: int
    connection: int
    request: Request
    ended: float | None = None
    finished: bool = False
    cancelled: bool = False

    def over(self, *, cancelled: bool) -> None:
        """Note how the request ended, and when."""
        self.ended = time.monotonic()
        self.finished, self.cancelled = not cancelled, cancelled

    def as_json(self) -> dict[str, Any]:
        """Return what GET /demo/requests shows of it."""
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
class Records:
    """All chat requests since the last clearing, and the counts of connections.

    A connection that asks an inspection route is not counted, so that looking changes nothing.
    """

    kept: bool
    requests: list[Record] = field(default_factory=list)
    number: int = 0
    opened: int = 0
    open: int = 0

    def arrived(self, request: Request, connection: int) -> Record:
        """Note a chat request."""
        self.number += 1
        record = Record(self.number, connection, request)
        if self.kept:
            self.requests.append(record)
        return record
