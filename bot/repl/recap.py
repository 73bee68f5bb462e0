"""The last turns of a resumed conversation, as they were seen; long ones are folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.history.facts import notes
from bot.render.live import LiveRows, can_redraw, plain_signs, write_text
from bot.render.styles import style
from bot.render.turn_text import json_block, turn_summary
from bot.repl.layout import MARGIN, wrap_text
from bot.store.results import turn_result
from bot.text.numbers import plural
from bot.text.sanitise import one_line, sanitise
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bot.store import StoredCall, StoredTurn
    from bot.text.wrap import Row

TURNS = 3
"""Turns that are shown when a conversation is resumed."""
_PROMPT_ROWS, _REPLY_ROWS, _LAST_REPLY_ROWS = 2, 2, 8
"""Rows of a folded turn; the last turn's reply is shown further."""
_RULE_WIDTH = 72


def show_rule(console: Console) -> None:
    """Print the line between two turns, on a terminal that is more than plain text."""
    if can_redraw(console):
        _print([_rule(console.width)], console, plain=False)


def show_turns(
    console: Console,
    turns: Sequence[tuple[StoredTurn, Sequence[StoredCall]]],
    *,
    folded: bool,
    plain: bool = False,
) -> None:
    """Print turns and their calls, a rule after each; with `folded` a few rows of each."""
    plain = plain or not can_redraw(console)
    rows: list[Row] = []
    for index, (turn, calls) in enumerate(turns):
        last = index == len(turns) - 1
        most = (_LAST_REPLY_ROWS if last else _REPLY_ROWS) if folded else None
        rows += _prompt_rows(turn.prompt, console.width, _PROMPT_ROWS if folded else None)
        reply = _reply_rows(turn.reply, console, most, plain=plain) if turn.reply else []
        rows += [[], *reply] if reply else []
        rows += [[], *_facts(turn, calls, console.width)]
        rows += [[] if plain else _rule(console.width)]
    _print(rows, console, plain=plain)


def _print(rows: Sequence[Row], console: Console, *, plain: bool) -> None:
    draw = LiveRows(console)
    for row in rows:
        text = "".join(piece for piece, _ in row) if plain else draw.ansi(row)
        write_text(console.file, plain_signs(text, console.encoding) + "\n")


def _rule(width: int) -> Row:
    return [("─" * min(width, _RULE_WIDTH), style("rule"))]


def _prompt_rows(prompt: str, width: int, most: int | None) -> list[Row]:
    lines = sanitise(prompt).strip("\n").split("\n")
    rows: list[Row] = []
    for sign, line in zip([">>> ", *["... "] * len(lines)], lines, strict=False):
        if len(rows) == most:
            rows.append([(f"{MARGIN}… {plural(len(lines) - len(rows), 'more line')}", style("dim"))])
            break
        shown = cut_cells(line, width - len(sign)) if most else line
        rows.append([(sign, style("prompt")), (shown, None)])
    return rows


def _reply_rows(reply: str, console: Console, most: int | None, *, plain: bool) -> list[Row]:
    rows: list[Row]
    if plain:
        rows = [[(line, None)] for line in wrap_text(reply.strip("\n"), console.width).split("\n")]
    else:
        from bot.render.blocks import document_rows  # noqa: PLC0415 - the Markdown parser, only where it is shown

        rows = document_rows(json_block(reply), console.width, console)
    if most is None or len(rows) <= most + 1:
        return rows
    head = rows[:most]
    while not head[-1]:
        head.pop()
    more = f"{MARGIN}… {plural(len(rows) - len(head), 'more row')}"
    return [*head, [(more + (" · /recap" if most == _LAST_REPLY_ROWS else ""), style("dim"))]]


def _facts(turn: StoredTurn, calls: Sequence[StoredCall], width: int) -> list[Row]:
    """Return the line under a reply, and how the turn ended if it did not end well."""
    lines = turn_summary(turn_result(turn, calls), width - len(MARGIN)) if turn.reply else []
    ended = [] if turn.status in {"done", "partial"} else notes(turn)[:1]
    return [[(MARGIN + one_line(line), style("dim"))] for line in (*lines, *ended)]
