"""Splits answers into statements, and finds those that several answers make.

A statement is a list item or a sentence. Two statements count as the same when most of their
content words are; meaning is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bot.demo.chat_reader import content_words, words_in

NOT_A_MODEL: Final = "not a language model"
"""Words in every line in which a demonstration model says what it is; such a line is no statement."""

NEGATIONS: Final = frozenset({"not", "no", "never", "cannot", "nor", "none", "without"})
"""Words with which a statement says the opposite."""

_MAX_LENGTH: Final = 20_000
_MAX_STATEMENTS: Final = 40
_SIMILARITY: Final = 0.6
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[\u3002\uff01\uff1f])")
_SKIPPED: Final = re.compile(r"^\s*(?:#|\||>|<|-{3}|\*{3}|_{3}|={3})")
_LABEL: Final = re.compile(r"^\*\*[^*]*\*\*$")
_MIN_WORDS: Final = 3


@dataclass(slots=True)
class Statement:
    """A statement, the numbers (from 0) of the answers that make it, and its content words.

    `negated`: it holds an odd number of words such as "not".
    """

    text: str
    answers: set[int] = field(default_factory=set)
    words: frozenset[str] = frozenset()
    negated: bool = False

    def is_like(self, words: frozenset[str]) -> bool:
        """Whether a statement with these content words counts as the same.

        That is by Jaccard similarity; a statement with other numbers is another one.
        """
        if any(map(_has_digit, self.words ^ words)):
            return False
        union = len(self.words | words)
        return bool(union) and len(self.words & words) / union >= _SIMILARITY


def split_statements(answer: str) -> list[str]:
    """Return the statements of a Markdown answer, without headings, code, tables and lines ending in ":"."""
    found: list[str] = []
    in_code = False
    for line in answer[:_MAX_LENGTH].splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code
        elif not (in_code or _SKIPPED.match(line) or NOT_A_MODEL in line):
            item = _ITEM.match(line)
            pieces = [line[item.end() :]] if item else _SENTENCE_END.split(line)
            found += [piece.strip() for piece in pieces if _is_statement(piece)]
    return found[:_MAX_STATEMENTS]


def merge_statements(answers: Iterable[str]) -> list[Statement]:
    """Return the statements of all answers, each once, in the wording and order of its first occurrence."""
    merged: list[Statement] = []
    for number, answer in enumerate(answers):
        for text in split_statements(answer):
            words, negated = content_words(text), _is_negated(text)
            alike = (each for each in merged if each.negated == negated and each.is_like(words))
            statement = next(alike, None)
            if statement is None:
                statement = Statement(text, words=words, negated=negated)
                merged.append(statement)
            statement.answers.add(number)
    return merged


def _is_negated(text: str) -> bool:
    words = (word.casefold() for word in words_in(text))
    return sum(word in NEGATIONS or word.endswith(("n't", "n’t")) for word in words) % 2 == 1


def _has_digit(word: str) -> bool:
    return any(character.isdecimal() for character in word)


def _is_statement(piece: str) -> bool:
    text = piece.strip()
    if text.endswith((":", ":**")) or _LABEL.match(text):
        return False
    return len(text.split()) >= _MIN_WORDS or not text.isascii()
