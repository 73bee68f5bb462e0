"""How the offline service counts and splits tokens: by one simple rule.

A token is up to 12 letters and digits, or up to 12 other visible characters, with up to 12
characters of white space before it; longer white space is split into tokens of its own. The tokens
of a text joined are exactly the text. Every message of a prompt counts 4 tokens more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_TOKEN: Final = re.compile(r"\s{0,12}(?:\w{1,12}|[^\w\s]{1,12})|\s{1,12}")
_PER_MESSAGE: Final = 4


def tokens_of(text: str) -> list[str]:
    """Split `text` into tokens; `"".join(tokens_of(text)) == text` for every text."""
    return _TOKEN.findall(text)


def count_prompt(texts: Iterable[str]) -> int:
    """Return the prompt tokens of a chat whose messages hold these texts."""
    return sum(len(tokens_of(text)) + _PER_MESSAGE for text in texts)
