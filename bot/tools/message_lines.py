"""Splits what a server writes into lines, of which one that is too long is dropped, not collected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_KEPT = 200  # bytes of each end of a line that is dropped
_ID = re.compile(rb'"id"\s*:\s*(\d{1,15})\b')


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that was dropped; `request` is the id of the request that it answers, if it can be seen."""

    request: int | None


class MessageLines:
    """Collects lines of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """Yield the lines that a chunk completes, without their ends."""
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            self._add(part)
            yield self._take()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        self._parts.append(part)
        if self._size > self._limit:
            text = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            # A program writes "id" first or last, before or after the result.
            self._parts = [text[:_KEPT], text[-_KEPT:]]

    def _take(self) -> bytes | TooLong:
        line, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if size <= self._limit:
            return line
        return TooLong(answered_request(line))


def answered_request(line: bytes) -> int | None:
    """Return the id of the request that an unreadable line seems to answer; None if it is not seen."""
    found = _ID.search(line[:_KEPT]) or _ID.search(line[-_KEPT:])
    return int(found[1]) if found else None
