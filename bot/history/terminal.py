"""Conversations as plain text: tables and transcripts for a terminal, tab-separated lines for a pipe.

Everything that people or models wrote is sanitised here, so the text can be printed as it is.
Each function returns whole lines, each with its line end; "" where there is nothing to show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.history.phrases import (
    by_round,
    by_turn,
    call_facts,
    date,
    dollars,
    ending,
    mixture,
    number,
    turn_facts,
)
from bot.store.rows import stamp
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.store import Conversation, Hit, StoredCall, Summary, Turn

_GAP = "  "
_INDENT = "    "
# The columns that a narrow window does without: the first of these go first.
_DISPENSABLE = ("cost", "turns", "updated")
_LEAST_TITLE = 16
_FOUND, _RESET = "\x1b[1;36m", "\x1b[0m"


def list_text(rows: Sequence[Summary], width: int | None) -> str:
    """List conversations as a table that fits into `width` cells.

    None means a pipe: a line each of id, time (UTC), turns, cost and title, tab between them.
    """
    if width is None:
        return _tab_separated(
            (
                row.conversation.id,
                stamp(row.conversation.updated),
                str(row.turns),
                dollars(row.cost, row.uncosted),
                row.conversation.title,
            )
            for row in rows
        )
    if not rows:
        return ""
    columns = {
        "id": [row.conversation.id for row in rows],
        "updated": [date(row.conversation.updated) for row in rows],
        "turns": [str(row.turns) for row in rows],
        "cost": [dollars(row.cost, row.uncosted) or "unknown" for row in rows],
        "title": [_line(row.conversation.title) for row in rows],
    }
    return _table(columns, width, right=("turns", "cost"))


def search_text(hits: Sequence[Hit], width: int | None, *, colour: bool = False) -> str:
    """List what a search found, two lines each, cut to `width` cells.

    None means a pipe: a line each of id, turn, time (UTC), title and snippet, tab between them.
    With `colour` the found words stand out on a terminal, by codes of ours that end with them.
    """
    if width is None:
        return _tab_separated(
            (hit.conversation, str(hit.turn), stamp(hit.created), hit.title, hit.snippet) for hit in hits
        )
    lines = []
    for hit in hits:
        head = _GAP.join((hit.conversation, date(hit.created), f"turn {hit.turn}", _line(hit.title)))
        snippet = _cut(_INDENT + _line(hit.snippet), width)
        lines += [_cut(head, width), _highlighted(snippet, hit) if colour else snippet]
    return _lines(lines)


def _highlighted(line: str, hit: Hit) -> str:
    """Set off the marked words in a hit's indented snippet, as far as they are still in the line."""
    parts, position = [], 0
    for start, end in hit.marks:
        # What stands before a mark may have lost characters on its way to the terminal.
        first = len(_INDENT + _line(hit.snippet[:start]))
        word = _line(hit.snippet[start:end])
        if not word or first < position or not line.startswith(word, first):
            continue
        parts += [line[position:first], _FOUND, word, _RESET]
        position = first + len(word)
    return "".join([*parts, line[position:]])


def show_text(
    conversation: Conversation,
    turns: Sequence[Turn],
    calls: Iterable[StoredCall] = (),
    *,
    references: bool = False,
    reasoning: bool = False,
) -> str:
    """Write a conversation as it looked at the prompt, for a terminal and a pipe alike.

    `references` adds every reference model's answer before the reply; `reasoning` the thinking
    of those that thought.
    """
    head = [conversation.id, date(conversation.created), number(len(turns), "turn")]
    head += [said] if (said := _line(mixture(conversation.settings))) else []
    lines = [_line(conversation.title), " · ".join(head)]
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
        notes = (ending(turn), *turn.notices, turn_facts(turn, of_turn))
        lines += ["  " + _line(note) for note in notes if note]
    return _lines(lines)


def _prompt_lines(prompt: str) -> list[str]:
    first, *further = sanitise(prompt).rstrip("\n").split("\n")
    return [f">>> {first}", *(f"... {line}" for line in further)]


def _reference_lines(calls: Sequence[StoredCall], *, reasoning: bool) -> list[str]:
    lines = []
    for round_number, of_round in by_round(calls).items():
        for call in of_round:
            lines.append(_line(f"  round {round_number}: {call_facts(call)}"))
            if reasoning and call.reasoning:
                lines += ["  thinking", *_indented(call.reasoning), ""]
            lines += [*_indented(call.text), ""] if call.text else [""]
    return lines


def _indented(text: str) -> list[str]:
    return [(_INDENT + line).rstrip() for line in sanitise(text).rstrip("\n").split("\n")]


def _line(text: str) -> str:
    return sanitise(text, newlines=False)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _tab_separated(rows: Iterable[tuple[str, ...]]) -> str:
    return _lines("\t".join(_line(cell) for cell in row) for row in rows)


def _table(columns: dict[str, list[str]], width: int, right: tuple[str, ...]) -> str:
    """Align columns by their width in cells; the last one gets what room is left."""
    from rich.cells import cell_len

    columns = dict(columns)
    *_, last = columns

    def room() -> int:
        return width - sum(sizes[name] + len(_GAP) for name in columns if name != last)

    sizes = {name: max(cell_len(cell) for cell in (name, *cells)) for name, cells in columns.items()}
    for name in _DISPENSABLE:
        if room() >= min(_LEAST_TITLE, sizes[last]):
            break
        del columns[name]
    sizes[last] = min(sizes[last], max(1, room()))
    lines = []
    for row in ((*columns,), *zip(*columns.values(), strict=True)):
        cells = []
        for name, cell in zip(columns, row, strict=True):
            padding = " " * (sizes[name] - cell_len(cell))
            cells.append(padding + cell if name in right else cell + padding)
        lines.append(_cut(_GAP.join(cells).rstrip(), width))
    return _lines(lines)


def _cut(text: str, width: int) -> str:
    """Cut a line to `width` cells, saying so with "…"; a wide character is never halved."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"
