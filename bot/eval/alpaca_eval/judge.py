"""The question to AlpacaEval's judge, and the preference in its answer.

The judge sees the two answers as "m" and "M" and says one of these; how sure it is, is read from
its first token's log probabilities. A judge without log probabilities is asked twice, with the answers
in both orders, and its words are read: so that a judge that prefers a place says nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable

from bot.eval.benchmark import fill
from bot.eval.official_data import DataError
from bot.messages import Message, Role

TEMPERATURE = 1.0
MAX_TOKENS = 1
TOP_LOGPROBS = 5
TEXT_TEMPERATURE = 0.0
TEXT_MAX_TOKENS = 1024
"""For one letter, and for what a model says or thinks before it."""

# Neither a part of a word nor of "I'm".
_NAMED = re.compile(r"(?<![\w'’])[mM](?![\w'’])")
_TURN = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)<\|im_end\|>", re.DOTALL)


def swapped(instruction: str) -> bool:
    """Whether the model under test is shown first for this instruction (as "m")."""
    # The seed and the draw are the official tool's: its judgments are reproduced only in its order.
    generator = random.Random(f"is_switched_outputs{instruction}0")  # noqa: S311 - no secret
    return generator.choices([False, True], k=1)[0]


def messages(
    template: str, instruction: str, baseline: str, answer: str, *, reverse: bool = False
) -> tuple[Message, ...]:
    """Return the judge's messages from the official prompt file. Raises DataError for a file that is none.

    `reverse`: the answers in the other order than the official one. The template is taken apart before
    it is filled in, so that an answer can open no message.
    """
    first, second = (answer, baseline) if swapped(instruction) != reverse else (baseline, answer)
    values = {"instruction": instruction, "output_1": first, "output_2": second}
    turns: list[tuple[Role, str]] = _TURN.findall(template)
    if not all(any(f"{{{name}}}" in text for _, text in turns) for name in values):
        raise DataError("The judge prompt has no place for the instruction and both answers.")
    return tuple(Message(role, fill(text.strip(), values)) for role, text in turns)


def preference(top_logprobs: Iterable[tuple[str, float]], *, is_swapped: bool) -> float | None:
    """Return 1 (the baseline is better) … 2 (the model under test is), None when the judge said neither.

    `top_logprobs` are the likeliest first tokens with their natural logarithms of probability.
    """
    logprobs = dict(top_logprobs)
    known = [logprobs[token] for token in ("m", "M") if token in logprobs and not math.isnan(logprobs[token])]
    # Both improbable beyond the range of floats: compare with the better one instead of with 1.
    best = max(known, default=-math.inf)
    if best == -math.inf:
        return None
    first, second = (math.exp(logprobs.get(token, -math.inf) - best) for token in ("m", "M"))
    value = 2 - first / (first + second)
    return 3 - value if is_swapped else value


def preference_of_words(words: str, reversed_words: str, *, is_swapped: bool) -> float | None:
    """Return 1 (the baseline is better in both orders), 1.5 or 2; None when an order has no verdict.

    `words` are the judge's in the official order, `reversed_words` in the other one.
    """
    named, named_reversed = _named(words), _named(reversed_words)
    if named is None or named_reversed is None:
        return None
    answer = "m" if is_swapped else "M"
    return 1 + ((named == answer) + (named_reversed != answer)) / 2


def _named(words: str) -> str | None:
    """Return the answer, "m" or "M", that the last line to name one names; None when it names both."""
    for line in reversed(words.splitlines()):
        if named := set(_NAMED.findall(line)):
            return named.pop() if len(named) == 1 else None
    return None
