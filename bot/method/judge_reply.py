"""Reads a judge's reply, whatever it looks like: the comparison in it as JSON, as far as there is one.

While it arrives, `ComparisonReader.feed` returns what is complete of it. At its end, `close` looks for JSON
in a fence or between other words, completes JSON that is cut off and mends what is almost JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import jiter

from bot.analysis import LISTS, Analysis, ComparedAnswer, read_analysis

MAX_CHARACTERS = 200_000
"""Characters of a reply that are read; a longer one is cut off."""
_MAX_STREAMED = 50_000
"""Characters that are read while the reply arrives."""
_MAX_MENDED = 20_000
"""Characters of what is almost JSON that are mended: the time for that may grow with their square."""
_MAX_DEPTH = 12
"""Brackets within one another in what is mended."""
_MAX_OBJECTS = 50
"""Places at which the JSON may begin that are tried."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?')

NO_JSON = "it holds no JSON object with the five lists"
EMPTY = "its five lists hold nothing that can be used"


class ComparisonReader:
    """Reads one reply about these answers, piece by piece."""

    def __init__(self, answers: Sequence[ComparedAnswer]) -> None:
        self._answers = answers
        self._text = ""
        self._read = 0
        self._items = 0

    def feed(self, text: str) -> Analysis | None:
        """Return what the reply holds so far if that is more than before the piece `text`, else None."""
        if len(self._text) > _MAX_STREAMED:
            return None
        self._text += text
        end = max(self._text.rfind("}"), self._text.rfind("]")) + 1
        start = self._text.find("{")
        # Each time a little more than before, so that the work stays in proportion to the text.
        if start < 0 or end < self._read + max(20, self._read // 50):
            return None
        self._read = end
        analysis = read_analysis(_cut_off_json(self._text[start:end]), self._answers)
        if len(analysis) <= self._items:
            return None
        self._items = len(analysis)
        return analysis

    def restart(self) -> None:
        """Forget what has come: the reply begins again."""
        self._text, self._read = "", 0


def read_reply(text: str, answers: Sequence[ComparedAnswer]) -> tuple[Analysis | None, str]:
    """Return the comparison in a judge's whole reply and "", or None and what is wrong with the reply."""
    found = [read_analysis(value, answers) for value in _objects(text[:MAX_CHARACTERS])]
    best = max(found, key=len, default=None)
    if best:
        return best, ""
    return None, NO_JSON if best is None else EMPTY


def _objects(text: str) -> Iterator[object]:
    """Yield the JSON objects in a text that have at least one of the lists."""
    decoder = json.JSONDecoder()
    at, tries, found = text.find("{"), 0, False
    first = at
    while at >= 0 and tries < _MAX_OBJECTS:
        tries += 1
        end = at + 1
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value = _cut_off_json(text[at:])
        if _has_lists(value):
            found = True
            yield value
        else:
            end = at + 1
        at = text.find("{", end)
    if not found and first >= 0 and _has_lists(mended := _mended(text[first : first + _MAX_MENDED])):
        yield mended


def _has_lists(value: object) -> bool:
    return isinstance(value, dict) and any(str(name).strip().lower() in _NAMES for name in value)


_NAMES = frozenset({*LISTS, "blind spots", "blind-spots"})


def _cut_off_json(text: str) -> object:
    """Return the JSON value that begins a text, completed where it is cut off; None where there is none."""
    try:
        return jiter.from_json(text.encode("utf-8", "replace"), partial_mode=True)
    except ValueError:
        return None


def _mended(text: str) -> object:
    """Return the value of what is almost JSON (single quotes, commas too many or missing), else None."""
    from json_repair import loads  # noqa: PLC0415 - takes 100 ms, and hardly any reply needs it

    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        return None
    try:
        value = loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    candidates = value if isinstance(value, list) else [value]
    return next((each for each in candidates if _has_lists(each)), None)
