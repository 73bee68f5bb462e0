"""Puts the answers of a round into the system message, as the method asks.

What a model is sent: the user's system prompt (if any), the agent's own (if any), then, when
there are answers to read, the aggregate-and-synthesize instruction and the numbered answers; then
the conversation and the prompt. Nothing here knows about rounds, tokens or services.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bot.messages import Message


def seal(answers: Sequence[str]) -> str:
    """Return 12 hex digits that occur in none of the answers: the seal on their markers.

    It is a digest of all answers together, so that the same answers always make the same message
    (a run can be repeated), and no answer can contain its own closing marker: its author would
    have had to know the other answers and a digest of what it was still writing.
    """
    salt = 0
    while True:
        digest = hashlib.sha256(str(salt).encode())
        for answer in answers:
            raw = answer.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        digits = digest.hexdigest()[:12]
        if not any(digits in answer for answer in answers):
            return digits
        salt += 1


def numbered(answers: Sequence[str]) -> str:
    """Return the answers as blocks numbered from 1 without gaps, each between sealed markers."""
    mark = seal(answers)
    return "\n\n".join(
        f"<answer {number} of {len(answers)} · {mark}>\n{answer}\n</answer {number} · {mark}>"
        for number, answer in enumerate(answers, start=1)
    )


def system_message(systems: Sequence[str | None], instruction: str, answers: Sequence[str]) -> str:
    """Return the text of the system message, "" when there is nothing to say in it.

    `systems` are system prompts in the order they are to stand (the user's first). With no answers
    the instruction is left out: there would be nothing to aggregate.
    """
    parts = [system.strip() for system in systems if system and system.strip()]
    if answers:
        parts += [instruction.strip(), numbered(answers)]
    return "\n\n".join(parts)


def compose(system: str, history: Sequence[Message], prompt: str) -> tuple[Message, ...]:
    """Return the messages of a request: system message if there is one, history, prompt."""
    head = (Message("system", system),) if system else ()
    return (*head, *history, Message("user", prompt))


CONTINUE = (
    "The connection was lost in the middle of your reply. Write the rest of it: begin with the very next "
    "character after the last one above, repeat nothing, and do not mention the interruption."
)


def continue_reply(messages: tuple[Message, ...], so_far: str) -> tuple[Message, ...]:
    """Return the request for the rest of a reply that broke off after `so_far`."""
    return (*messages, Message("assistant", so_far), Message("user", CONTINUE))


class ContinuationJoiner:
    """Joins the rest of a reply to its beginning: what a model repeats of it is left out.

    Feed it the rest as it streams; the first piece is held back until the overlap is certain.
    """

    LOOK = 400
    LEAST = 8
    """Characters: a shorter repetition may well be the text itself."""

    def __init__(self, so_far: str) -> None:
        self._so_far = so_far
        self._held: str | None = ""

    def feed(self, text: str) -> str:
        """Return what is certainly new."""
        if self._held is None:
            return text
        self._held += text
        return self.close() if len(self._held) >= self.LOOK else ""

    def close(self) -> str:
        """Return what was held back, without what the beginning ends with."""
        held, self._held = self._held or "", None
        for length in range(min(len(held), len(self._so_far)), self.LEAST - 1, -1):
            if self._so_far.endswith(held[:length]):
                return held[length:]
        return held
