"""One prompt whose answers are written beforehand, so that a comparison has something to find.

The five answers hold two contradictions (how often, and whether lions do), one fact that a single answer
has, and one error that all of them make.
"""

from __future__ import annotations

from typing import Final

SCRIPTED_PROMPT: Final = "Why do cats purr, and why do they stop?"

_ERROR: Final = "A cat that purrs is always content."

SCRIPTED_ANSWERS: Final = {
    "demo/outliner": f"""{_ERROR}

- The muscles of the larynx twitch 25 times a second.
- Lions can purr like house cats.
- Kittens purr while they drink milk.""",
    "demo/reader": f"""Kittens purr while they drink milk. {_ERROR}

The muscles of the larynx twitch 25 times a second. Lions cannot purr like house cats.""",
    "demo/sceptic": f"""{_ERROR}

- The muscles of the larynx twitch 70 times a second.
- Purring near 26 hertz has been linked to the healing of bones.""",
    "demo/planner": f"""1. {_ERROR}
2. Lions cannot purr like house cats.
3. Kittens purr while they drink milk.""",
    "demo/telegraph": f"""{_ERROR} The muscles of the larynx twitch 25 times a second.""",
}
"""The answers by demonstration model."""

SCRIPTED_REPLY: Final = """Cats purr by twitching the muscles of the larynx.

- **How often** is open between the answers, 25 or 70 times a second. Both lie within what has \
been measured, about 25 to 150 times.
- **Lions cannot purr** like house cats: the bone below their tongue is not stiff enough. That one \
answer says otherwise does not change it.
- **Not always content:** all of the answers say that a purring cat is content, and all are wrong. \
Cats purr in pain and in fear as well.
- Purring near 26 hertz has been linked to the healing of bones; a single answer had that.
- **Why they stop,** none of the answers said. Mostly the cat has fallen asleep or been distracted."""


def is_scripted(prompt: str) -> bool:
    """Whether this prompt, but for case and blanks, is the one with scripted answers."""
    return " ".join(prompt[:200].split()).casefold().rstrip(" ?") == SCRIPTED_PROMPT.casefold().rstrip(" ?")
