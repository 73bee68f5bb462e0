"""Fits a request into the context length of the model that it goes to.

The tokenizers of the models are not at hand, so tokens are estimated from characters, on the
safe side; when the estimate was too low all the same, the service says so and the mixture asks
once more with a smaller budget. Cutting goes in the order that hurts least: the oldest turns
first, then the references evenly, then the room left for the answer; never the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.messages import Message
from bot.method.prompts import compose, system_message

TOKENS_PER_ASCII = 0.3
"""English prose has about 0.22-0.25 tokens a character, code about 0.3-0.35."""
TOKENS_PER_OTHER = 1.0
"""Chinese and Japanese have about 0.6-1.0, most other scripts less."""
MESSAGE_TOKENS = 8
"""What a chat template puts around a message."""
LEAST_REFERENCE = 64
"""Tokens: shorter than this a reference is of no use to its reader."""
LEAST_ANSWER = 256
"""Tokens: the least room for an answer that a long prompt may leave."""
CUT_MARK = "\n[… shortened to fit]"


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` takes, rather more than fewer."""
    ascii_characters = len(text.encode("ascii", "ignore"))
    others = len(text) - ascii_characters
    return int(ascii_characters * TOKENS_PER_ASCII + others * TOKENS_PER_OTHER) + 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request's messages after fitting, and what it took.

    `dropped` counts messages of the history left out, `shortened` references cut, and
    `max_tokens` is the room for the answer that remains.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    dropped: int = 0
    shortened: int = 0
    tightened: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing had to be cut."""
        return not (self.dropped or self.shortened or self.tightened)


def shorten(text: str, tokens: int) -> str:
    """Return the beginning of `text` that takes about `tokens` tokens, and a mark, if it is longer.

    Cut at a line's or sentence's end where one is near, so that the reader gets whole thoughts.
    """
    size = estimate_tokens(text)
    if size <= tokens:
        return text
    room = max(1, int(len(text) * tokens / size) - len(CUT_MARK))
    head = text[:room]
    for end in ("\n", ". ", " "):
        at = head.rfind(end, int(room * 0.8))
        if at > 0:
            head = head[: at + (end == ". ")]
            break
    return head.rstrip() + CUT_MARK


def even_cap(sizes: Sequence[int], room: int) -> int:
    """Return the largest size L with sum(min(size, L)) <= room: the long ones give way first."""
    left, rest = room, sorted(sizes)
    for place, size in enumerate(rest):
        share = left // (len(rest) - place)
        if size > share:
            return max(share, 0)
        left -= size
    return max(rest, default=0)


def fit(
    *,
    systems: Sequence[str | None],
    instruction: str,
    answers: Sequence[str],
    history: Sequence[Message],
    prompt: str,
    max_tokens: int,
    context: int | None,
) -> Fitted:
    """Return the request's messages, cut where needed so that they and the answer fit `context`.

    `context` is in tokens; None means unknown, and nothing is cut.
    """
    if context is None:
        return Fitted(compose(system_message(systems, instruction, answers), history, prompt), max_tokens)

    fixed = estimate_tokens(system_message(systems, "", ())) + estimate_tokens(prompt) + 2 * MESSAGE_TOKENS
    if answers:
        fixed += estimate_tokens(instruction) + 40 * len(answers)
    sizes = [estimate_tokens(answer) for answer in answers]
    turns = [estimate_tokens(message.content) + MESSAGE_TOKENS for message in history]

    room = context - max_tokens - fixed
    kept, first = sum(turns), 0
    while first < len(history) and kept + sum(sizes) > room:
        kept -= turns[first]
        first += 1
        # A conversation must not begin with a reply to a question that is gone.
        while first < len(history) and history[first].role != "user":
            kept -= turns[first]
            first += 1

    shown = list(answers)
    shortened = 0
    if first == len(history) and sum(sizes) > room:
        cap = max(even_cap(sizes, room), LEAST_REFERENCE)
        shown = [shorten(answer, cap) for answer in answers]
        shortened = sum(was != now for was, now in zip(answers, shown, strict=True))
        sizes = [estimate_tokens(answer) for answer in shown]

    needed = fixed + kept + sum(sizes)
    allowed = min(max_tokens, max(context - needed, LEAST_ANSWER))
    return Fitted(
        messages=compose(system_message(systems, instruction, shown), history[first:], prompt),
        max_tokens=allowed,
        dropped=first,
        shortened=shortened,
        tightened=allowed < max_tokens,
    )
