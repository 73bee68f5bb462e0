"""The answers of /v1/chat/completions: a completion or its chunks, and the field `moa` of all APIs."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from bot.analysis import LISTS
from bot.events import (
    CallFinished,
    CallRetrying,
    CallStarted,
    Compared,
    Event,
    ReplyDelta,
    RoundStarted,
    ToolFinished,
)
from bot.render.reply import turn_json
from bot.serve.answer_stream import ascii_json
from bot.serve.chat_request import parse_chat_request

if TYPE_CHECKING:
    from bot.messages import ToolCall, Usage
    from bot.serve.api_errors import ApiError
    from bot.serve.request_turn import ServedTurn
    from bot.serve.turn_request import TurnRequest
    from bot.turn_result import Slot

DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]


def server_sent(value: Json) -> bytes:
    """Return an event of a stream, in ASCII, so that no text in it can end a line."""
    return b"data: " + ascii_json(value) + b"\n\n"


def usage_json(usage: Usage) -> Json | None:
    """Return the tokens of a call, or of all calls of a turn; None when no service reported any."""
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    body: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def moa_json(turn: ServedTurn, *, references: bool) -> Json:
    """Return the field `moa`: the turn's tokens, cost, comparison, sources; `references`: also its calls."""
    result = turn.result
    total: Json = {"usage": usage_json(result.usage), "cost": result.cost}
    if result.analysis:
        total["analysis"] = result.analysis.as_json()
    if sources := result.sources_json():
        total["sources"] = sources
    if not references:
        return total
    whole = turn_json(result, conversation_id=None, turn=None)
    fields = {name: whole[name] for name in ("references", "panel", "seconds", "first_token", "notices")}
    if result.shadow:
        fields["shadow"] = whole["shadow"]
    if result.drafts:
        fields |= {name: whole[name] for name in ("drafts", "reviews")}
    return {"rounds": len(result.rounds), "aggregator": result.model, **fields, **total}


def progress_json(event: Event) -> Json | None:  # noqa: PLR0911 - one case per event
    """Return an event as `moa.progress` reports it, None for events that it leaves out."""
    match event:
        case RoundStarted(number, rounds, slots):
            return {"event": "round", "round": number, "rounds": rounds, "models": len(slots)}
        case Compared(analysis, _):
            return {"event": "compared", **{name: len(getattr(analysis, name)) for name in LISTS}}
        case CallStarted(slot):
            return {"event": "asked", **_slot(slot)}
        case CallRetrying(slot, failure, attempt, _):
            return {"event": "retrying", **_slot(slot), "attempt": attempt, "error": str(failure.kind)}
        case ToolFinished(slot, _, run):
            return {"event": "tool", **_slot(slot), "name": run.name, "error": run.error or None}
        case CallFinished(call):
            done = call.failure is None
            error = None if call.failure is None else str(call.failure.kind)
            return {"event": "answered" if done else "failed", **_slot(call.slot), "error": error}
        case _:
            return None


def _slot(slot: Slot) -> Json:
    return {"round": slot.round, "role": slot.role, "index": slot.index, "model": slot.agent.model}


class ChatWriter:
    """Makes the answer to one request; its chunks share id, time and model."""

    def __init__(self, request: TurnRequest) -> None:
        self._request = request
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": request.model,
        }
        self._begun = False

    def opening(self) -> bytes:
        """Return nothing: the first chunk is the first of the reply."""
        return b""

    def part(self, event: Event) -> bytes:
        """Return an event as a chunk: of the reply, or of progress if the request wants to know."""
        if isinstance(event, ReplyDelta):
            fields = {"content": event.text, "reasoning_content": event.reasoning}
            delta = {name: text for name, text in fields.items() if text}
            return self._chunk({**self._role(), **delta}) if delta else b""
        if self._request.moa.progress and (progress := progress_json(event)):
            return self._chunk({}, moa={"progress": progress})
        return b""

    def end(self, turn: ServedTurn) -> bytes:
        """Return the chunks of tool calls, of the finish reason, and of the tokens if they are wanted."""
        reason = turn.finish_reason()
        moa = moa_json(turn, references=True) if self._request.moa.include_references else None
        chunks = b""
        for index, call in enumerate(turn.tool_calls):
            chunks += self._chunk({**self._role(), "tool_calls": [{"index": index, **_call_json(call)}]})
        last = self._role()
        if last and not turn.tool_calls:
            last["content"] = ""
        chunks += self._chunk(last, reason, moa)
        if self._request.include_usage:
            chunks += self._body([], usage_json(turn.usage), moa_json(turn, references=False))
        return chunks + DONE

    def error(self, error: ApiError) -> bytes:
        """Return the error as an event. Without [DONE], so that no client takes a part for the whole."""
        return server_sent(error.body)

    def whole(self, turn: ServedTurn) -> Json:
        """Return a whole completion."""
        reason, calls, text = turn.finish_reason(), turn.tool_calls, turn.text()
        message: Json = {"role": "assistant", "content": text if text or not calls else None}
        if turn.result.reasoning:
            message["reasoning_content"] = turn.result.reasoning
        if calls:
            message["tool_calls"] = [_call_json(call) for call in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        moa = moa_json(turn, references=self._request.moa.include_references)
        body = {"object": "chat.completion", **self._head, "choices": [choice]}
        return {**body, "usage": usage_json(turn.usage), "moa": moa}

    def _role(self) -> Json:
        """Return the role, which only the first delta has."""
        begun, self._begun = self._begun, True
        return {} if begun else {"role": "assistant"}

    def _chunk(self, delta: Json, finish_reason: str | None = None, moa: Json | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._body([choice], None, moa)

    def _body(self, choices: list[Json], usage: Json | None, moa: Json | None) -> bytes:
        body = {"object": "chat.completion.chunk", **self._head, "choices": choices}
        # With `include_usage` every chunk has the field, null in all but the last.
        tokens = {"usage": usage} if self._request.include_usage else {}
        return server_sent({**body, **tokens, **({} if moa is None else {"moa": moa})})


def _call_json(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def read_chat(body: bytes) -> tuple[TurnRequest, ChatWriter]:
    """Read a request to /v1/chat/completions. ApiError (400) names the field that is wrong."""
    request = parse_chat_request(body)
    return request, ChatWriter(request)
