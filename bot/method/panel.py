"""What became of a round's panel: who answered, who was left out and why, in values and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import Failure, FailureKind
from bot.text.names import family_of, same_family, short_name, slot_names
from bot.text.numbers import plural
from bot.turn_result import Call, LeftOut, Panel


def panel_of(calls: Sequence[Call]) -> Panel | None:
    """Return the panel of a round with these calls, None when nobody was asked."""
    if not calls:
        return None
    answered = [call.slot.agent.model for call in calls if call.answer]
    left_out = tuple(
        LeftOut(call.slot.agent.model, _reason(call.failure)) for call in calls if not call.answer
    )
    return Panel(len(calls), len(answered), left_out, len(set(map(family_of, answered))))


def _reason(failure: Failure | None) -> str:
    """Return why an answer is not there; how long it was waited for says more than that it was slow."""
    if failure is None:
        return "no answer"
    return failure.message if failure.kind is FailureKind.TOO_SLOW else str(failure.kind)


def family_notice(calls: Sequence[Call]) -> str:
    """Return which different models of a round are of one family, "" where none are."""
    models = {call.slot.agent.model for call in calls if call.answer}
    alike = same_family(call.slot.agent.model for call in calls if call.answer)
    if not alike:
        return ""
    names = ", ".join(map(short_name, alike))
    return f"{len(alike)} of {len(models)} models are of one family and may make the same mistakes: {names}."


def answered(calls: Sequence[Call]) -> int:
    """Return how many of the calls were answered."""
    return sum(bool(call.answer) for call in calls)


def cut_notice(number: int, rounds: int, calls: Sequence[Call]) -> str:
    """Return which models of a round were not waited for, "" when all were."""
    names = slot_names([call.slot.agent for call in calls])
    cut = [(name, call) for name, call in zip(names, calls, strict=True) if call.cut]
    if not cut:
        return ""
    left_out = ", ".join(name for name, call in cut if not call.answer)
    cut_short = ", ".join(name for name, call in cut if call.answer)
    parts = [
        f"{answered(calls)} of {len(calls)} answered",
        f"left out: {left_out}" if left_out else "",
        f"cut short: {cut_short}" if cut_short else "",
    ]
    first = cut[0][1]
    why = first.failure.message if first.failure else first.completion.partial if first.completion else ""
    if first.cut is FailureKind.TOO_SLOW:
        why += "; the slowest are often the strongest"
    text = f"{'; '.join(filter(None, parts))} ({why})"
    return f"Round {number} of {rounds}: {text}" if rounds > 1 else text


def too_few(calls: Sequence[Call], needed: int) -> Failure:
    """Return the failure of a turn whose first round gave fewer than `needed` answers."""
    failures = [call.failure for call in calls if call.failure]
    kinds = {failure.kind for failure in failures}
    if kinds == {FailureKind.CANCELLED}:
        return Failure(FailureKind.CANCELLED, "stopped before enough models had answered")
    if len(failures) == len(calls) and len(kinds) == 1:
        # One cause for all (no key, no network) matters more than how many failed.
        first = failures[0]
        if len(failures) == 1:
            return first
        message = f"all {len(failures)} reference models failed: {first.message}"
        return Failure(first.kind, message, hint=first.hint)
    reasons = "; ".join(str(failure) for failure in failures)
    return Failure(
        FailureKind.TOO_FEW,
        f"{answered(calls)} of {plural(len(calls), 'reference model')} answered, {needed} needed: {reasons}",
        hint="--min_references sets how many are needed",
    )
