"""A stored turn as the `TurnResult` that it was when it was live, to be shown again."""

from __future__ import annotations

from collections.abc import Iterable

from bot.analysis import stored_analysis
from bot.errors import Failure, FailureKind
from bot.messages import Agent, Completion, Usage
from bot.store.rows import StoredCall, StoredTurn
from bot.tool_use import stored_runs
from bot.turn_result import Call, Slot, TurnResult, TurnStatus, stored_panel, stored_shadow

_KINDS = {str(kind): kind for kind in FailureKind}


def turn_result(turn: StoredTurn, calls: Iterable[StoredCall]) -> TurnResult:
    """Return a turn and its calls, in the order of their slots, as a result.

    What the store does not hold is left at its default: an agent's own settings, a failure's
    HTTP status, hint and limits, and why a completion was cut off other than in words.
    """
    other: TurnStatus = "done" if turn.reply else "failed"
    return TurnResult(
        status=turn.status if turn.status in {"done", "partial"} else other,
        reply=turn.reply,
        reasoning=turn.reasoning,
        model=turn.model,
        calls=tuple(_call(call) for call in calls),
        failure=Failure(FailureKind.INTERNAL, turn.error) if turn.error else None,
        first_token=turn.first_token,
        seconds=turn.seconds or 0.0,
        notices=turn.notices,
        analysis=stored_analysis(turn.analysis),
        panel=stored_panel(turn.panel),
        shadow=stored_shadow(turn.shadow),
    )


def _call(call: StoredCall) -> Call:
    failure = None
    if call.status == "failed":
        kind = _KINDS.get(call.error_kind or "", FailureKind.INTERNAL)
        failure = Failure(kind, call.error_message or "", call.model)
    completion = None
    # A call without a completion has no seconds either.
    if failure is None or call.seconds is not None:
        completion = Completion(
            text=call.text,
            reasoning=call.reasoning,
            usage=Usage(
                call.prompt_tokens, call.completion_tokens, call.reasoning_tokens, call.cached_tokens
            ),
            finish_reason=call.finish_reason,
            first_token=call.first_token,
            seconds=call.seconds or 0.0,
            retries=call.retries,
            partial=call.partial,
        )
    slot = Slot(call.round, call.slot, Agent(call.model, call.endpoint), call.role)
    return Call(slot, completion, failure, call.cost, stored_runs(call.tools))
