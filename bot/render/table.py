"""Tables of a reply: columns where they fit the window, else a line "header: cell" for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bot.render.inline import inline
from bot.render.styles import style
from bot.text.wrap import break_points, cut_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token
    from rich.console import Console, JustifyMethod

    from bot.text.wrap import Row, Run

# Columns narrower than this many cells cannot be read.
_NARROWEST = 6

Cell = tuple["list[Run]", "JustifyMethod"]


def table_rows(tokens: Sequence[Token], width: int, console: Console) -> list[Row]:
    """Lay out the tokens from table_open to table_close in `width` cells."""
    grid = _grid(tokens)
    if not grid:
        return []
    if len(grid[0]) * _NARROWEST > width:
        return _stacked(grid, width)
    return _columns(grid, width, console)


def _grid(tokens: Sequence[Token]) -> list[list[Cell]]:
    grid: list[list[Cell]] = []
    justify: JustifyMethod = "left"
    look = None
    for token in tokens:
        if token.type == "tr_open":
            grid.append([])
        elif token.type in {"th_open", "td_open"}:
            look = style("table header") if token.type == "th_open" else None
            align = str(token.attrs.get("style", ""))
            justify = "right" if "right" in align else "center" if "center" in align else "left"
        elif token.type == "inline":
            grid[-1].append((inline(token.children or [], token.content, look).runs, justify))
    return grid


def _columns(grid: list[list[Cell]], width: int, console: Console) -> list[Row]:
    def text(cell: Cell) -> Text:
        return Text.assemble(*((run, look or "") for run, look in cell[0]), justify=cell[1], overflow="fold")

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, border_style=style("table border"))
    for cell in grid[0]:
        table.add_column(text(cell), justify=cell[1], overflow="fold")
    for row in grid[1:]:
        table.add_row(*map(text, row))
    options = console.options.update(width=width, height=None, highlight=False, markup=False)
    lines = console.render_lines(table, options, pad=False)
    return [[(segment.text, segment.style) for segment in line] for line in lines]


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
