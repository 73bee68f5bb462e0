"""Tables as text: aligned columns for a terminal, tab-separated lines for another program.

Cells are one line each and are sanitised here, so that they may come from anywhere. Tables in a
reply's Markdown are `bot.render.table`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.text.sanitise import sanitise
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

_GAP = "  "
_NARROWEST = 12  # cells that the flexible column keeps before other columns are left out


def table(
    columns: Mapping[str, Sequence[str]],
    width: int,
    *,
    flexible: str,
    dispensable: Sequence[str] = (),
    right: Sequence[str] = (),
) -> str:
    """Return columns with their names above them, no line wider than `width` cells.

    Where there is no room the `dispensable` columns are left out, the first of them first, and then
    the `flexible` one is cut. A column that is empty all the way down is left out too. The columns
    in `right` are aligned to the right.
    """
    from rich.cells import cell_len

    kept = {
        name: [sanitise(cell, newlines=False) for cell in cells]
        for name, cells in columns.items()
        if any(cells)
    }
    sizes = {name: max(map(cell_len, (name, *cells))) for name, cells in kept.items()}

    def room() -> int:
        return width - sum(sizes[name] + len(_GAP) for name in kept if name != flexible)

    for name in dispensable:
        if room() >= min(_NARROWEST, sizes.get(flexible, 0)):
            break
        kept.pop(name, None)
    if flexible in kept:
        kept[flexible] = [cut_cells(cell, max(1, room())) for cell in kept[flexible]]
    rows = [[*kept], *zip(*kept.values(), strict=True)]
    numbers = {index for index, name in enumerate(kept) if name in right}
    return "".join(cut_cells(line, width) + "\n" for line in aligned(rows, numbers))


def aligned(rows: Sequence[Sequence[str]], right: Container[int]) -> list[str]:
    """Return a line for each row, every column as wide as its widest cell.

    `right` holds the indexes of the columns that are aligned to the right.
    """
    from rich.cells import cell_len

    sizes = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for index, (cell, size) in enumerate(zip(row, sizes, strict=True)):
            padding = " " * (size - cell_len(cell))
            cells.append(padding + cell if index in right else cell + padding)
        lines.append(_GAP.join(cells).rstrip())
    return lines


def tab_separated(rows: Iterable[Iterable[str]]) -> str:
    """Return a line for each row, with a tab between its cells."""
    return "".join("\t".join(sanitise(cell, newlines=False) for cell in row) + "\n" for row in rows)
