"""The reference models' answers on a terminal: one below the other, or side by side.

── GLM-5.3 ─────────────────────────────── 412 tok · 3.6 s ──
…its answer, as Markdown…
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from bot.render.blocks import document_rows
from bot.render.live import write_text
from bot.render.markdown import print_markdown
from bot.render.styles import style
from bot.render.turn_text import failure_text
from bot.text.names import slot_names
from bot.text.numbers import duration
from bot.text.sanitise import one_line, sanitise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bot.analysis import Analysis
    from bot.turn_result import Call

COLUMN = 60
"""Cells that an answer needs at least to be read beside another."""
NARROW_COLUMN, MOST_COLUMNS = 40, 3
"""The same where being beside each other is what is asked for."""
GAP = "   "


def show_proposals(
    console: Console,
    calls: Sequence[Call],
    number: int,
    rounds: int,
    *,
    plain: bool = False,
    analysis: Analysis | None = None,
) -> None:
    """Print the answers of a round, side by side where the window is wide enough for two or more.

    Below each stand the claims that a judge's `analysis` found in it.
    """
    names = slot_names([call.slot.agent for call in calls])
    if rounds > 1:
        console.print(f"  round {number} of {rounds}", style=style("dim"))
    across = 1 if plain else (console.width + len(GAP)) // (COLUMN + len(GAP))
    _show(console, calls, names, across, plain=plain, analysis=analysis)


def show_side_by_side(console: Console, calls: Sequence[Call]) -> None:
    """Print answers beside each other, numbered, two or three in a row where the window is wide enough."""
    names = [
        f"{n} · {name}" for n, name in enumerate(slot_names([call.slot.agent for call in calls]), start=1)
    ]
    across = min((console.width + len(GAP)) // (NARROW_COLUMN + len(GAP)), MOST_COLUMNS)
    _show(console, calls, names, 2 if across == 3 and len(calls) == 4 else across)  # noqa: PLR2004 - not 3 and 1


def _show(
    console: Console,
    calls: Sequence[Call],
    names: Sequence[str],
    across: int,
    *,
    plain: bool = False,
    analysis: Analysis | None = None,
) -> None:
    """Print answers in rows of `across` columns."""
    across = min(across, len(calls))
    if across < 2:  # noqa: PLR2004 - one column is no columns
        for name, call in zip(names, calls, strict=True):
            show_proposal(console, call, name, plain=plain, claims=claims_in(call, analysis))
        return
    width = (console.width - len(GAP) * (across - 1)) // across
    for first in range(0, len(calls), across):
        columns = [
            _rendered(console, call, name, width, claims_in(call, analysis))
            for name, call in zip(names[first : first + across], calls[first : first + across], strict=True)
        ]
        _print_columns(console, columns, width)


def claims_in(call: Call, analysis: Analysis | None) -> str:
    """Return the claims of a judge's comparison that this answer makes, as a Markdown list."""
    compared = analysis.answers if analysis else ()
    place = (call.slot.round, call.slot.index)
    number = next((n for n, each in enumerate(compared, start=1) if (each.round, each.slot) == place), None)
    if analysis is None or number is None:
        return ""
    return "".join(f"\n- *{kind}*: {one_line(text)}" for kind, text in analysis.claims_of(number))


def show_proposal(console: Console, call: Call, name: str, *, plain: bool = False, claims: str = "") -> None:
    """Print one answer under a rule with its model's name."""
    console.print(_rule(name, call, console.width))
    text = _with_claims(_answer_text(call), claims)
    if plain:
        write_text(console.file, sanitise(text).rstrip("\n") + "\n\n")
        return
    print_markdown(console, text)
    console.print()


def _rule(name: str, call: Call, width: int) -> Text:
    """Return the line above an answer, with its model's name."""
    facts = _facts(call)
    taken = cell_len(name) + (cell_len(facts) + 8 if facts else 4)
    dashes = max(width - taken, 2)
    line = Text().append("── ", style("dim")).append(name, style("name"))
    line.append(f" {'─' * dashes} {facts} ──" if facts else f" {'─' * dashes}", style("dim"))
    line.truncate(width)
    return line


def _facts(call: Call) -> str:
    if call.failure is not None:
        return "left out"
    done = call.completion
    if done is None:
        return ""
    tokens = done.usage.completion_tokens
    parts = [f"{tokens:,} tok"] if tokens is not None else []
    if done.first_token is not None:
        parts.append(f"first token {duration(done.first_token)}")
    parts.append(duration(done.seconds))
    if done.partial:
        parts.append("cut")
    return " · ".join(parts)


def _answer_text(call: Call) -> str:
    if call.failure is not None:
        return f"*{failure_text(call.failure)}*"
    return call.answer


def _with_claims(text: str, claims: str) -> str:
    return f"{text.rstrip()}\n\nthe judge found in it:\n{claims}" if claims else text


def _rendered(console: Console, call: Call, name: str, width: int, claims: str) -> list[Text]:
    """Return the rows of an answer laid out in `width` cells, and its rule above them."""
    rows = [
        Text("").join(Text(text, look or "") for text, look in row)
        for row in document_rows(_with_claims(_answer_text(call), claims), width, console)
    ]
    return [_rule(name, call, width), *rows, Text()]


def _print_columns(console: Console, columns: list[list[Text]], width: int) -> None:
    for row in range(max(map(len, columns))):
        line = Text()
        for place, column in enumerate(columns):
            cell = column[row] if row < len(column) else Text()
            if place < len(columns) - 1:
                cell = cell.copy()
                cell.pad_right(max(width - cell.cell_len, 0) + len(GAP))
            line.append_text(cell)
        line.rstrip()
        console.print(line, no_wrap=True, crop=True)
