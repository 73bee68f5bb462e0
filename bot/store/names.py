"""A conversation's id and title. Nothing here knows the database."""

from __future__ import annotations

import re
import secrets
import unicodedata

LETTERS = "abcdefghjkmnpqrstuvwxyz"
ALPHABET = LETTERS + "23456789"
"""The characters of ids, without those that are easily confused (0 and o, 1, l and i)."""

ID_LENGTH = 6
TITLE_LENGTH = 48
UNTITLED = "untitled"

_ID = re.compile(rf"[{LETTERS}][{ALPHABET}]{{{ID_LENGTH - 1},31}}")
# They change the order in which text is displayed, so a title could look like another one.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Line breaks of all kinds are of category Cc, Zl or Zp; Cs are halves of surrogate pairs.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def new_id() -> str:
    """Return a random id. It begins with a letter, so that it is not mistaken for a number or an age."""
    return secrets.choice(LETTERS) + "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH - 1))


def is_id(text: str) -> bool:
    """Return whether `text` has the form of an id: that of `new_id`, or longer up to 32 characters."""
    return _ID.fullmatch(text) is not None


def clean_title(title: str) -> str:
    """Return `title` on one line, without control characters or doubled spaces; never empty."""
    kept = "".join(
        " " if unicodedata.category(character) in _UNPRINTABLE else character
        for character in title
        if character not in _BIDI_CONTROLS
    )
    return " ".join(kept.split()) or UNTITLED


def title_from(prompt: str) -> str:
    """Return a title for a first prompt: its first line that has words, cut at the end of a word."""
    for line in prompt.splitlines():
        # Only the beginning is looked at: a prompt may be one line of a megabyte.
        title = clean_title(line[: 8 * TITLE_LENGTH])
        if title != UNTITLED:
            break
    else:
        return UNTITLED
    if len(title) <= TITLE_LENGTH:
        return title
    head, space, _ = title[:TITLE_LENGTH].rpartition(" ")
    # Where the last space is in the first third, a very long word follows: cut that word.
    if not space or len(head) < TITLE_LENGTH // 3:
        head = title[: TITLE_LENGTH - 1]
    return head.rstrip() + "…"
