"""What commands print on stdout: text, JSON, tab-separated rows, and tables that fit the window.

Not for replies: those are shown by `bot.render`. Cells are plain text of one line; whoever fills
them sanitises what is not the program's own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any

GAP = "  "
LEAST = 12
"""Cells that the flexible column keeps before other columns are left out."""


def put(text: str) -> None:
    """Write text to stdout, whole lines. When nobody reads any more, that is the end of it, quietly."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing must be flushed into the pipe at the interpreter's end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def put_json(value: Any) -> None:
    """Write a value as JSON."""
    put(json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode())


def window() -> int | None:
    """Return the width of the window in cells, None when stdout is no terminal."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else None


def tabbed(rows: Iterable[Sequence[str]]) -> str:
    """Write rows for other programs: a line each, a tab between cells."""
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


def table(
    columns: Mapping[str, Sequence[str]],
    width: int,
    *,
    flexible: str,
    dispensable: Sequence[str] = (),
    right: Sequence[str] = (),
) -> str:
    """Align columns, with their names above them, in `width` cells.

    Where there is no room the `dispensable` columns are left out, the first of them first, and then
    the `flexible` one is cut. A column that is empty all the way down is left out too.
    """
    from rich.cells import cell_len

    kept = {name: cells for name, cells in columns.items() if any(cells)}
    sizes = {name: max(map(cell_len, (name, *cells))) for name, cells in kept.items()}

    def room() -> int:
        return width - sum(sizes[name] + len(GAP) for name in kept if name != flexible)

    for name in dispensable:
        if room() >= min(LEAST, sizes.get(flexible, 0)):
            break
        kept.pop(name, None)
    sizes[flexible] = max(1, min(sizes.get(flexible, 1), room()))
    lines = []
    for row in ((*kept,), *zip(*kept.values(), strict=True)):
        cells = []
        for name, cell in zip(kept, row, strict=True):
            text = cut(cell, sizes[name])
            padding = " " * (sizes[name] - cell_len(text))
            cells.append(padding + text if name in right else text + padding)
        lines.append(GAP.join(cells).rstrip() + "\n")
    return "".join(lines)


def cut(text: str, width: int) -> str:
    """Cut text to `width` cells, saying so with "…"; a wide character is never halved."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def count(number: int, noun: str) -> str:
    """Write "1 model", "2 models"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
