"""A stored turn in the form that a finished turn had when it was shown: for looking at it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from bot.errors import Failure, FailureKind
from bot.events import Call, Slot, TurnResult, TurnStatus
from bot.messages import Agent, Completion, Usage
from bot.store.rows import StoredCall, Turn

_KINDS = {str(kind): kind for kind in FailureKind}


def result_of(turn: Turn, calls: Sequence[StoredCall]) -> TurnResult:
    """Return the turn as a result. What the store does not hold (hints, HTTP statuses) is missing."""
    made = [_call(call) for call in calls]
    rounds = sorted({call.slot.round for call in made if call.slot.role == "reference"})
    failed = turn.status not in get_args(TurnStatus) or turn.status == "failed"
    return TurnResult(
        status="failed" if failed and not turn.reply else "partial" if turn.status == "partial" else "done",
        reply=turn.reply,
        reasoning=turn.reasoning,
        model=turn.model,
        rounds=tuple(
            tuple(call for call in made if call.slot.role == "reference" and call.slot.round == number)
            for number in rounds
        ),
        aggregator=next((call for call in made if call.slot.role == "aggregator"), None),
        failure=Failure(FailureKind.INTERNAL, turn.error) if turn.error else None,
        usage=Usage(turn.prompt_tokens, turn.completion_tokens, turn.reasoning_tokens),
        cost=turn.cost,
        first_token=turn.first_token,
        seconds=turn.seconds or 0.0,
        notices=turn.notices,
    )


def _call(call: StoredCall) -> Call:
    failure = None
    if call.status == "failed":
        kind = _KINDS.get(call.error_kind or "", FailureKind.INTERNAL)
        failure = Failure(kind, call.error_message or "", call.model)
    completion = Completion(
        text=call.text,
        reasoning=call.reasoning,
        usage=Usage(call.prompt_tokens, call.completion_tokens, call.reasoning_tokens),
        finish_reason=call.finish_reason,
        first_token=call.first_token,
        seconds=call.seconds or 0.0,
        retries=call.retries,
        partial=call.partial,
    )
    nothing = failure is not None and not call.text and call.completion_tokens is None
    slot = Slot(call.round, call.slot, Agent(call.model, call.endpoint), call.role)
    return Call(slot, None if nothing else completion, failure, call.cost)
