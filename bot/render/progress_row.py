"""What is known of one reference model while its round runs, and the words it is shown in."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.text.numbers import duration
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from bot.events import CallDelta

CHARACTERS_PER_TOKEN = 4
"""The rule of thumb by which tokens are reckoned until the service says their number."""


_BLANKS = re.compile(r"\s+")
_TAIL = 200  # characters of an answer that are kept to be shown


@dataclass(slots=True)
class ProgressRow:
    """What is known of one slot, and how it is shown."""

    name: str
    state: str = "queued"
    since: float = 0.0
    first: float | None = None
    until: float = 0.0
    characters: int = 0
    tail: str = ""
    tokens: int | None = None
    seconds: float = 0.0
    said: str = ""

    def sign(self) -> tuple[str, str]:
        """Return the sign and the name of its style."""
        return {
            "done": ("✓", "good"),
            "writing": ("▸", "busy"),
            "failed": ("✗", "bad"),
            "retrying": ("↻", "busy"),
        }.get(self.state, ("∙", "dim"))

    def cells(self, now: float) -> tuple[str, str, str, str]:
        """Return tokens or state, seconds, rate, and the last words or the reason."""
        if self.state == "failed":
            return "", "", "", self.said
        if self.state == "retrying":
            left = math.ceil(max(self.until - now, 0))
            return "", "", "", f"{self.said}, asking again" + (f" in {duration(left)}" if left else "")
        spent = duration(self.seconds if self.state == "done" else max(now - self.since, 0))
        if self.state == "queued":
            return "queued", "", "", ""
        if self.state == "done":
            tokens = "done" if self.tokens is None else f"{self.tokens:,} tok"
            return tokens, spent, self._rate(self.tokens or 0, self.seconds - (self.first or 0)), ""
        if self.state == "writing":
            reckoned = -(-self.characters // CHARACTERS_PER_TOKEN)
            rate = self._rate(reckoned, now - self.since - (self.first or 0))
            return f"~{reckoned:,} tok", spent, rate, self.tail
        return self.state, spent, "", self.tail

    @staticmethod
    def _rate(tokens: int, duration: float) -> str:
        # A rate over a moment is noise.
        return f"{tokens / duration:.0f}/s" if tokens and duration >= 1 / 2 else ""

    def wrote(self, event: CallDelta, now: float) -> None:
        """Take in words, or thoughts, that arrived."""
        if event.text:
            if self.state != "writing":
                self.state, self.characters, self.tail = "writing", 0, ""
                self.first = now - self.since
            self.characters += len(event.text)
            self.tail = _appended(self.tail, event.text)
        elif event.reasoning and self.state != "writing":
            self.state = "thinking"
            self.tail = _appended(self.tail, event.reasoning)


def _appended(tail: str, text: str) -> str:
    """Return the last characters of what a model wrote, on one line."""
    return _BLANKS.sub(" ", tail + sanitise(text[-_TAIL:], newlines=False))[-_TAIL:]
