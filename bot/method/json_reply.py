"""A reply that has to be JSON: how it is asked for, and what becomes of one that is something else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bot.errors import Failure, FailureKind
from bot.method.consult import question_of
from bot.method.turn_context import Task
from bot.turn_result import Call, TurnStatus

if TYPE_CHECKING:
    from bot.method.plan import Plan
    from bot.text.reply_format import ReplyFormat

_CORRECT: Final = (
    "That reply could not be used: {problem}. Write it once more, as JSON that is valid, and nothing before"
    " or after it."
)
_MAX_QUOTED: Final = 20_000
"""Characters of a rejected reply that its writer is shown."""


@dataclass(frozen=True, slots=True)
class JsonReply:
    """What the aggregators of a turn are asked for beside an answer to the prompt."""

    form: ReplyFormat

    def task(self, beginning: str = "", rejected: str = "", problem: str = "") -> Task:
        """Return the task of a request: for a reply, for the rest of one, or for another one."""
        # A service that writes nothing but whole JSON cannot write the rest of one.
        fields = {} if beginning else {"response_format": self.form.field}
        correction = (rejected[:_MAX_QUOTED], _CORRECT.format(problem=problem)) if problem else None
        return Task(self.form.instruction(), fields, correction)

    def check(self, call: Call) -> tuple[Call, str]:
        """Return the call with nothing but its JSON as the reply, and what is wrong with that, else "".

        A call that failed or broke off is not checked, nor one that consults the panel.
        """
        if not is_written(call) or call.completion is None:
            return call, ""
        try:
            text = self.form.checked(call.completion.text)
        except ValueError as problem:
            return call, str(problem)
        return replace(call, completion=replace(call.completion, text=text)), ""


def is_written(call: Call) -> bool:
    """Return whether a call has written a whole reply."""
    whole = call.failure is None and call.completion is not None and not call.completion.partial
    return whole and question_of(call) is None


def json_value(plan: Plan, status: TurnStatus, reply: str) -> Any:
    """Return the value of a reply that had to be JSON, None for any other reply."""
    return json.loads(reply) if plan.reply_format is not None and status == "done" else None


def rejected_call(call: Call, problem: str) -> Call:
    """Return a call whose reply is not used, as a failed one."""
    return replace(call, failure=Failure(FailureKind.INVALID_REPLY, problem, call.slot.agent.model))


def partial_call(call: Call, problem: str) -> Call:
    """Return a call whose reply is kept though it is not the JSON that was asked for."""
    assert call.completion is not None  # noqa: S101 - a reply has been checked
    partial = f"{FailureKind.INVALID_REPLY}: {problem}"
    kind = FailureKind.INVALID_REPLY
    return replace(call, completion=replace(call.completion, partial=partial, truncation_kind=kind))
