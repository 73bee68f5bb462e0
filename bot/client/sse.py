"""Reads server-sent events: bytes in, the data of whole events out.

The SDK has a reader of its own, which gives up a stream at the first byte that is not UTF-8 and
drops a last event that no blank line follows; an answer should survive both. Only `data` fields
matter here, the rest of the format (https://html.spec.whatwg.org/multipage/server-sent-events.html)
is skipped.
"""

from __future__ import annotations


class EventReader:
    """Feed it bytes, cut anywhere; it returns the data of each event that is complete."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._after_return = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that end in `chunk`."""
        if not chunk:
            return []
        if self._after_return:
            # The line ended with the \r of the last chunk; this \n belongs to it.
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r")
        events: list[str] = []
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if self._line:
                self._line += end
                end = bytes(self._line)  # noqa: PLW2901 - the line that this piece completes
                self._line.clear()
            self._take(end, events)
        self._line += rest
        return events

    def close(self) -> list[str]:
        """Return the data of an event that the end of the stream left without its blank line."""
        events: list[str] = []
        if self._line:
            self._take(bytes(self._line), events)
            self._line.clear()
        self._take(b"", events)
        return events

    def _take(self, line: bytes, events: list[str]) -> None:
        if not line:
            if self._data:
                events.append("\n".join(self._data))
                self._data.clear()
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
