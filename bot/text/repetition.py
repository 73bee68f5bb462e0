"""Finds text that repeats itself without end, as small models and base models write it.

A loop is one unit of text (a word, a line, several paragraphs) that follows itself again and again up
to the end of the text. Tables, code, lists, verse and digits repeat as well, so a loop has to be long,
and longer where repetition is usual: in code, in tables, and in units without letters. The numbers of
list items count as equal: "7. Call me." and "8. Call me." are the same line. The limits were chosen with
the 9,660 answers that the paper's authors published: four are loops, and no other is taken for one.
"""

from __future__ import annotations

import re

WINDOW = 8_000
"""Characters at the end of the text that are searched, so the longest unit is a fifth of it."""
MIN_REPEATS = 5
"""A unit that occurs fewer times in a row is no loop, however long it is."""
MIN_CHARACTERS = 1_000
"""Length of a loop of words."""
MIN_CHARACTERS_IN_CODE = 2_000
"""Also of rows of a table."""
MIN_CHARACTERS_WITHOUT_LETTERS = 3_000
CHECK_INTERVAL = 400
CHECK_SHARE = 20
"""Characters between two searches: these, or a twentieth of the text if that is more. A search takes some
milliseconds, and a service can send megabytes."""
_PROBE = 80
"""The text's last characters: where they occur nowhere else, nothing is repeated."""

_LIST_NUMBER = re.compile(r"^([^\w\n|]{0,8}+)(\d{1,6})(?=[.):\]*]{1,4} )", re.MULTILINE)
"""Also "(7) ", "[7] " and "- **7.** "."""
_FENCES = ("```", "~~~")


class RepetitionDetector:
    """Watches a text that grows. Takes time in proportion to the text's length."""

    def __init__(self) -> None:
        self._tail = ""
        self._length = 0
        self._unchecked = 0
        self._line = ""
        """The beginning of the last line, as far as it shows whether the line is a code fence."""
        self._in_code = False
        self.end: int | None = None
        """Where the first of the repeated units ends in the text, once there is a loop."""

    def feed(self, text: str) -> None:
        """Add a piece of the text."""
        for place in range(0, len(text), CHECK_INTERVAL):
            if self.end is not None:
                return
            piece = text[place : place + CHECK_INTERVAL]
            self._follow_fences(piece)
            self._tail = (self._tail + piece)[-WINDOW:]
            self._length += len(piece)
            self._unchecked += len(piece)
            if self._unchecked >= max(CHECK_INTERVAL, self._length // CHECK_SHARE):
                self._unchecked = 0
                found = _loop_in(self._tail, in_code=self._in_code)
                self.end = None if found is None else self._length - len(self._tail) + found

    def _follow_fences(self, piece: str) -> None:
        first, *others = piece.split("\n")
        self._line = (self._line + first)[:40]
        for line in others:
            if self._line.lstrip().startswith(_FENCES):
                self._in_code = not self._in_code
            self._line = line[:40]


def _loop_in(tail: str, *, in_code: bool) -> int | None:
    """Return where the first of the repeated units ends if `tail` ends in a loop, else None."""
    even = _LIST_NUMBER.sub(r"\1#", tail)
    if even.rfind(even[-_PROBE:], 0, -1) < 0:
        return None
    matches = _prefix_matches(even[::-1])
    for period in range(1, len(even) // MIN_REPEATS + 1):
        length = matches[period] + period
        least = max(MIN_CHARACTERS, period * MIN_REPEATS)
        if length < least:
            continue
        if not any(character.isalpha() for character in even[-period:]):
            least = max(least, MIN_CHARACTERS_WITHOUT_LETTERS)
        elif in_code or even[-period:].count("|") > 1:
            least = max(least, MIN_CHARACTERS_IN_CODE)
        if length >= least:
            return _place_in(tail, _end_of_unit(even, len(even) - length + period, period))
    return None


def _place_in(tail: str, place: int) -> int:
    """Return where `place`, counted with one character for each list number, is in `tail`."""
    for number in _LIST_NUMBER.finditer(tail):
        if number.start(2) >= place:
            break
        place += len(number[2]) - 1
    return place


def _end_of_unit(text: str, end: int, period: int) -> int:
    """Move `end` to the end of its line, or else of its word.

    What comes before a loop may end as the unit does (both with a full stop, say): the repetition then
    seems to begin some characters earlier.
    """
    rest = text[end : end + period]
    for separator in ("\n", " "):
        if text[end - 1] == separator:
            return end
        if separator in rest:
            return end + rest.index(separator)
    return end


def _prefix_matches(text: str) -> list[int]:
    """Return for each place how many characters from there on equal the text's beginning.

    The Z algorithm (Gusfield, Algorithms on Strings, Trees and Sequences, 1997, section 1.4).
    """
    length = len(text)
    matches = [0] * length
    left = right = 0
    for place in range(1, length):
        count = min(right - place, matches[place - left]) if place < right else 0
        while place + count < length and text[count] == text[place + count]:
            count += 1
        matches[place] = count
        if place + count > right:
            left, right = place, place + count
    return matches
