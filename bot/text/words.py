"""Words in any language, as the comparisons count them.

In scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) every character
counts as a word of its own. Everywhere else a word is a run of letters,
digits and underscores.
"""

from __future__ import annotations

import re

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_SPACELESS}]")
_UNIT = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
_TERM = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]{{2,}}")


_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
"""Characters that count as letters, marks or symbols but show nothing, or nothing by themselves."""


def is_blank(text: str) -> bool:
    """Return whether nothing of `text` can be seen: blanks, control characters, zero-width characters."""
    return not any(
        character.isprintable() and not character.isspace() and character not in _INVISIBLE
        for character in text
    )


def spaced(text: str) -> str:
    """Return `text` with blanks around each character of a script that is written without spaces."""
    return text if text.isascii() else _CHARACTER.sub(r" \g<0> ", text)


def terms(text: str) -> list[str]:
    r"""Return the words of two characters or more, in lower case.

    Without scripts written without spaces these are what scikit-learn's `TfidfVectorizer` takes
    for words by default (`\b\w\w+\b`).
    """
    return _TERM.findall(text.lower())


def units(text: str) -> list[str]:
    """Return all words in lower case, single letters and digits too.

    A text without any (signs, emoji) gives its visible characters, so that it can still be
    recognised.
    """
    return _UNIT.findall(text.lower()) or [sign for sign in text if not sign.isspace()]


def size(text: str) -> int:
    """Return the number of words."""
    return len(_UNIT.findall(text))
