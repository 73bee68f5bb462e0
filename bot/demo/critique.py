"""The demonstration models in mode "critique": a review of a draft, and the revision of one.

A review compares words: it names what its model would have said and the draft does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from bot.demo.chat_reader import ParsedChat, content_words
from bot.demo.exact import exact_facts
from bot.demo.models import REFERENCE_PROGRAMS
from bot.demo.statements import Statement, merge_statements, split_statements
from bot.text.numbers import plural

_CONCERNS: Final = 2
_MAX_LENGTH: Final = 240
_MISSING: Final = "- The draft does not say this: "


def review(model: str, chat: ParsedChat) -> str:
    """Return the concerns of a demonstration model about the draft in the chat, or "nothing"."""
    draft = merge_statements(chat.references)
    text = "\n".join(chat.references)
    found = list(islice(_missing(model, chat, draft, text), _CONCERNS))
    return "\n".join(f"{_MISSING}{each}" for each in found) or "nothing"


def _missing(model: str, chat: ParsedChat, draft: list[Statement], text: str) -> Iterator[str]:
    yield from (fact for fact in exact_facts(chat.prompt) if fact.rstrip(".") not in text)
    if model not in REFERENCE_PROGRAMS:
        return
    for statement in split_statements(REFERENCE_PROGRAMS[model](chat)):
        words = content_words(statement)
        if len(statement) <= _MAX_LENGTH and not any(each.is_like(words) for each in draft):
            yield statement


def revise(chat: ParsedChat) -> str:
    """Return the draft in the chat with what its reviews say that it lacks."""
    concerns = [line for text in chat.references for line in text.splitlines() if line.startswith(_MISSING)]
    added = dict.fromkeys(line.removeprefix(_MISSING) for line in concerns)
    reviews = plural(len(chat.references), "review")
    draft = chat.draft.replace("no answers were given to it", f"revised after {reviews}", 1).rstrip()
    if not added:
        return draft
    items = "\n".join(f"- {each}" for each in added)
    return f"{draft}\n\n### Added after the reviews\n\n{items}"
