"""Asks the terminal whether its background is light or dark (OSC 11), and keeps the answer out of the prompt.

The question is followed by one that every terminal answers (DA1): with that answer it is over, whether
the first was understood or not. Until then what comes from the keyboard is searched for both. Some of their
beginnings cannot be typed: these are dropped where the rest is late or does not come.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Literal

Background = Literal["light", "dark"]

QUESTION = "\x1b]11;?\x1b\\\x1b[c"
LIMIT = 0.5
"""Seconds after which a beginning of an answer is what was typed, and nobody waits for the rest."""

_ANSWER = re.compile(r"\x1b\]11;([^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b\[\?[0-9;]*c")
_BEGINNING = re.compile(r"\x1b(?:\](?:1(?:1(?:;[^\x07\x1b]*\x1b?)?)?)?|\[(?:\?[0-9;]*)?)?\Z")
_CERTAIN = re.compile(r"\x1b\]11;[0-9a-fA-Frg:/]*|\x1b\[\?[0-9;]*")
"""Beginnings of answers that no key sends."""
_COLOUR = re.compile(r"rgba?:([0-9a-f]{1,4})/([0-9a-f]{1,4})/([0-9a-f]{1,4})", re.IGNORECASE)
_WEIGHTS = (0.2126, 0.7152, 0.0722)  # of red, green and blue in luminance, by ITU-R BT.709


class BackgroundQuestion:
    """One question. `answered` is called with what the terminal says."""

    def __init__(
        self, answered: Callable[[Background], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._answered = answered
        self._clock = clock
        self._until = clock() + LIMIT
        self._held = ""
        self._dropped = ""
        self.over = False
        """Whether all answers have come."""

    @property
    def seconds_left(self) -> float:
        """How long it is worth waiting for the answers."""
        return 0.0 if self.over else max(self._until - self._clock(), 0.0)

    def feed(self, text: str) -> str:
        """Return what was typed of what the terminal has sent; a beginning of an answer is held back."""
        if not text or (self.over and not (self._held or self._dropped)):
            return text
        if _ANSWER.match(self._dropped + text):
            text = self._dropped + text
        text = _ANSWER.sub(self._take, self._held + text)
        self._held = self._dropped = ""
        beginning = _BEGINNING.search(text)
        if beginning and (self.seconds_left or _CERTAIN.fullmatch(beginning[0].removesuffix("\x1b"))):
            self._held = beginning[0]
            text = text[: beginning.start()]
        return text if self.over else _CERTAIN.sub("", text)

    def release(self) -> str:
        """Return what was held back, for which nothing more has come, if it may have been typed."""
        held, self._held = self._held, ""
        if not (beginning := _CERTAIN.match(held)):
            return held
        self._dropped = beginning[0]
        return held[beginning.end() :]

    def _take(self, answer: re.Match[str]) -> str:
        if answer[1] is None:
            self.over = True
        elif background := parse_background(answer[1]):
            self._answered(background)
        return ""


def parse_background(colour: str) -> Background | None:
    """Return whether a colour such as "rgb:ffff/ffff/ffff" is light, None where it cannot be read."""
    found = _COLOUR.match(colour)
    if found is None:
        return None
    parts = [int(part, 16) / (16 ** len(part) - 1) for part in found.groups()]
    light = sum(weight * part for weight, part in zip(_WEIGHTS, parts, strict=True))
    return "light" if light > 0.5 else "dark"  # noqa: PLR2004 - half of white
