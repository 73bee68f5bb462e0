"""What a demonstration model gets to read: a chat, taken apart once.

Words, key terms and the kind of request; no understanding is claimed. It writes no answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.demo.references import parse_references, user_system

_LOOKED_AT: Final = 20_000
"""Characters of a prompt that are searched for terms; a prompt of 1 MB must not cost a second."""
_LONGEST_TERM: Final = 30
"""Characters; a script without spaces makes a whole line one word."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019\-][^\W_]+)*")
_STOPPED: Final = """
    a about above after again all also always am an and any are as ask at be because been before being
    below between both but by can could did do does doing don down during each few for from further get
    give had has have having he her here hers him his how however i if in into is it its itself just let
    like make many may me might more most much must my no nor not now of off on once one only or other
    our ours out over own please same say she should show so some such tell than that the their theirs
    them then there these they this those through to too under until up use very was we were what when
    where which while who whom why will with would write yes you your yours
"""
_STOP_WORDS: Final = frozenset(_STOPPED.split())
_KINDS: Final = (
    ("compare", r"\bcompare|\bversus\b|\bvs\b|\bdifferences?\b|\bbetter\b"),
    ("why", r"\bwhy\b|\breasons?\b|\bcauses?\b"),
    ("how", r"\bhow (?:to|do|does|can|should|would|could)\b|\bsteps?\b|\brecipe\b|\bplan\b"),
    ("text", r"\b(?:write|draft|compose|story|poem|letter|essay|e-?mail|rewrite|translate)\b"),
    ("list", r"\b(?:list|name|examples?|ideas?|which|suggest|recommend)\b"),
    ("what", r"\b(?:what|who|when|where|explain|define|describe|meaning)\b"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A chat as a demonstration model sees it.

    `terms` are the prompt's key words with their counts, commonest first; `kind` is one of
    "compare", "why", "how", "text", "list", "what" and "other"; `system` is the user's own system
    prompt; `references` are the answers of the round before; `earlier` the user's earlier prompts.
    """

    prompt: str
    earlier: tuple[str, ...] = ()
    system: str = ""
    references: tuple[str, ...] = ()
    terms: tuple[tuple[str, int], ...] = ()
    kind: str = "other"

    def term(self, index: int) -> str:
        """Key term `index` in bold; a stand-in where the prompt has fewer."""
        if index < len(self.terms):
            return f"**{self.terms[index][0]}**"
        return "the subject" if index == 0 else "what belongs to it"


def read_chat(messages: Sequence[Mapping[str, Any]]) -> Reading:
    """Take the messages of a (valid) chat request apart."""
    asked = [text_of(message) for message in messages if message["role"] == "user"]
    system = "\n\n".join(text_of(message) for message in messages if message["role"] == "system")
    prompt = asked[-1] if asked else ""
    return Reading(
        prompt=prompt,
        earlier=tuple(asked[:-1]),
        system=user_system(system),
        references=tuple(parse_references(system)),
        terms=key_terms(prompt),
        kind=_kind_of(prompt),
    )


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content is a text, a list of parts, or null."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if part.get("type") == "text")


def words_of(text: str) -> list[str]:
    """Return the words of `text`, as they are written."""
    return _WORD.findall(text)


def content_words(text: str) -> frozenset[str]:
    """Return the words of `text` that carry its sense, in lower case."""
    return frozenset(word.casefold() for word in words_of(text)) - _STOP_WORDS


def key_terms(text: str) -> tuple[tuple[str, int], ...]:
    """Up to eight telling words of `text` with their counts: commonest first, then first come."""
    words = (word.casefold()[:_LONGEST_TERM] for word in words_of(text[:_LOOKED_AT]))
    kept = Counter(word for word in words if len(word) > 1 and word not in _STOP_WORDS and not word.isdigit())
    return tuple(kept.most_common(8))


def quoted(text: str, limit: int = 70) -> str:
    """`text` on one line, in quotation marks, cut to about `limit` characters at a word's end."""
    line = " ".join(text[: limit * 8].replace("`", "'").split())
    if len(line) > limit:
        line = line[:limit].rsplit(" ", 1)[0].rstrip(",;:") + " …"
    return f"“{line}”"


def _kind_of(prompt: str) -> str:
    start = prompt[:_LOOKED_AT]
    return next((kind for kind, signs in _KINDS if re.search(signs, start, re.IGNORECASE)), "other")
