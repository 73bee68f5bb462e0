"""Code in colours, by the line. Colours only: not a character of the code changes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bot.render.styles import style, syntax_style

if TYPE_CHECKING:
    from bot.text.wrap import Row

TAB = 4
# Some lexers take quadratic time over one very long line; such a line is data, not code to read.
_LONGEST_LINE = 2000


def code_lines(code: str, language: str) -> list[Row]:
    """Return the lines of `code` as styled rows of any width, without blank lines at the end."""
    code = code.rstrip().expandtabs(TAB)
    if not code:
        return []
    plain = code.split("\n")
    lexer = _lexer(language.lower()) if language else None
    if lexer is None or max(map(len, plain)) > _LONGEST_LINE:
        return [[(line, style("code"))] if line else [] for line in plain]
    rows: list[Row] = [[]]
    for kind, text in lexer.get_tokens(code):
        look = syntax_style(tuple(kind))
        for index, piece in enumerate(text.split("\n")):
            if index:
                rows.append([])
            if piece:
                rows[-1].append((piece, look))
    if ["".join(run[0] for run in row) for row in rows] != plain:
        return [[(line, style("code"))] if line else [] for line in plain]
    return rows


@cache
def _lexer(language: str) -> Any:
    """Return the Pygments lexer of that name, None if there is none."""
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped] # Pygments ships no types
    from pygments.util import ClassNotFound  # type: ignore[import-untyped] # Pygments ships no types

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
