"""Finds the proposals a reply was made of: those of the last round that the aggregator read.

From a turn that has just ended (`from_result`), or from one that is kept (`from_calls`). Compares
nothing itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bot.attribution.attribution import Attribution, attribute
from bot.text.names import short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.events import TurnResult
    from bot.store import StoredCall, Turn

Answer = tuple[str, str]
"""A model's name, and what it answered; "" where it failed."""


def from_result(result: TurnResult, min_references: int = 1) -> Attribution:
    """Trace the reply of a turn that has just ended; see `from_calls` for `min_references`."""
    rounds = [[(call.slot.agent.model, call.answer) for call in calls] for calls in result.rounds]
    return attribute(result.reply, named(read_round(rounds, min_references)))


def from_calls(turn: Turn, calls: Iterable[StoredCall], min_references: int = 1) -> Attribution:
    """Trace the reply of a kept turn. `calls` may hold other turns' calls too.

    `min_references` is how many answers a round needed to be used: a later round with fewer was
    put aside for the one before it.
    """
    rounds: dict[int, list[Answer]] = {}
    of_turn = [call for call in calls if call.turn == turn.number and call.role == "reference"]
    for call in sorted(of_turn, key=lambda call: (call.round, call.slot)):
        failed = call.status == "failed" or call.error_kind is not None
        rounds.setdefault(call.round, []).append((call.model, "" if failed else call.text))
    return attribute(turn.reply, named(read_round(list(rounds.values()), min_references)))


def references_needed(settings: Mapping[str, object]) -> int:
    """Return `min_references` out of a conversation's settings, 1 where they do not say."""
    value = settings.get("min_references")
    return value if isinstance(value, int) and not isinstance(value, bool) else 1


def read_round(rounds: Sequence[Sequence[Answer]], min_references: int = 1) -> list[Answer]:
    """Return the answers that the aggregator was given: the last usable round's, the empty ones left out."""
    for number in reversed(range(len(rounds))):
        given = [(model, text) for model, text in rounds[number] if text.strip()]
        if number == 0 or len(given) >= max(1, min_references):
            return given
    return []


def named(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers under short names, all different: "GLM-5.2", "GLM-5.2 (2)"."""
    seen: Counter[str] = Counter()
    taken: set[str] = set()
    result = []
    for model, text in answers:
        short = name = short_name(model) or "unnamed"
        while name in taken:
            seen[short] += 1
            name = f"{short} ({seen[short] + 1})"
        taken.add(name)
        result.append((name, text))
    return result
