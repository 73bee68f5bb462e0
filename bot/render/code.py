"""Code in colours, by the line. Colours only: not a character of the code changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.render.styles import style, syntax_style
from bot.text.code import code_tokens

if TYPE_CHECKING:
    from bot.text.wrap import Row

TAB = 4


def code_lines(code: str, language: str) -> list[Row]:
    """Return the lines of `code` as styled rows of any width, without blank lines at the end."""
    code = code.rstrip().expandtabs(TAB)
    if not code:
        return []
    tokens = code_tokens(code, language)
    if tokens is None:
        return [[(line, style("code"))] if line else [] for line in code.split("\n")]
    rows: list[Row] = [[]]
    for kind, text in tokens:
        look = syntax_style(tuple(kind))
        for index, piece in enumerate(text.split("\n")):
            if index:
                rows.append([])
            if piece:
                rows[-1].append((piece, look))
    return rows
