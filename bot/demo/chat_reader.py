"""Parses a chat for the demonstration models: prompt, key terms, kind of request, earlier answers.

It matches words and patterns; it understands nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.demo.references import (
    parse_comparison,
    parse_references,
    split_prompt,
    user_system_prompt,
    without_evidence,
)

_MAX_CHARS: Final = 20_000
"""Characters of a prompt that are searched for terms, so that a prompt of 1 MB takes no second."""
_MAX_TERM: Final = 30
"""Characters of a term: in a script without spaces a whole line is one word."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019\-][^\W_]+)*")
_TASK: Final = re.compile(r"\n\nDo not answer the request\. Write the JSON object[^\n]{0,80}\Z")
"""The end of the request to a judge."""
_REVIEW: Final = re.compile(r"\n\nDo not answer the request\. List the concerns[^\n]{0,80}\Z")
"""The end of the request to a reviewer."""
_RANK: Final = re.compile(r"Your whole reply is the number of the best answer")
"""In the instruction of a model that is to choose an answer."""
_VOTE: Final = re.compile(r"\n\nAnswer the user's latest request;[^\n]{0,400}\n\nANSWER:[^\n]{0,80}\Z")
"""The end of the request for an answer that can be counted."""
_STOP_WORD_LIST: Final = """
    a about above after again all also always am an and any are as ask at be because been before being
    below between both but by can could did do does doing don down during each few for from further get
    give had has have having he her here hers him his how however i if in into is it its itself just let
    like make many may me might more most much must my no nor not now of off on once one only or other
    our ours out over own please same say she should show so some such tell than that the their theirs
    them then there these they this those through to too under until up use very was we were what when
    where which while who whom why will with would write yes you your yours
"""
_STOP_WORDS: Final = frozenset(_STOP_WORD_LIST.split())
_KINDS: Final = (
    ("compare", r"\bcompare|\bversus\b|\bvs\b|\bdifferences?\b|\bbetter\b"),
    ("why", r"\bwhy\b|\breasons?\b|\bcauses?\b"),
    ("how", r"\bhow (?:to|do|does|can|should|would|could)\b|\bsteps?\b|\brecipe\b|\bplan\b"),
    ("text", r"\b(?:write|draft|compose|story|poem|letter|essay|e-?mail|rewrite|translate)\b"),
    ("list", r"\b(?:list|name|examples?|ideas?|which|suggest|recommend)\b"),
    ("what", r"\b(?:what|who|when|where|explain|define|describe|meaning)\b"),
)


@dataclass(frozen=True, slots=True)
class ParsedChat:
    """A chat as a demonstration model sees it.

    `terms` are the prompt's key terms with their counts, most frequent first; `kind` is one of
    "compare", "why", "how", "text", "list", "what" and "other"; `system` is the user's own system
    prompt; `references` are the answers of the earlier round, `comparison` a judge's words about them;
    `earlier` are the earlier prompts. With `compares`, the model is to be that judge; with `ranks`, it is
    to name the best answer; with `reviews`, it is to review the answer, with a `draft` of its own to
    revise that, and with `votes` to end its answer with a line that can be counted. `without_evidence` are
    the places of the references for which no tool ran, in a request that says what ran.
    """

    prompt: str
    earlier: tuple[str, ...] = ()
    system: str = ""
    references: tuple[str, ...] = ()
    terms: tuple[tuple[str, int], ...] = ()
    kind: str = "other"
    comparison: str = ""
    compares: bool = False
    ranks: bool = False
    reviews: bool = False
    draft: str = ""
    votes: bool = False
    without_evidence: frozenset[int] = frozenset()

    def term(self, index: int) -> str:
        """Return key term `index` in bold, or general words where the prompt has fewer terms."""
        if index < len(self.terms):
            return f"**{self.terms[index][0]}**"
        return "the subject" if index == 0 else "what belongs to it"


def parse_chat(messages: Sequence[Mapping[str, Any]]) -> ParsedChat:
    """Parse the messages of a valid chat request."""
    prompts = [message_text(message) for message in messages if message["role"] == "user"]
    system = "\n\n".join(message_text(message) for message in messages if message["role"] == "system")
    compares = any(_TASK.search(prompt) for prompt in prompts)
    last = _TASK.sub("", next((each for each in reversed(prompts) if _TASK.search(each)), "")) or (
        prompts[-1] if prompts else ""
    )
    reviews, last = bool(_REVIEW.search(last)), _REVIEW.sub("", last)
    votes, last = bool(_VOTE.search(last)), _VOTE.sub("", last)
    prompt, references = split_prompt(last)
    draft = ""
    if references and not prompt and len(prompts) > 1 and messages[-2]["role"] == "assistant":
        # The answers are reviews of the message before them.
        draft, prompt, prompts = message_text(messages[-2]), prompts[-2], prompts[:-1]
    return ParsedChat(
        prompt=prompt,
        earlier=tuple(prompts[:-1]),
        system=user_system_prompt(system),
        references=tuple(parse_references(system) or references),
        terms=key_terms(prompt),
        kind=_kind_of(prompt),
        comparison=parse_comparison(system) or parse_comparison(last),
        compares=compares,
        ranks=bool(_RANK.search(system) or _RANK.search(last)),
        reviews=reviews,
        draft=draft,
        votes=votes,
        without_evidence=without_evidence(system) or without_evidence(last),
    )


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content is a text, a list of parts, or null."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if part.get("type") == "text")


def words_in(text: str) -> list[str]:
    """Return the words of `text`."""
    return _WORD.findall(text)


def content_words(text: str) -> frozenset[str]:
    """Return the words of `text` in lower case, without stop words."""
    return frozenset(word.casefold() for word in words_in(text)) - _STOP_WORDS


def key_terms(text: str) -> tuple[tuple[str, int], ...]:
    """Return up to eight content words of `text` with their counts, most frequent first."""
    words = (word.casefold()[:_MAX_TERM] for word in words_in(text[:_MAX_CHARS]))
    kept = Counter(word for word in words if len(word) > 1 and word not in _STOP_WORDS and not word.isdigit())
    return tuple(kept.most_common(8))


def quote(text: str, limit: int = 70) -> str:
    """Return `text` on one line in quotation marks, cut to about `limit` characters after a word."""
    line = " ".join(text[: limit * 8].replace("`", "'").split())
    if len(line) > limit:
        line = line[:limit].rsplit(" ", 1)[0].rstrip(",;:") + " …"
    return f"“{line}”"


def _kind_of(prompt: str) -> str:
    start = prompt[:_MAX_CHARS]
    return next((kind for kind, signs in _KINDS if re.search(signs, start, re.IGNORECASE)), "other")
