"""What a service sends is read in linear time, whatever it is: 100 KB never hold up a worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from bot.client import error_mapping
from bot.client.completion import CompletionBuilder
from bot.client.event_reader import EventReader
from bot.client.model_list import read_model_list
from bot.messages import Endpoint, Message, Request
from bot.text.sanitise import Sanitiser

pytestmark = pytest.mark.slow

SIZE = 100_000
CPU_SECONDS = 1.5
"""Far more than any of these takes, and far less than what grows with the square of the size (4 s)."""
REQUEST = Request(Endpoint("x", "http://x/v1", "k" * 20), "m", (Message("user", "hi"),), 0.7, SIZE)
UNITS = (
    *'<&{[ a9\n\r\x1b\x9d"\\',
    *("\x1b]", "<a", "<!--", "<script>", "<style", "<think>", "</think>", "\ud800", "\u202e", "1,111"),
    *("key_", "Bearer ", "context ", "maximum ", "exceeds ", "insufficient ", "quota ", "data: ", "data:\n"),
)


def page(text: str) -> None:
    error_mapping.failure_from_response(REQUEST, 502, text, {})


def error_body(text: str) -> None:
    names = ("retry-after", "location", "x-ratelimit-reset")
    headers = {**dict.fromkeys(names, text), "x-ratelimit-remaining": "0"}
    body = json.dumps({"error": {"message": text, "code": text}})
    for status in (307, 400, 429):
        error_mapping.failure_from_response(REQUEST, status, body, headers)


def stream_error(text: str) -> None:
    error_mapping.failure_from_stream_error(REQUEST, {"message": text, "code": text})


def answer(text: str) -> None:
    builder = CompletionBuilder(3600.0)
    for start in range(0, len(text), 10):
        builder.add_chunk({"choices": [{"delta": {"content": text[start : start + 10]}}]})
        builder.over_limit(SIZE)
    builder.close(ended_well=True)
    builder.completion()


def shown(text: str) -> None:
    sanitiser = Sanitiser()
    for start in range(0, len(text), 10):
        sanitiser.feed(text[start : start + 10])
    sanitiser.close()


def events(text: str) -> None:
    reader, data = EventReader(), text.encode("utf-8", "replace")
    for start in range(0, len(data), 10):
        reader.feed(data[start : start + 10])
    reader.close()


def names(text: str) -> None:
    read_model_list([{"id": text, "type": text}])


@pytest.mark.parametrize("read", [page, error_body, stream_error, answer, shown, events, names])
def test_reading_takes_linear_time(read: Callable[[str], None]) -> None:
    """No text is read in more than a moment of CPU time."""
    slow = {}
    for unit in UNITS:
        began = time.process_time()
        read(unit * (SIZE // len(unit)))
        if (seconds := time.process_time() - began) > CPU_SECONDS:
            slow[unit] = seconds
    assert not slow
