"""The demonstration aggregator: writes one reply from the answers in the request.

It merges the statements of all answers, puts first those that several answers make, and questions
last. It counts, where a language model would judge.
"""

from __future__ import annotations

import re
from typing import Final

from bot.demo.chat_reader import ParsedChat, quote
from bot.demo.exact import DAYS, exact_facts
from bot.demo.models import REFERENCE_PROGRAMS
from bot.demo.scripted import SCRIPTED_REPLY, is_scripted
from bot.demo.statements import NOT_A_MODEL, Statement, merge_statements

_SHARED: Final = 4
_SINGLE: Final = 5
_OPEN: Final = 3
_COMPUTED: Final = 3
_MAX_LENGTH: Final = 220
_TITLE_WORDS: Final = 12
_LOOK_UP: Final = re.compile(
    r"\b(?:I|we)(?:'ve| have| just| also| then)* "
    r"(?:ran|run|searched|looked (?:it |this |that )?up|fetched|opened|visited|queried|executed|tested"
    r"|measured|checked|verified|called|requested)\b"
    r"|\b(?:my|our|a|the) (?:web )?(?:search|look-?up|test run|fetch)\b.{0,40}"
    r"\b(?:returned|found|gave|shows?)\b"
    r"|\b(?:curl|wget|ping|HTTP)\b.{0,80}\b\d{3}\b",
    re.IGNORECASE,
)


def aggregate(chat: ParsedChat) -> str:
    """Return a Markdown reply from the answers in the chat; without any, from the prompt alone."""
    answers = chat.references
    if not answers:
        return _alone(chat)
    if chat.comparison and is_scripted(chat.prompt):
        return SCRIPTED_REPLY
    statements = merge_statements(answers)
    unfounded = [each for each in statements if _claims_a_look_up(each, chat.without_evidence)]
    statements = [each for each in statements if each not in unfounded]
    questions = [each for each in statements if each.text.rstrip("*_”\"'").endswith("?")]
    claims = [each for each in statements if each not in questions]
    computed = _computed(chat.prompt)

    def place(statement: Statement) -> tuple[bool, int]:
        """Return what a list of shared statements is sorted by: what was computed, then by the answers."""
        return not any(fact in statement.text for fact in computed), -len(statement.answers)

    shared = sorted((each for each in claims if len(each.answers) > 1), key=place)
    single = _round_robin([each for each in claims if len(each.answers) == 1], len(answers))
    many = "one answer" if len(answers) == 1 else f"{len(answers)} answers"
    parts = [
        f"*Put together from {many} by a demonstration program, {NOT_A_MODEL}.*",
        f"## {_title(chat.prompt)}",
        _opening(chat),
    ]
    if shared:
        items = [f"- {_cut(p.text)} *({len(p.answers)} of {len(answers)} say so)*" for p in shared[:_SHARED]]
        parts += ["### Common ground", "\n".join(items)]
    if single:
        heading = "What else belongs to it" if shared else "The main points"
        parts += [f"### {heading}", "\n".join(f"- {_cut(each.text)}" for each in single[:_SINGLE])]
    if differences := _differences(chat.comparison):
        parts += ["### Where the answers differ", "\n".join(differences)]
    if questions:
        questions.sort(key=lambda each: -len(each.answers))
        parts += ["### Left open", "\n".join(f"- {_cut(each.text)}" for each in questions[:_OPEN])]
    if unfounded:
        count = len({number for each in unfounded for number in each.answers})
        say = "One answer says" if count == 1 else f"{count} answers say"
        parts += ["### Not verified", f"{say} that something was looked up or run; no tool ran for it."]
    if not statements:
        parts.append("The answers hold no sentence that could be taken up.")
    return "\n\n".join(parts)


def _claims_a_look_up(statement: Statement, without_evidence: frozenset[int]) -> bool:
    """Whether a statement says that something was looked up or run, in answers for which no tool ran."""
    return statement.answers <= without_evidence and bool(_LOOK_UP.search(statement.text))


def _differences(comparison: str) -> list[str]:
    """Return the contradictions that a judge's comparison names, as items of a list; each stays open."""
    for section in comparison.split("\n\n"):
        title, *lines = section.split("\n")
        if "contradict" in title:
            return [f"{line}: this is open" if line.startswith("- ") else line for line in lines]
    return []


def _opening(chat: ParsedChat) -> str:
    computed = "; ".join(_computed(chat.prompt)).replace("; From", "; from")
    sentences = [f"Computed: **{computed}**."] if computed else []
    sentences.append(f"The request is about {chat.term(0)} and {chat.term(1)}.")
    if chat.earlier:
        nth = len(chat.earlier) + 1
        sentences.append(
            f"It is prompt {nth} of this conversation; before it you asked {quote(chat.earlier[-1])}."
        )
    if chat.system:
        sentences.append(f"The system prompt, {quote(chat.system)}, was read too.")
    return " ".join(sentences)


def _computed(prompt: str) -> list[str]:
    """Return what can be computed from the prompt; days of the week only where there is nothing else."""
    facts = [fact.rstrip(".") for fact in exact_facts(prompt)]
    return ([fact for fact in facts if not fact.endswith(DAYS)] or facts)[:_COMPUTED]


def _round_robin(statements: list[Statement], answers: int) -> list[Statement]:
    """Return the statements in another order: one from each answer in turn."""
    queues = [[each for each in statements if number in each.answers] for number in range(answers)]
    turns = range(max(map(len, queues), default=0))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)]


def _title(prompt: str) -> str:
    words = prompt[:400].replace("`", "'").replace("#", "").split()
    title = " ".join(words[:_TITLE_WORDS])[:80].rstrip(" .,;:!")
    return title + (" …" if len(words) > _TITLE_WORDS else "") or "Nothing was asked"


def _cut(text: str) -> str:
    """Return a statement, shortened for a list; a cut one loses its emphasis, which may be unclosed."""
    if len(text) <= _MAX_LENGTH:
        return text
    return text[:_MAX_LENGTH].rsplit(" ", 1)[0].replace("*", "").replace("`", "") + " …"


def _alone(chat: ParsedChat) -> str:
    steps = REFERENCE_PROGRAMS["demo/planner"](chat)
    return (
        f"*Written by a demonstration program, {NOT_A_MODEL}; no answers were given to it.*\n\n"
        f"## {_title(chat.prompt)}\n\n{_opening(chat)}\n\n{steps.replace('## ', '### ', 1)}"
    )
