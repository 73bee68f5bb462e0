"""A turn in words: what a round came to, the line under a reply, and why something is missing.

Strings only; nothing is written here. Whatever comes from a model or a service is sanitised, and
every phrase is one line.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.errors import FailureKind
from bot.text.names import short_name, slot_names
from bot.text.numbers import duration, money, plural
from bot.text.sanitise import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.errors import Failure
    from bot.events import RoundFinished
    from bot.turn_result import Call, Slot, TurnResult


def failure_text(failure: Failure) -> str:
    """Return a failure without its model: what happened, and what the user can do about it."""
    return one_line(str(replace(failure, model="")))


def left_out(name: str, failure: Failure) -> str:
    """Return "dbrx-instruct left out: rate limited"."""
    return f"{name} left out: {failure.kind}"


def stopped(event: RoundFinished) -> bool:
    """Whether the user stopped the round, so that there is nothing to be said about it."""
    return not event.used and any(call.cut is FailureKind.CANCELLED for call in event.calls)


def round_title(number: int, rounds: int, slots: Sequence[Slot]) -> str:
    """Return "round 1 of 2", or "review" where drafts are reviewed."""
    if slots and slots[0].role == "review":
        return f"review {number} of {rounds}" if rounds > 1 else "review"
    return f"round {number} of {rounds}"


def round_name(event: RoundFinished) -> str:
    """Return "round 1", or "review" where a draft was reviewed."""
    if event.calls and event.calls[0].slot.role == "review":
        return f"review {event.round}" if event.rounds > 1 else "review"
    return f"round {event.round}"


def round_summary(event: RoundFinished) -> tuple[str, list[str]]:
    """Return a phrase about a round that is over, and one for each model that failed.

    Those that were not waited for are named by a notice of the mixture.
    """
    names = slot_names([call.slot.agent for call in event.calls])
    failures = [
        left_out(name, call.failure)
        for name, call in zip(names, event.calls, strict=True)
        if call.failure is not None and not call.cut
    ]
    good = sum(call.failure is None for call in event.calls)
    head = f"{round_name(event)}   {good} of {len(event.calls)}   {duration(event.seconds)}"
    done = [
        (call.completion.seconds, name)
        for name, call in zip(names, event.calls, strict=True)
        if call.completion
    ]
    if runs := sum(len(call.tool_runs) for call in event.calls):
        head += f"   {plural(runs, 'tool call')}"
    if len(done) > 1:
        head += f"   slowest {max(done)[1]}"
    return head + ("" if event.used else "   not used"), failures


def turn_summary(result: TurnResult, width: int = 1000) -> list[str]:
    """Return the line under a reply: models, times, tokens, cost, and any problems.

    It is broken between its parts where it is longer than `width` cells.
    """
    total = result.usage.total_tokens
    parts = [
        _mixture(result),
        "" if result.first_token is None else f"first word {duration(result.first_token)}",
        duration(result.seconds),
        "tokens unknown" if total is None else plural(total, "token"),
        money(result.cost),
    ]
    calls = [call for round_ in (*result.rounds, *result.reviews) for call in round_]
    failed = sum(call.failure is not None for call in calls)
    if failed:
        parts.append(f"{failed} of {len(calls)} left out")
    lines = [""]
    for part in filter(None, [*parts, partial_reason(result)]):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def turn_failure(result: TurnResult) -> str:
    """Return why a turn has no reply."""
    if result.failure is None:
        return "the turn failed"
    return one_line(str(result.failure))


def partial_reason(result: TurnResult) -> str:
    """Return "partial: …" with the reason why a reply is incomplete, "" for a complete one."""
    if result.status != "partial":
        return ""
    completion = result.writer.completion if result.writer else None
    why = one_line(completion.partial) if completion else ""
    return f"partial: {why}" if why else "partial"


def json_block(reply: str) -> str:
    """Return a reply that is a JSON object or list as a block of code in Markdown, others unchanged."""
    text = reply.strip()
    if text[:1] not in {"{", "["}:
        return reply
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return reply
    shown = text if "\n" in text else json.dumps(value, indent=2, ensure_ascii=False)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", shown))])
    return f"{fence}json\n{shown}\n{fence}"


def call_failure(call: Call, *, short: bool = False) -> str:
    """Return "round 1: dbrx-instruct left out: rate limited: HTTP 429: …"; with `short` its kind only."""
    if call.failure is None:
        return ""
    name = short_name(call.slot.agent.model)
    why = call.failure.kind if short else failure_text(call.failure)
    where = "review" if call.slot.role == "review" else f"round {call.slot.round}"
    return f"{where}: {name} left out: {why}"


def _mixture(result: TurnResult) -> str:
    aggregator = short_name(result.model)
    if reviews := result.reviews:
        times = f" × {len(reviews)}" if len(reviews) > 1 else ""
        return f"{aggregator} ← {plural(len(reviews[-1]), 'reviewer')}{times}"
    if not result.rounds:
        return aggregator
    slots = result.rounds[-1]
    models = {call.slot.agent.model for call in slots}
    if len(models) == 1 and len(slots) > 1:
        who = f"{short_name(slots[0].slot.agent.model)} ×{len(slots)}"
    else:
        who = plural(len(slots), "model")
    times = f" × {len(result.rounds)}" if len(result.rounds) > 1 else ""
    # By vote, and where answers are only shown, no model writes the reply.
    return f"{who}{times} → {aggregator}" if result.aggregator or not result.reply else f"{who}{times}"
