"""Conversations as plain text: tables and transcripts for a terminal, tab-separated lines for a pipe.

Everything that users or models wrote is sanitised here. Each function returns whole lines, each
with its line end; "" where there is nothing to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.analysis import stored_analysis
from bot.history.facts import (
    by_turn,
    call_facts,
    contributions,
    mixture,
    notes,
    source_line,
    tool_facts,
    turn_facts,
)
from bot.render.comparison import comparison_lines, comparison_summary
from bot.store.results import turn_result
from bot.store.rows import format_time
from bot.text.dates import local_time
from bot.text.numbers import money, plural
from bot.text.sanitise import sanitise
from bot.text.table import tab_separated, table
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.analysis import Analysis
    from bot.store import Hit, StoredCall, StoredConversation, StoredTurn, Summary

_GAP = "  "
_INDENT = "    "
# The columns that a narrow window leaves out, the first of them first.
_DISPENSABLE = ("cost", "turns", "updated")
_FOUND, _RESET = "\x1b[1;36m", "\x1b[0m"


def list_text(rows: Sequence[Summary], width: int | None) -> str:
    """List conversations as a table that fits into `width` cells.

    None means a pipe: a line each of id, time (UTC), turns, cost and title, tab between them.
    """
    if width is None:
        return tab_separated(
            (
                row.conversation.id,
                format_time(row.conversation.updated),
                str(row.turns),
                "" if row.cost is None else money(row.cost, row.uncosted),
                row.conversation.title,
            )
            for row in rows
        )
    if not rows:
        return ""
    columns = {
        "id": [row.conversation.id for row in rows],
        "updated": [local_time(row.conversation.updated) for row in rows],
        "turns": [str(row.turns) for row in rows],
        "cost": ["unknown" if row.cost is None else money(row.cost, row.uncosted) for row in rows],
        "title": [row.conversation.title for row in rows],
    }
    return table(columns, width, flexible="title", dispensable=_DISPENSABLE, right=("turns", "cost"))


def search_text(hits: Sequence[Hit], width: int | None, *, colour: bool = False) -> str:
    """List what a search found, two lines each, cut to `width` cells.

    None means a pipe: a line each of id, turn, time (UTC), title and snippet, tab between them.
    With `colour` the found words are highlighted, by escape codes that end with each word.
    """
    if width is None:
        return tab_separated(
            (hit.conversation, str(hit.turn), format_time(hit.created), hit.title, hit.snippet)
            for hit in hits
        )
    lines = []
    for hit in hits:
        head = _GAP.join((hit.conversation, local_time(hit.created), f"turn {hit.turn}", _line(hit.title)))
        snippet = cut_cells(_INDENT + _line(hit.snippet), width)
        lines += [cut_cells(head, width), _highlighted(snippet, hit) if colour else snippet]
    return _lines(lines)


def _highlighted(line: str, hit: Hit) -> str:
    """Highlight the marked words of a hit's indented snippet, as far as they are still in the line."""
    parts, position = [], 0
    for start, end in hit.marks:
        # Sanitising may have removed characters before the mark.
        first = len(_INDENT + _line(hit.snippet[:start]))
        word = _line(hit.snippet[start:end])
        if not word or first < position or not line.startswith(word, first):
            continue
        parts += [line[position:first], _FOUND, word, _RESET]
        position = first + len(word)
    return "".join([*parts, line[position:]])


def show_text(
    conversation: StoredConversation,
    turns: Sequence[StoredTurn],
    calls: Iterable[StoredCall] = (),
    *,
    references: bool = False,
    reasoning: bool = False,
) -> str:
    """Write a conversation as it looked at the prompt, for a terminal and a pipe alike.

    `references` adds every reference model's answer before the reply and the judge's comparison after it,
    which is one line without; `reasoning` the thinking
    of those that thought.
    """
    head = [conversation.id, local_time(conversation.created), plural(len(turns), "turn")]
    head.append(_line(mixture(conversation.settings)))
    lines = [_line(conversation.title), " · ".join(filter(None, head))]
    if conversation.system:
        lines += ["", "system prompt:", *_indented(conversation.system)]
    calls_by_turn = by_turn(calls)
    for turn in turns:
        of_turn = calls_by_turn.get(turn.number, [])
        lines += ["", *_prompt_lines(turn.prompt), ""]
        if references:
            lines += _reference_lines(of_turn, reasoning=reasoning)
        if reasoning and turn.reasoning:
            lines += ["  thinking", *_indented(turn.reasoning), ""]
        if turn.reply:
            lines += [*sanitise(turn.reply).rstrip("\n").split("\n"), ""]
        for number, source in turn_result(turn, of_turn).shown_sources:
            lines.append(_line("  " + source_line(number, source)))
        if analysis := stored_analysis(turn.analysis):
            lines += _comparison_lines(analysis, in_full=references)
        facts = [*notes(turn), turn_facts(turn, of_turn)]
        lines += ["  " + _line(fact) for fact in facts if fact]
    return _lines(lines)


def _prompt_lines(prompt: str) -> list[str]:
    first, *further = sanitise(prompt).rstrip("\n").split("\n")
    return [f">>> {first}", *(f"... {line}" for line in further)]


def _reference_lines(calls: Sequence[StoredCall], *, reasoning: bool) -> list[str]:
    lines = []
    for name, of_round in contributions(calls):
        for call in of_round:
            lines.append(_line(f"  {name}: {call_facts(call)}"))
            if reasoning and call.reasoning:
                lines += ["  thinking", *_indented(call.reasoning), ""]
            lines += [_line(_INDENT + line) for line in tool_facts(call)]
            lines += [*_indented(call.text), ""] if call.text else [""]
    return lines


def _comparison_lines(analysis: Analysis, *, in_full: bool) -> list[str]:
    lines = comparison_lines(analysis) if in_full else []
    return [f"  compared: {comparison_summary(analysis)}", *(["", *lines, ""] if lines else [])]


def _indented(text: str) -> list[str]:
    return [(_INDENT + line).rstrip() for line in sanitise(text).rstrip("\n").split("\n")]


def _line(text: str) -> str:
    return sanitise(text, newlines=False)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
