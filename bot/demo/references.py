"""Reads the messages of a mixture: the user's own words, and the numbered answers beside them.

It is a parser of its own, so that the demonstration models see no more than a language model does.
The answers stand in the system message, after the user's system prompt and an instruction, or in the
last message, between the user's prompt and an instruction:

    <answer 1 of 3 · 3f9a1c02b7de>
    …
    </answer 1 · 3f9a1c02b7de>

With tools, a block <tools of 1 · 3f9a1c02b7de> after each answer says which ones ran for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_MARK: Final = re.compile(
    r"^[ \t]*<(?P<end>/?)answer[ \t]+(?P<number>\d{1,6})(?:[ \t]+of[ \t]+\d{1,6})?"
    r"[^\w\n>]{1,8}(?P<digits>[0-9a-f]{6,64})[ \t]*>[ \t\r]*$",
    re.MULTILINE,
)
_COMPARISON: Final = re.compile(
    r"^<comparison [^\w\n>]{1,8}(?P<digits>[0-9a-f]{6,64})>\n(?P<text>.*?)"
    r"^</comparison [^\w\n>]{1,8}(?P=digits)>$",
    re.MULTILINE | re.DOTALL,
)
_TOOLS: Final = re.compile(
    r"^<tools of (?P<number>\d{1,6}) [^\w\n>]{1,8}(?P<digits>[0-9a-f]{6,64})>\n(?P<text>.*?)"
    r"^</tools of (?P=number) [^\w\n>]{1,8}(?P=digits)>$",
    re.MULTILINE | re.DOTALL,
)
_AGAIN: Final = "\n\nThe user's request was:\n\n"
_ANSWERS: Final = re.compile(r"\b(?:answer|response|repl)", re.IGNORECASE)
_MODELS: Final = re.compile(r"\b(?:model|assistant)s?\b", re.IGNORECASE)


def split_prompt(text: str) -> tuple[str, list[str]]:
    """Return the user's prompt and the answers after it in a user's message."""
    # What follows the last answer repeats the prompt, which may hold marks as well.
    blocks = _blocks(text.rpartition(_AGAIN)[0])
    if not blocks:
        return text, []
    return text[: blocks[0][0]].removesuffix("\n\n"), [answer for _, answer in blocks]


def parse_references(system: str) -> list[str]:
    """Return the answers in a system message, in order; [] for any other system message.

    Marks with other digits inside an answer are text. The digits of the last closing mark count,
    because no answer can stand after it.
    """
    return [text for _, text in _blocks(system)]


def parse_comparison(text: str) -> str:
    """Return the judge's comparison between its own marks, the last ones in the text; "" without any."""
    found = None
    for found in _COMPARISON.finditer(text):  # noqa: B007 - the last one counts
        pass
    return found["text"].strip() if found else ""


def without_evidence(text: str) -> frozenset[int]:
    """Return the places (from 0) of the answers for which no tool ran, where the text says what ran."""
    digits = _digits(list(_MARK.finditer(text.rpartition(_AGAIN)[0] or text)))
    found = (block for block in _TOOLS.finditer(text) if block["digits"] == digits)
    return frozenset(int(block["number"]) - 1 for block in found if ": ran" not in block["text"])


def user_system_prompt(system: str) -> str:
    """Return the user's own system prompt in a system message, "" if there is none.

    In a message with answers, the instruction stands between the two. It is recognised by its first
    paragraph, which mentions the answers of models; without one, nothing counts as the user's.
    """
    blocks = _blocks(system)
    if not blocks:
        return system.strip()
    paragraphs = re.split(r"\n[ \t]*\n", system[: blocks[0][0]])
    for index, paragraph in enumerate(paragraphs):
        if _ANSWERS.search(paragraph) and _MODELS.search(paragraph):
            return "\n\n".join(paragraphs[:index]).strip()
    return ""


def _blocks(system: str) -> list[tuple[int, str]]:
    """Return (offset of the opening mark, text) for every answer that is not empty."""
    marks = list(_MARK.finditer(system))
    if not marks:
        return []
    digits = _digits(marks)
    marks = [mark for mark in marks if mark["digits"] == digits]
    found = []
    for index, mark in enumerate(marks):
        if mark["end"]:
            continue
        end = marks[index + 1].start() if index + 1 < len(marks) else len(system)
        text = system[mark.end() : end].strip()
        if text:
            found.append((mark.start(), text))
    return found


def _digits(marks: Sequence[re.Match[str]]) -> str:
    """Return the digits of the marks that count, "" without any."""
    closing = [mark for mark in marks if mark["end"]]
    return (closing or marks)[-1 if closing else 0]["digits"] if marks else ""
