"""A conversation as Markdown, to read, edit and share; it cannot be imported again.

Replies are written as they are. Prompts and proposals are quoted, so that no heading or fence in
them can be taken for the document's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.analysis import stored_analysis
from bot.history.facts import by_turn, call_facts, contributions, mixture, notes, tool_facts, turn_facts
from bot.render.comparison import comparison_markdown
from bot.store.results import turn_result
from bot.text.dates import local_time
from bot.text.numbers import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.store import StoredCall, StoredConversation, StoredTurn
    from bot.tool_use import ToolSource

_ADDRESS = re.compile(r"https?://[^\s<>\\]+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def export_markdown(
    conversation: StoredConversation,
    turns: Sequence[StoredTurn],
    calls: Iterable[StoredCall] = (),
    *,
    references: bool = True,
) -> str:
    """Write a conversation as one document; `references` adds every proposal under its turn."""
    facts = [f"`{conversation.id}`", local_time(conversation.created), plural(len(turns), "turn")]
    facts.append(mixture(conversation.settings))
    blocks = [f"# {conversation.title}", " · ".join(filter(None, facts))]
    if conversation.system:
        blocks += ["System prompt:", _quoted(conversation.system)]
    calls_by_turn = by_turn(calls)
    for turn in turns:
        of_turn = calls_by_turn.get(turn.number, [])
        blocks += [f"## Turn {turn.number}", _quoted(turn.prompt)]
        if turn.reply:
            blocks.append(_closed(turn.reply.strip("\n")))
        if sources := turn_result(turn, of_turn).shown_sources:
            blocks += ["Sources:", "\n".join(_source(number, each) for number, each in sources)]
        if analysis := stored_analysis(turn.analysis):
            blocks += ["### Comparison of the answers", comparison_markdown(analysis)]
        lines = [*notes(turn), turn_facts(turn, of_turn)]
        blocks += [f"*{_one_line(line)}*" for line in lines if line]
        if references:
            blocks += _proposals(of_turn)
    return "\n\n".join(blocks) + "\n"


def _proposals(calls: Sequence[StoredCall]) -> list[str]:
    blocks = []
    for name, of_round in contributions(calls):
        blocks.append(f"### References, {name}" if name.startswith("round") else f"### {name.capitalize()}")
        for call in of_round:
            blocks.append(f"**{_one_line(call_facts(call))}**")
            if call.text:
                blocks.append(_quoted(call.text))
            if tools := tool_facts(call):
                blocks.append("\n".join(f"- {_escaped(line)}" for line in tools))
    return blocks


def _source(number: int, source: ToolSource) -> str:
    address = f"<{source.url}>" if _ADDRESS.fullmatch(source.url) else _escaped(source.url)
    return f"{number}. {address} {_escaped(source.title)}".rstrip()


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip("\n").split("\n"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Return a text on one line in which Markdown finds nothing."""
    return _SPECIAL.sub(r"\\\1", _one_line(text))


def _closed(text: str) -> str:
    """Close a fence that a cut reply left open, or it would swallow the rest of the document."""
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if not found:
            continue
        marks, rest = found[1], found[2]
        if not fence:
            # After backticks, a backtick in the info string makes it inline code.
            fence = "" if marks[0] == "`" and "`" in rest else marks
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text
