"""Takes answers apart into points and finds the ones that say the same.

A point is a list item or a sentence of an answer. Two points are taken for the same when most of
their telling words are; that is likeness of words, not of meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bot.demo.chat_reader import content_words

NOT_A_MODEL: Final = "not a language model"
"""Words in every line in which a demonstration model says what it is; such lines are no points."""

_READ_AT_MOST: Final = 20_000
_POINTS_AT_MOST: Final = 40
_SAME: Final = 0.6
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[\u3002\uff01\uff1f])")
_SKIPPED: Final = re.compile(r"^\s*(?:#|\||>|<|-{3}|\*{3}|_{3}|={3})")
_LABEL: Final = re.compile(r"^\*\*[^*]*\*\*$")
_FEW_WORDS: Final = 3


@dataclass(slots=True)
class Point:
    """A point, the numbers of the answers that make it (from 0), and its telling words."""

    text: str
    answers: set[int] = field(default_factory=set)
    words: frozenset[str] = frozenset()

    def same_as(self, words: frozenset[str]) -> bool:
        """Whether a point with these telling words says nearly the same."""
        union = len(self.words | words)
        return bool(union) and len(self.words & words) / union >= _SAME


def points_of(answer: str) -> list[str]:
    """Return the points of a Markdown answer: no headings, code, tables, or lines ending in ":"."""
    found: list[str] = []
    in_code = False
    for line in answer[:_READ_AT_MOST].splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code
        elif not (in_code or _SKIPPED.match(line) or NOT_A_MODEL in line):
            item = _ITEM.match(line)
            pieces = [line[item.end() :]] if item else _SENTENCE_END.split(line)
            found += [piece.strip() for piece in pieces if _says_something(piece)]
    return found[:_POINTS_AT_MOST]


def merge(answers: Iterable[str]) -> list[Point]:
    """Return the points of all answers, each said once; the first wording is kept, first come first."""
    merged: list[Point] = []
    for number, answer in enumerate(answers):
        for text in points_of(answer):
            words = content_words(text)
            point = next((point for point in merged if point.same_as(words)), None)
            if point is None:
                point = Point(text, words=words)
                merged.append(point)
            point.answers.add(number)
    return merged


def _says_something(piece: str) -> bool:
    text = piece.strip()
    if text.endswith((":", ":**")) or _LABEL.match(text):
        return False
    return len(text.split()) >= _FEW_WORDS or not text.isascii()
