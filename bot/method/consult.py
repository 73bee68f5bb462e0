"""--when auto: the aggregator answers alone, and may consult the panel, which is a tool to it.

    aggregator alone ─► answers ────────────────────────► the reply
             └─► calls consult_panel(question) ─► rounds ─► last layer ─► the reply

Its call before the rounds is in round `ALONE`. There is one in a turn, and no reference model is offered the
tool, so that a panel is consulted once, and never from inside a panel.
"""

from __future__ import annotations

from typing import Final

from bot.errors import Failure
from bot.method.turn_context import TurnContext
from bot.tool_use import Tool
from bot.turn_result import ALONE, Call, Slot

CONSULT_PANEL: Final = "consult_panel"
REFUSED_FIELD: Final = "tools"
"""The field of the request without which the model could not consult the panel."""
LONGEST_QUESTION: Final = 4_000
"""Characters of a question that the panel is asked."""
_PARAMETERS: Final = {
    "type": "object",
    "properties": {
        "question": {
            "type": "string",
            "description": "What the panel is to answer; it reads the conversation and the request too.",
        }
    },
    "required": ["question"],
}


def consult_tool(context: TurnContext, slot: Slot) -> tuple[Tool, ...]:
    """Return the tool for a call that may consult the panel, () for any other."""
    if not _is_alone(slot):
        return ()
    description = context.plan.instructions.get("consult", "").strip()
    return (Tool(CONSULT_PANEL, description, _PARAMETERS, read_only=True),)


def required_fields(slot: Slot) -> tuple[str, ...]:
    """Return the fields without which a request of this call is of no use."""
    return (REFUSED_FIELD,) if _is_alone(slot) else ()


def _is_alone(slot: Slot) -> bool:
    return slot.round == ALONE and slot.role == "aggregator"


def begins_alone(context: TurnContext) -> tuple[bool, str]:
    """Return whether the aggregator answers alone first, and what is to be said if it cannot.

    It cannot where a client's own tools are its tools, or where it continues a reply.
    """
    plan, aggregator = context.plan, context.plan.aggregator
    if not (plan.on_demand and plan.layers) or context.prefill or "tools" in plan.reply_fields:
        return False, ""
    if context.models.calls_tools(aggregator) is False:
        return False, cannot_consult(aggregator.model)
    # A notice that was given stands for a service that has refused the tool.
    return cannot_consult(aggregator.model) not in context.shown_notices, ""


def cannot_consult(model: str) -> str:
    """Return what is said of an aggregator that cannot call tools."""
    return f"{model} cannot call tools, so it cannot decide whether to consult the panel: it always does."


def refused(failure: Failure | None) -> bool:
    """Whether a call failed because its model cannot call tools."""
    return failure is not None and failure.refused == REFUSED_FIELD


def question_of(call: Call | None) -> str | None:
    """Return the question of a call that consulted the panel ("": the prompt), None for any other."""
    run = next((run for run in call.tool_runs if run.name == CONSULT_PANEL), None) if call else None
    if run is None:
        return None
    question = run.arguments.get("question")
    return question.strip()[:LONGEST_QUESTION] if isinstance(question, str) else ""


def panel_task(question: str, prompt: str) -> str:
    """Return the last sentence of the panel's requests, "" where the question is the prompt."""
    return f"Answer this question: {question}" if question and question != prompt.strip() else ""
