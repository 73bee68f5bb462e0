"""Tables of a reply: columns where they fit the window, else a line "header: cell" for each cell.

Cells are broken between words, and neither inside a word nor inside code: where the longest ones leave
no room for all columns, there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len

from bot.render.inline import inline
from bot.render.styles import style
from bot.text.wrap import break_points, cut_runs, longest_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from bot.text.wrap import Row, Run

Align = Literal["left", "right", "center"]
Cell = tuple["list[Run]", Align]

_GAP = "   "
# Columns narrower than this many cells cannot be read.
_NARROWEST = 6
# A blank inside code while rows are broken; it is a character of one cell that no model writes.
_BLANK_IN_CODE = "\ue000"


def table_rows(tokens: Sequence[Token], width: int) -> list[Row]:
    """Lay out the tokens from table_open to table_close in `width` cells."""
    grid = _grid(tokens)
    if not grid:
        return []
    widths = _column_widths(grid, width) if len(grid[0]) * _NARROWEST <= width else []
    rows = _columns(grid, widths) if widths else _stacked(grid, width)
    return [[(text.replace(_BLANK_IN_CODE, " "), look) for text, look in row] for row in rows]


def _grid(tokens: Sequence[Token]) -> list[list[Cell]]:
    grid: list[list[Cell]] = []
    align: Align = "left"
    look = None
    for token in tokens:
        if token.type == "tr_open":
            grid.append([])
        elif token.type in {"th_open", "td_open"}:
            look = style("table header") if token.type == "th_open" else None
            given = str(token.attrs.get("style", ""))
            align = "right" if "right" in given else "center" if "center" in given else "left"
        elif token.type == "inline":
            for child in token.children or []:
                if child.type == "code_inline":
                    child.content = child.content.replace(" ", _BLANK_IN_CODE)
            grid[-1].append((inline(token.children or [], token.content, look).runs, align))
    return grid


def _column_widths(grid: list[list[Cell]], width: int) -> list[int]:
    """Return the columns' widths in cells, [] where not even their longest words fit beside each other."""
    columns = [[_text(row[at]) for row in grid if at < len(row)] for at in range(len(grid[0]))]
    needed = [max(longest_word(text) for text in texts) for texts in columns]
    wanted = [max(cell_len(text) for text in texts) for texts in columns]
    room = width - len(_GAP) * (len(columns) - 1) - sum(needed)
    if room < 0:
        return []
    while room and needed != wanted:
        # The column whose cells would have the most rows gets the next cell.
        at = max(
            (at for at in range(len(needed)) if needed[at] < wanted[at]),
            key=lambda at: wanted[at] / max(needed[at], 1),
        )
        needed[at] += 1
        room -= 1
    return needed


def _columns(grid: list[list[Cell]], widths: list[int]) -> list[Row]:
    border = style("table border")
    rows: list[Row] = []
    for number, cells in enumerate(grid):
        broken = [_broken(cell, width) for cell, width in zip(cells, widths, strict=False)]
        for at in range(max(map(len, broken), default=0)):
            row: Row = []
            for (lines, (_, align)), width in zip(zip(broken, cells, strict=True), widths, strict=False):
                row += [(_GAP, None)] if row else []
                row += _aligned(lines[at] if at < len(lines) else [], width, align)
            rows.append(row)
        if not number:
            rows.append([("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)), border)])
    return rows


def _broken(cell: Cell, width: int) -> list[Row]:
    return cut_runs(cell[0], break_points(_text(cell), max(width, 1)))


def _aligned(line: Row, width: int, align: Align) -> Row:
    """Return a row of a cell in exactly `width` cells."""
    text = "".join(piece for piece, _ in line)
    free = max(width - cell_len(text.rstrip(" ")), 0)
    left = free if align == "right" else free // 2 if align == "center" else 0
    kept = cut_runs(line, [len(text.rstrip(" "))])[0] if text != text.rstrip(" ") else line
    return [(" " * left, None), *kept, (" " * (free - left), None)]


def _text(cell: Cell) -> str:
    return "".join(piece for piece, _ in cell[0])


def _stacked(grid: list[list[Cell]], width: int) -> list[Row]:
    rows: list[Row] = []
    for index, cells in enumerate(grid[1:] or grid):
        if index:
            rows.append([])
        for head, cell in zip(grid[0], cells, strict=False):
            runs = [*head[0], (": ", style("table header")), *cell[0]] if len(grid) > 1 else cell[0]
            text = "".join(run[0] for run in runs)
            rows += cut_runs(runs, break_points(text, width))
    return rows
