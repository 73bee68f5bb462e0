"""Why a turn with models on this computer took long, and what shortens the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.errors import FailureKind
from bot.settings.endpoints import DEMO
from bot.text.names import short_name
from bot.text.numbers import duration

if TYPE_CHECKING:
    from collections.abc import Collection

    from bot.settings.settings import Settings
    from bot.turn_result import Call, TurnResult

LONG_TURN = 20.0
"""Seconds from which on the time that a turn took is explained."""
_LEAST_SHARE = 0.25
"""Of the turn's time: a call that took less of it does not explain it."""


def explain_once(result: TurnResult, settings: Settings, explained: set[str]) -> str:
    """Return why a turn with a model of this computer took long, "" where it did not.

    Of a model in `explained` it is not said again; the one that is named is added to it.
    """
    here = {name for name, endpoint in settings.endpoints.items() if endpoint.runs_here}
    slow = slowest_call(result, here - {DEMO})
    if slow is None or slow.slot.agent.model in explained:
        return ""
    explained.add(slow.slot.agent.model)
    return explanation(result, slow)


def slowest_call(result: TurnResult, endpoints: Collection[str]) -> Call | None:
    """Return the call to one of `endpoints` for which a long turn waited most, None when there is none."""
    if result.seconds < LONG_TURN:
        return None
    calls = [call for call in result.calls if call.slot.agent.endpoint in endpoints]
    slowest = max(calls, key=_seconds, default=None)
    return slowest if slowest and _seconds(slowest) >= _LEAST_SHARE * result.seconds else None


def explanation(result: TurnResult, slow: Call) -> str:
    """Return what the slowest call read and wrote, and for a reference model how to leave it out."""
    name = short_name(slow.slot.agent.model)
    parts = []
    if slow.completion:
        usage, first = slow.completion.usage, slow.completion.first_token or 0.0
        if usage.prompt_tokens:
            read = usage.prompt_tokens - (usage.cached_tokens or 0)
            parts.append(f"read {read:,} tokens in {duration(first)}")
        if usage.completion_tokens and (writing := slow.completion.seconds - first) > 0:
            rate = usage.completion_tokens / writing
            parts.append(f"wrote {usage.completion_tokens:,} at {rate:.{0 if rate >= 10 else 1}f}/s")  # noqa: PLR2004
    if slow.cut is FailureKind.TOO_SLOW:
        parts.append("was cut off")
    did = " and ".join(parts) or f"took {duration(_seconds(slow))}"
    text = f"The turn took {duration(result.seconds)}: {name} {did}."
    references = {call.slot.agent.model for call in result.rounds[0]} if result.rounds else set()
    if slow.slot.role == "reference" and len(references) > 1:
        text += f" To leave it out: /references -{name}"
    return text


def _seconds(call: Call) -> float:
    """Return how long a call took; of one that was cut off without an answer only that it was the slowest."""
    if call.cut is FailureKind.TOO_SLOW:
        return float("inf")
    return call.completion.seconds if call.completion else 0.0
