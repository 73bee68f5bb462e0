"""Lays out the chat's own messages for the window and prints them: wrapped text, lists of two columns.

Replies and progress are laid out by `bot.render`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from bot.text.sanitise import sanitise
from bot.text.wrap import break_points

if TYPE_CHECKING:
    from bot.app.streams import Streams
    from bot.repl.terminal import Terminal

MARGIN = "  "
GAP = 2
"""Cells between two columns."""
LEAST_WIDTH = 28
"""The fewest cells of a second column; with fewer it is put below the first."""
_NO_WRAPPING = 1 << 20
"""Cells."""


def print_wrapped(text: str, streams: Streams, terminal: Terminal) -> None:
    """Print text on stderr, sanitised; on a terminal its lines are wrapped at words."""
    streams.say(wrap_text(text, terminal.width if streams.stderr_is_terminal else _NO_WRAPPING))


def wrap_text(text: str, width: int) -> str:
    """Return sanitised `text`, wrapped at words to `width` cells; the rows of a line keep its indentation."""
    return "\n".join(row for line in sanitise(text).split("\n") for row in _wrap_line(line, width))


def two_columns(pairs: Sequence[tuple[str, str]], width: int) -> str:
    """Return a list of two columns, side by side if there is room, else the second below the first."""
    left = max((cell_len(first) for first, _ in pairs), default=0)
    column = len(MARGIN) + left + GAP
    rows: list[str] = []
    for first, second in pairs:
        if width - column < LEAST_WIDTH:
            rows += [
                *_wrap_line(MARGIN + first, width),
                *(_wrap_line(2 * MARGIN + second, width) if second else []),
            ]
            continue
        lead, *more = _wrap_line(second, width - column)
        rows.append((MARGIN + set_cell_size(first, left + GAP) + lead).rstrip())
        rows += [" " * column + row for row in more]
    return "\n".join(rows)


def _wrap_line(line: str, width: int) -> list[str]:
    words = line.lstrip(" ")
    margin = line[: len(line) - len(words)]
    bounds = [0, *break_points(words, max(width - len(margin), 1)), len(words)]
    return [margin + words[start:end].rstrip(" ") for start, end in pairwise(bounds)]
