"""Attributes the reply of a turn to the proposals that its aggregator read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.attribution.attribution import Attribution, attribute
from bot.text.names import slot_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.turn_result import Call, TurnResult


def attribute_result(result: TurnResult, min_references: int = 1) -> Attribution:
    """Compare a turn's reply with the answers that its aggregator read.

    `min_references` is how many answers a round needed to be used: a later round with fewer was
    put aside for the one before it.
    """
    return attribute(result.reply, proposals_read(result.rounds, min_references))


def proposals_read(rounds: Sequence[Sequence[Call]], min_references: int = 1) -> list[tuple[str, str]]:
    """Return (name, text) of the answers of the last round that was used, without the empty ones."""
    for number in reversed(range(len(rounds))):
        names = slot_names([call.slot.agent for call in rounds[number]])
        answers = [
            (name, call.answer)
            for name, call in zip(names, rounds[number], strict=True)
            if call.answer.strip()
        ]
        if number == 0 or len(answers) >= max(1, min_references):
            return answers
    return []


def stored_min_references(settings: Mapping[str, object]) -> int:
    """Return `min_references` of a stored conversation's settings, 1 where they have no such number."""
    value = settings.get("min_references")
    return value if isinstance(value, int) and not isinstance(value, bool) else 1
