"""Mode "fusion": a judge compares the last round's answers, then the aggregator writes the reply.

judge ─► JSON ─► Analysis ──────────► the aggregator reads the answers and the comparison
  │ └─► of no use ─► asked once more
  └─► failed, or of no use again ───► the aggregator reads the answers alone (mode "moa"), and a notice

The judge compares and does not merge: it writes no word of the reply. Its failure costs only the
comparison.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from bot.analysis import Analysis, Claim, ComparedAnswer, Contradiction
from bot.events import (
    CallDelta,
    CallFinished,
    CallRetrying,
    Compared,
    ComparisonDelta,
    Event,
    JudgeStarted,
    Notice,
)
from bot.messages import Agent
from bot.method.aggregation import Aggregation
from bot.method.evidence import evidence_of
from bot.method.fan_out import CancelToken, fan_out
from bot.method.judge_reply import ComparisonReader, read_reply
from bot.method.model_call import ModelCall
from bot.method.plan import Plan
from bot.method.turn_context import Models, Task, TurnContext
from bot.text.names import short_name
from bot.turn_result import Call, Slot

MIN_TOKENS: Final = 4096
"""Tokens that a judge without a limit of its own may write at least, however short the reply is to be."""

TASK: Final = "Do not answer the request. Write the JSON object that compares the answers, and nothing else."
_CORRECT: Final = (
    "That reply could not be used: {problem}. Write the comparison once more, as one JSON object with the"
    " five lists of the instruction, and nothing before or after it."
)
_MAX_QUOTED: Final = 2_000
"""Characters of a reply of no use that its judge is shown."""


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_STRING: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_CLAIM: Final = _object(claim=_STRING, answers=_list(_NUMBER))

SCHEMA: Final = _object(
    consensus=_list(_CLAIM),
    contradictions=_list(
        _object(
            question=_STRING,
            positions=_list(_object(position=_STRING, answers=_list(_NUMBER))),
            settled_by=_STRING,
        )
    ),
    partial=_list(_CLAIM),
    unique=_list(_object(claim=_STRING, answer=_NUMBER)),
    blind_spots=_list(_STRING),
)
"""The JSON schema of a comparison."""
RESPONSE_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "comparison", "strict": True, "schema": SCHEMA},
}


class Fusion:
    """The last two layers of a turn in mode "fusion": the judge, and the aggregator after it."""

    def __init__(
        self, turn_context: TurnContext, cancel_token: CancelToken, number: int, references: Sequence[Call]
    ) -> None:
        self._turn_context = turn_context
        self._cancel_token = cancel_token
        self._number = number
        self._references = [call for call in references if call.answer]
        self._answers = [
            ComparedAnswer(call.slot.round, call.slot.index, call.slot.agent.model)
            for call in self._references
        ]
        self._aggregation: Aggregation | None = None

    @property
    def source(self) -> Call | None:
        """The call whose answer is the reply, once `events()` is over; None if the turn was stopped."""
        return self._aggregation.source if self._aggregation else None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Have the answers compared, then have the reply written."""
        context, comparison = self._turn_context, ""
        if len(self._references) > 1:
            async with aclosing(self.compare()) as events:
                async for event in events:
                    if isinstance(event, Compared):
                        comparison = comparison_text(event.analysis)
                    yield event
        else:
            yield Notice("There is only one answer, and so nothing to compare.")
        if self._cancel_token.stopped:
            return
        # Cutting the comparison short is not cutting the reply.
        self._cancel_token.round_cut = False
        if comparison:
            plan = context.plan
            plan = replace(plan, instruction=plan.instructions.get("fuse", plan.instruction))
            context = replace(context, plan=plan)
        self._aggregation = Aggregation(
            context, self._cancel_token, self._number + 1, self._references, comparison
        )
        async with aclosing(self._aggregation.events()) as events:
            async for event in events:
                yield event

    async def compare(self) -> AsyncGenerator[Event, None]:
        """Ask the judge, and once more if its reply is of no use; the last event may be `Compared`."""
        plan = self._turn_context.plan
        judge = judge_of(plan, self._turn_context.models)
        plan = replace(plan, instruction=plan.instructions.get("compare", plan.instruction))
        context = replace(self._turn_context, plan=plan)
        started, correction, problem = get_running_loop().time(), None, ""
        for index in (0, 1):
            slot = Slot(self._number, index, judge, "judge")
            task = Task(TASK, {"response_format": RESPONSE_FORMAT}, correction)
            yield JudgeStarted(slot, len(self._references))
            call: Call | None = None
            evidence = evidence_of(context, self._references)
            model_call = ModelCall(slot, context, self._texts(), evidence=evidence, task=task)
            async with aclosing(self._ask(model_call)) as events:
                async for event in events:
                    if isinstance(event, CallFinished):
                        call = event.call
                    yield event
            assert call is not None  # noqa: S101 - every call ends with one
            text = call.completion.text if call.completion else ""
            analysis, problem = read_reply(text, self._answers)
            if analysis is not None:
                yield Compared(analysis, get_running_loop().time() - started)
                if not _is_whole(call) and not self._cancel_token.stopped:
                    name = short_name(judge.model)
                    yield Notice(f"The judge {name} was cut off: its comparison may be incomplete.")
                return
            if call.cut:
                problem = "was not waited for"
                break
            if call.failure is not None and not text:
                problem = f"failed: {replace(call.failure, model='')}"
                break
            correction = (text[:_MAX_QUOTED], _CORRECT.format(problem=problem))
            problem = f"wrote no comparison: {problem}"
        if not self._cancel_token.stopped:
            name = short_name(judge.model)
            problem = problem.rstrip(".")
            yield Notice(f"The judge {name} {problem}. The reply is made from the answers alone.")

    def _texts(self) -> list[str]:
        return [call.answer for call in self._references]

    async def _ask(self, call: ModelCall) -> AsyncGenerator[Event, None]:
        """Make the judge's call; between its events come those of what it has found."""
        reader = ComparisonReader(self._answers)
        async with aclosing(fan_out([call], self._cancel_token)) as events:
            async for event in events:
                yield event
                if isinstance(event, CallRetrying):
                    reader.restart()
                elif isinstance(event, CallDelta) and (analysis := reader.feed(event.text)):
                    yield ComparisonDelta(call.slot, analysis)


