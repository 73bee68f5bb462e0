"""The demonstration judge: compares the answers in the request, as JSON.

It compares words: statements that several answers make, and pairs that differ in a number or in a "not".
It cannot tell which is right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

from bot.demo.chat_reader import ParsedChat, content_words
from bot.demo.exact import exact_facts
from bot.demo.statements import NEGATIONS, Statement, merge_statements

_ITEMS: Final = 8
_STATEMENTS: Final = 80
_SAME: Final = 0.75


def compare(chat: ParsedChat) -> str:
    """Return the comparison of the answers in the chat as JSON with five lists."""
    statements = [
        each for each in merge_statements(chat.references)[:_STATEMENTS] if not each.text.endswith("?")
    ]
    pairs = list(_opposed(statements))
    disputed = {id(each) for pair in pairs for each in pair}
    settled = [each for each in statements if id(each) not in disputed]
    several = sorted((each for each in settled if len(each.answers) > 1), key=lambda each: -len(each.answers))
    single = [each for each in settled if len(each.answers) == 1]
    everyone = len(chat.references)
    most = [each for each in several if 2 * len(each.answers) > everyone]
    some = [each for each in several if each not in most]
    return json.dumps(
        {
            "consensus": [_claim(each) for each in most[:_ITEMS]],
            "contradictions": [_contradiction(*pair) for pair in pairs[:_ITEMS]],
            "partial": [_claim(each) for each in some[:_ITEMS]],
            "unique": [{"claim": each.text, "answer": min(each.answers) + 1} for each in single[:_ITEMS]],
            "blind_spots": list(_blind_spots(chat))[:_ITEMS],
        },
        ensure_ascii=False,
    )


def best_answer(chat: ParsedChat) -> str:
    """Return the number of the answer that says most of what others say as well; the first of equals."""
    shared = Counter(
        number
        for each in merge_statements(chat.references)[:_STATEMENTS]
        if len(each.answers) > 1
        for number in each.answers
    )
    return str(max(range(len(chat.references)), key=lambda number: shared[number]) + 1)


def _claim(statement: Statement, name: str = "claim") -> dict[str, Any]:
    return {name: statement.text, "answers": sorted(number + 1 for number in statement.answers)}


def _contradiction(first: Statement, second: Statement) -> dict[str, Any]:
    return {
        "question": f"{_core(first.text)} – or not?"
        if first.negated != second.negated
        else _core(first.text),
        "positions": [_claim(first, "position"), _claim(second, "position")],
        "settled_by": "a source or a measurement: words cannot tell",
    }


def _core(text: str) -> str:
    """Return a statement with a gap for each number."""
    return " ".join("…" if any(map(str.isdecimal, word)) else word for word in text.rstrip(".").split())


def _opposed(statements: list[Statement]) -> Iterator[tuple[Statement, Statement]]:
    """Yield pairs of statements with nearly the same words but for a number or a negation."""
    for first, second in combinations(statements, 2):
        one, other = _without_numbers(first), _without_numbers(second)
        union = len(one | other)
        if not union or len(one & other) / union < _SAME or first.answers & second.answers:
            continue
        numbers = {word for word in first.words ^ second.words if any(map(str.isdecimal, word))}
        if numbers or first.negated != second.negated:
            yield first, second


def _without_numbers(statement: Statement) -> frozenset[str]:
    words = (word for word in statement.words if not any(map(str.isdecimal, word)))
    return frozenset(words) - NEGATIONS


def _blind_spots(chat: ParsedChat) -> Iterator[str]:
    """Yield what can be computed from the prompt, and words of it, that are in no answer."""
    said = content_words("\n".join(chat.references))
    text = " ".join(chat.references)
    for fact in exact_facts(chat.prompt):
        if fact.rstrip(".") not in text:
            yield fact
    for term, _ in chat.terms:
        if not any(word.startswith(term[:4]) for word in said):
            yield f"anything about “{term}”"
