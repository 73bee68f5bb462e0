"""The short phrases of a listing or an export: dates, costs, mixtures, what became of a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from bot.store import StoredCall, Turn

_CENT = 0.01
_LEAST = 0.0001


def date(moment: datetime) -> str:
    """Write a moment in local time, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def dollars(cost: float | None, uncosted: int = 0) -> str:
    """Write a cost; "+" after it says that `uncosted` turns are not in it, "" that none is known."""
    if cost is None:
        return ""
    if 0 < cost < _LEAST:
        said = f"<${_LEAST}"
    else:
        said = f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"
    return said + ("+" if uncosted else "")


def number(count: int, noun: str) -> str:
    """Write "1 turn", "2 turns"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def mixture(settings: Mapping[str, object]) -> str:
    """Write what is known of a mixture on one line, "" where nothing is."""
    parts = []
    if preset := settings.get("preset"):
        parts.append(f"preset {preset}")
    models = settings.get("reference_models")
    if isinstance(models, (list, tuple)):
        parts.append(number(len(models), "reference model"))
    if isinstance(rounds := settings.get("rounds"), int):
        parts.append(number(rounds, "round"))
    if aggregator := settings.get("aggregator"):
        parts.append(f"aggregator {aggregator}")
    return " · ".join(parts)


def ending(turn: Turn) -> str:
    """Write what became of a turn that is not simply done, "" for one that is."""
    match turn.status:
        case "done":
            return ""
        case "partial":
            return "the reply was cut off" + (f": {turn.error}" if turn.error else "")
        case "failed":
            return "failed" + (f": {turn.error}" if turn.error else "")
        case "undone":
            return "taken back: not part of the conversation any more"
        case "interrupted":
            return "interrupted: the program ended before the reply was there"


def turn_facts(turn: Turn, calls: Iterable[StoredCall]) -> str:
    """Write who answered and what it took, as far as it is known: one line, may be ""."""
    references = [call for call in calls if call.role == "reference"]
    parts = []
    if references:
        answered = sum(call.status == "done" for call in references)
        rounds = len({call.round for call in references})
        parts.append(f"{answered} of {number(len(references), 'reference')} in {number(rounds, 'round')}")
    if turn.model:
        parts = [f"{parts[0]} → {turn.model}" if parts else turn.model]
    if turn.first_token is not None:
        parts.append(f"first word {turn.first_token:.1f} s")
    if turn.seconds is not None:
        parts.append(f"{turn.seconds:.1f} s")
    if turn.prompt_tokens is not None and turn.completion_tokens is not None:
        parts.append(number(turn.prompt_tokens + turn.completion_tokens, "token"))
    if turn.cost is not None:
        parts.append(dollars(turn.cost))
    return " · ".join(parts)


def call_facts(call: StoredCall) -> str:
    """Write a call's model and what it took on one line."""
    parts = [call.model]
    if call.error:
        parts.append(call.error)
    if call.completion_tokens is not None:
        parts.append(number(call.completion_tokens, "token"))
    if call.seconds is not None:
        parts.append(f"{call.seconds:.1f} s")
    if call.partial:
        parts.append(f"cut: {call.partial}")
    return " · ".join(parts)


def by_turn(calls: Iterable[StoredCall]) -> dict[int, list[StoredCall]]:
    """Sort calls to their turns' numbers, each list by round and slot."""
    sorted_calls: dict[int, list[StoredCall]] = {}
    for call in sorted(calls, key=lambda call: (call.turn, call.round, call.slot)):
        sorted_calls.setdefault(call.turn, []).append(call)
    return sorted_calls


def by_round(calls: Sequence[StoredCall]) -> dict[int, list[StoredCall]]:
    """Sort the reference calls of one turn to their rounds."""
    rounds: dict[int, list[StoredCall]] = {}
    for call in calls:
        if call.role == "reference":
            rounds.setdefault(call.round, []).append(call)
    return rounds