def _is_whole(call: Call) -> bool:
    """Return whether a call's text is all that the model had to say."""
    completion = call.completion
    return (
        completion is not None
        and not (call.failure or call.cut or completion.partial)
        and completion.finish_reason != "length"
    )


def judge_of(plan: Plan, models: Models | None = None) -> Agent:
    """Return the judge: at temperature 0, with tokens enough for a comparison."""
    judge = plan.judge or plan.aggregator
    tokens = judge.max_tokens or plan.max_tokens
    if plan.judge is None or plan.judge.max_tokens is None:
        length = models.context_length(judge) if models else None
        tokens = max(tokens, MIN_TOKENS if length is None else min(MIN_TOKENS, length // 4))
    return replace(judge, temperature=0.0, max_tokens=tokens)


def comparison_text(analysis: Analysis) -> str:
    """Return the comparison as the aggregator reads it: a paragraph for each list that has items."""
    sections = {
        "Several answers agree": [_claim(each) for each in analysis.consensus],
        "The answers contradict one another": [_contradiction(each) for each in analysis.contradictions],
        "Only some answers cover": [_claim(each) for each in analysis.partial],
        "Only one answer says": [_claim(each) for each in analysis.unique],
        "No answer addresses": analysis.blind_spots,
    }
    filled = [[f"{title}:", *(f"- {item}" for item in items)] for title, items in sections.items() if items]
    return "\n\n".join(map("\n".join, filled))


def _claim(claim: Claim) -> str:
    numbers = ", ".join(map(str, claim.answers))
    return claim.text + (f" (answer{'s' if len(claim.answers) > 1 else ''} {numbers})" if numbers else "")


def _contradiction(contradiction: Contradiction) -> str:
    lines = [contradiction.question, *(f"  - {_claim(each)}" for each in contradiction.positions)]
    if contradiction.settled_by:
        lines.append(f"  It would be settled by: {contradiction.settled_by}")
    return "\n".join(lines)
