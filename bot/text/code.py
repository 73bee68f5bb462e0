"""The tokens of program code, to show it in colours."""

from __future__ import annotations

from functools import cache
from typing import Any

# Some lexers take quadratic time; so much code, or so long a line, is data, not code to read.
_LONGEST_LINE, _LONGEST_CODE = 2000, 100_000


def code_tokens(code: str, language: str) -> list[tuple[Any, str]] | None:
    """Return Pygments' tokens (type, text) of `code`; their texts joined are `code`.

    None when the language is not known, when its lexer would change a character, or for more code
    than people read.
    """
    if len(code) > _LONGEST_CODE or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return None
    lexer = _lexer(language.lower()) if language else None
    tokens = list(lexer.get_tokens(code)) if lexer else []
    return tokens if "".join(text for _, text in tokens) == code else None


@cache
def _lexer(language: str) -> Any:
    """Return the Pygments lexer of that name, None if there is none."""
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 20 ms, and is for code only
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 20 ms, and is for code only

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
