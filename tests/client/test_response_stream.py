"""Server-sent events, however their bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.client.event_reader import EventReader


def read(chunks: list[bytes]) -> list[str]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.close()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r", ["one", "two"]),
        (b": keep-alive\n\ndata: one\n\n: again\n\n", ["one"]),
        (b"event: x\nid: 7\ndata:one\ndata: more\n\n", ["one\nmore"]),
        (b"data: no blank line at the end", ["no blank line at the end"]),
        (b"data: half a \xc3\n\n", ["half a \ufffd"]),
        (b"", []),
        (b"\n\n\n", []),
        (b"data:\n\ndata: \n\ndata\n\ndata: one\n\n", ["one"]),
        (b'error: {"message": "no"}\n\n', ['{"message": "no"}']),
    ],
)
def test_reads_events_however_the_bytes_are_cut(stream: bytes, events: list[str]) -> None:
    """The same events come out of the whole stream, of single bytes, and of every cut in two."""
    assert read([stream]) == events
    assert read([stream[i : i + 1] for i in range(len(stream))]) == events
    for cut in range(len(stream)):
        assert read([stream[:cut], stream[cut:]]) == events


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """Whatever comes, reading does not fail and does not depend on the cuts."""
    assert read(chunks) == read([b"".join(chunks)])
