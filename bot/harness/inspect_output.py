"""A turn as inspect_ai's model output, and as events of its transcript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolCall

from bot.render.reply import turn_json

if TYPE_CHECKING:
    from bot import messages
    from bot.serve.api_errors import ApiError
    from bot.serve.request_turn import ServedTurn
    from bot.turn_result import TurnResult

METADATA = "moa"
"""Where the facts of the turn are in the metadata of an output; `bot.eval.inspect_logs` reads them."""
_STOP_REASONS = {"length": "max_tokens"}
_REFUSALS = {"context_length_exceeded": "model_length", "content_filter": "content_filter"}
_FACTS = (
    "model", "references", "drafts", "reviews", "attempts", "aggregator", "analysis", "panel", "shadow",
    "usage", "cost", "seconds", "first_token", "notices",
)  # fmt: skip

Json = dict[str, Any]


def model_output(model: str, turn: ServedTurn) -> ModelOutput:
    """Return the reply, with the usage of the whole turn. ApiError when there is none."""
    result, reason = turn.result, turn.finish_reason()
    content: str | list[ContentReasoning | ContentText] = turn.text()
    if result.reasoning:
        content = [ContentReasoning(reasoning=result.reasoning), ContentText(text=turn.text())]
    message = ChatMessageAssistant(
        content=content,
        model=model,
        source="generate",
        tool_calls=[_tool_call(call) for call in turn.tool_calls] or None,
    )
    return ModelOutput(
        model=model,
        choices=[ChatCompletionChoice(message=message, stop_reason=_STOP_REASONS.get(reason, reason))],
        usage=_usage(result),
        metadata={METADATA: _facts(result)},
    )


def refusal_output(model: str, error: ApiError) -> ModelOutput | None:
    """Return the output of a turn that was refused or too long for its models, None for another error."""
    reason = _REFUSALS.get(error.code)
    if reason is None:
        return None
    return ModelOutput.from_content(model, error.message, stop_reason=reason, error=error.message)


def transcript_data(result: TurnResult) -> Iterator[Json]:
    """Yield what the transcript shows of a turn: each round's answers, and the judge's comparison."""
    for number, calls in enumerate(result.rounds, start=1):
        answers = [
            {
                "model": call.slot.agent.model,
                **({"error": str(call.failure)} if call.failure else {"text": call.answer}),
            }
            for call in calls
        ]
        yield {"round": number, "references": answers}
    if result.analysis:
        yield {"analysis": result.analysis.as_json()}


def _facts(result: TurnResult) -> Json:
    whole = turn_json(result, conversation_id=None, turn=None)
    return {
        "calls": len(result.calls),
        **{name: whole[name] for name in _FACTS if whole[name] not in (None, [])},
    }


def _usage(result: TurnResult) -> ModelUsage | None:
    usage = result.usage
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    prompt, completion, cached = usage.prompt_tokens or 0, usage.completion_tokens or 0, usage.cached_tokens
    return ModelUsage(
        input_tokens=prompt - (cached or 0),
        output_tokens=completion,
        total_tokens=prompt + completion,
        input_tokens_cache_read=cached,
        reasoning_tokens=usage.reasoning_tokens,
    )


def _tool_call(call: messages.ToolCall) -> ToolCall:
    try:
        arguments, problem = json.loads(call.arguments or "{}"), None
    except ValueError as error:
        arguments, problem = {}, f"The arguments are no JSON: {error}"
    if not isinstance(arguments, dict):
        arguments, problem = {}, "The arguments are no JSON object."
    return ToolCall(id=call.id, function=call.name, arguments=arguments, parse_error=problem)
