"""Breaks text into rows of so many terminal cells: at spaces, and between ideographs.

It knows no Markdown, and keeps the styles of styled text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.style import Style

Run = tuple[str, "Style | None"]
"""A piece of text and how it looks."""

Row = list[Run]
"""One line on a terminal."""

# Scripts written without spaces. A closing mark stays with what it closes, an opening mark with
# what it opens, and a variation mark with its character.
_IDEOGRAPH = (
    "\u2e80-\u2fff\u3005-\u3007\u3012\u3013\u3020-\u303f\u3041-\u30ff\u3100-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9d\U00020000-\U0003ffff"
)
_OPENING = "\uff08\u300c\u300e\u3010\u300a\u3008\u3014\u3016\uff3b\uff5b"
_CLOSING = (
    "\uff09\u300d\u300f\u3011\u300b\u3009\u3015\u3017\uff3d\uff5d"
    "\u3001\u3002\uff0c\uff0e\uff01\uff1f\uff1a\uff1b\u2026"
)
_MARK = "\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"
_OTHER = f"[^ {_IDEOGRAPH}{_OPENING}{_CLOSING}]"
_WORD = re.compile(
    rf" +|[{_OPENING}]*[{_IDEOGRAPH}][{_MARK}]*[{_CLOSING}]*|{_OTHER}+[{_CLOSING}]*"
    rf"|[{_OPENING}]+[{_CLOSING}]*|[{_CLOSING}]+"
)


def break_points(text: str, width: int) -> list[int]:
    """Return where each row of `text` starts, the first (0) left out. `text` has no line ends.

    A row's first word is one that did not fit the row before, or a piece of a word that is wider
    than `width` by itself. Blanks stay at a row's end and do not count there.
    """
    from rich.cells import cell_len, chop_cells

    starts: list[int] = []
    column = offset = 0
    for word in _WORD.findall(text):
        cells = len(word) if word.isascii() else cell_len(word)
        if word[0] == " " or column + cells <= width:
            column += cells
        else:
            if column:
                starts.append(offset)
            if cells <= width:
                column = cells
            else:
                at = offset
                pieces = chop_cells(word, width)
                for piece in pieces[:-1]:
                    at += len(piece)
                    starts.append(at)
                column = cell_len(pieces[-1]) if pieces else 0
        offset += len(word)
    return starts


def longest_word(text: str) -> int:
    """Return the cells of the longest piece of `text` that `break_points` breaks only where it must."""
    from rich.cells import cell_len

    return max((cell_len(word) for word in _WORD.findall(text) if word[0] != " "), default=0)


def cut_runs(runs: list[Run], starts: list[int]) -> list[Row]:
    """Cut styled text at `starts` (ascending offsets into the joined text) into rows."""
    rows: list[Row] = [[]]
    offset = taken = 0
    for text, style in runs:
        rest = text
        while taken < len(starts) and starts[taken] <= offset + len(rest):
            cut = starts[taken] - offset
            if cut:
                rows[-1].append((rest[:cut], style))
            rows.append([])
            rest = rest[cut:]
            offset += cut
            taken += 1
        if rest:
            rows[-1].append((rest, style))
        offset += len(rest)
    return rows


def fold_runs(runs: Row, width: int) -> list[Row]:
    """Cut one line of code into rows of at most `width` cells, also in the middle of a word."""
    from rich.cells import cell_len, chop_cells

    text = "".join(run[0] for run in runs)
    # Blanks at a row's end are not shown, and may stand beyond it.
    if cell_len(text.rstrip(" ")) <= width:
        return [runs]
    starts: list[int] = []
    at = 0
    for piece in chop_cells(text, width)[:-1]:
        at += len(piece)
        starts.append(at)
    return cut_runs(runs, starts)


def cut_cells(text: str, width: int) -> str:
    """Return `text`, or its beginning and an ellipsis, in at most `width` cells.

    A character of two cells is never halved.
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    return set_cell_size(text, width - 1) + "…"


def cut_middle(text: str, width: int) -> str:
    """Return `text`, or its beginning, an ellipsis and its end, in at most `width` cells."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width or width < len("a…b"):
        return cut_cells(text, width)
    end = last_cells(text, (width - 1) // 2)
    return set_cell_size(text, width - 1 - cell_len(end)) + "…" + end


def fit_cells(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells: cut as by `cut_cells`, or with blanks after it."""
    from rich.cells import set_cell_size

    return set_cell_size(cut_cells(text, width), width)


def last_cells(text: str, width: int) -> str:
    """Return the end of `text` in at most `width` cells, whole characters only."""
    from rich.cells import cell_len

    text = text[-width:] if width > 0 else ""
    while text and cell_len(text) > width:
        text = text[1:]
    return text
