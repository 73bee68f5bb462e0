"""What a revision changed in a draft, word by word: removed words in red, added ones in green.

Without colours they stand as [-removed-] and {+added+}. Lines that are the same are left out, except one
before and one after each change.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORDS = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
"""A word, or another sign, with the blanks before it: passages have blanks in common that say nothing."""
_REMOVED, _ADDED = Style(color="red", strike=True), Style(color="green")
_AROUND = 1
"""Unchanged lines that are shown before and after a change."""
_ALIKE = 0.4
"""Two passages with a smaller share of their words in common are shown one after the other."""
_MOST_COMPARED = 1_000_000
"""Pairs of words: two longer passages are not compared by words, which would take seconds."""


def diff_text(old: str, new: str, *, colour: bool) -> Text:
    """Return the difference of two texts; empty where they are the same."""
    before, after = (sanitise(text).strip("\n").splitlines() for text in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    shown = Text()
    for group in matcher.get_grouped_opcodes(_AROUND):
        if shown:
            shown.append("…\n", Style(dim=True))
        for kind, first, last, start, end in group:
            if kind == "equal":
                shown.append("".join(f"{line}\n" for line in before[first:last]), Style(dim=True))
            else:
                shown.append_text(_changed(before[first:last], after[start:end], colour=colour))
    shown.rstrip()
    return shown


def _changed(before: Sequence[str], after: Sequence[str], *, colour: bool) -> Text:
    """Return the lines of a change; where as many come as go, line by line."""
    if len(before) == len(after) > 1:
        pairs = zip(before, after, strict=True)
        return Text("").join(_changed([old], [new], colour=colour) for old, new in pairs)
    text = Text()
    for piece, kind in _parts("\n".join(before), "\n".join(after)):
        if not piece:
            continue
        if kind == "equal":
            text.append(piece)
        elif colour:
            text.append(piece, _REMOVED if kind == "delete" else _ADDED)
        else:
            word = piece.lstrip() or piece
            text.append(piece.removesuffix(word))
            text.append(f"[-{word}-]" if kind == "delete" else f"{{+{word}+}}")
    return text.append("\n")


def _parts(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield (text, kind): by words where the passages are alike, else the old one, then the new one."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    comparable = 0 < len(old) * len(new) <= _MOST_COMPARED
    if not comparable or matcher.quick_ratio() < _ALIKE or matcher.ratio() < _ALIKE:
        yield from ((before, "delete"), ("\n" if before and after else "", "equal"), (after, "insert"))
        return
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind == "equal":
            yield "".join(old[first:last]), "equal"
        else:
            yield "".join(old[first:last]), "delete"
            yield "".join(new[start:end]), "insert"
