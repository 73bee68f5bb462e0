"""Reads server-sent events.

By hand: the SDK's reader gives up a stream at the first byte that is not
UTF-8, and readers that follow the standard drop a last event that no blank line follows. An answer
should survive both.
"""

from __future__ import annotations

_LINE_OVERHEAD = 64
"""Bytes of memory that a line takes besides its text."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventReader:
    """Reads server-sent events from bytes that are cut anywhere; returns the data of complete events.

    Only `data` fields matter here; the rest of the format is skipped
    (https://html.spec.whatwg.org/multipage/server-sent-events.html).
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._after_return = False
        self._first_line = True
        self._data_size = 0

    @property
    def held(self) -> int:
        """Bytes of memory that the event takes that has not ended yet."""
        return len(self._line) + self._data_size

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
            self._add_line(end, events)
        self._line += rest
        return events

    def close(self) -> list[str]:
        """Return the data of an event that the end of the stream left without its blank line."""
        events: list[str] = []
        if self._line:
            self._add_line(bytes(self._line), events)
            self._line.clear()
        self._add_line(b"", events)
        return events

    def _add_line(self, line: bytes, events: list[str]) -> None:
        if self._first_line:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._first_line = False
        if not line:
            self._data_size = 0
            data = "\n".join(self._data)
            self._data.clear()
            if data.strip():  # Some services keep the connection alive with events that hold nothing.
                events.append(data)
            return
        name, _, value = line.partition(b":")
        # llama.cpp wrote an error as `error: {…}`.
        if name in {b"data", b"error"}:
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
            self._data_size += len(value) + _LINE_OVERHEAD
