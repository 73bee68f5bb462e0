"""What the chat itself says, laid out for the window: sentences and lists of two columns.

Text in, text out; nothing is written here. Replies and progress are `bot.render`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MARGIN = "  "
GAP = 2
"""Cells between two columns."""
BESIDE = 28
"""Cells that a second column needs at least; with fewer it goes below the first."""


def fitted(text: str, width: int) -> str:
    """Return sanitised `text` with its lines broken at words to `width` cells, each as far in as it began."""
    from bot.text.sanitise import sanitise

    return "\n".join(row for line in sanitise(text).split("\n") for row in _broken(line, width))


def columns(pairs: Sequence[tuple[str, str]], width: int) -> str:
    """Return a list of two columns: beside each other where there is room, else the second one below."""
    from rich.cells import cell_len, set_cell_size

    left = max((cell_len(first) for first, _ in pairs), default=0)
    at = len(MARGIN) + left + GAP
    rows: list[str] = []
    for first, second in pairs:
        if width - at < BESIDE:
            rows += [
                *_broken(MARGIN + first, width),
                *(_broken(2 * MARGIN + second, width) if second else []),
            ]
            continue
        lead, *more = _broken(second, width - at)
        rows.append((MARGIN + set_cell_size(first, left + GAP) + lead).rstrip())
        rows += [" " * at + row for row in more]
    return "\n".join(rows)


def _broken(line: str, width: int) -> list[str]:
    from bot.text.wrap import break_points

    words = line.lstrip(" ")
    margin = line[: len(line) - len(words)]
    at = [0, *break_points(words, max(width - len(margin), 1)), len(words)]
    return [margin + words[start:end].rstrip(" ") for start, end in pairwise(at)]
