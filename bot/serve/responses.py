"""The JSON of responses: completions, their chunks, usage, and the field `moa`."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from bot.events import CallFinished, CallRetrying, CallStarted, Event, RoundStarted
from bot.render.reply import turn_json

if TYPE_CHECKING:
    from bot.events import Slot, TurnResult
    from bot.messages import Usage

DONE = b"data: [DONE]\n\n"
COMMENT = b": the models are thinking\n\n"
"""A comment, which clients skip; it keeps proxies and clients from closing a silent connection."""

Json = dict[str, Any]


def server_sent(value: Json) -> bytes:
    """Return an event of a stream, in ASCII, so that no text in it can end a line."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n\n"


def usage_json(usage: Usage) -> Json | None:
    """Return the tokens of all calls of a turn, None when no service reported any."""
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


def moa_json(result: TurnResult) -> Json:
    """Return the field `moa`: `references[r][i]` is slot i of round r + 1."""
    turn = turn_json(result, conversation_id=None, turn=None)
    fields = {name: turn[name] for name in ("references", "cost", "seconds", "first_token", "notices")}
    return {"rounds": len(result.rounds), "aggregator": result.model, **fields}


def progress_json(event: Event) -> Json | None:
    """Return an event as `moa.progress` reports it, None for events that it leaves out."""
    match event:
        case RoundStarted(number, rounds, slots):
            return {"event": "round", "round": number, "rounds": rounds, "models": len(slots)}
        case CallStarted(slot):
            return {"event": "asked", **_slot(slot)}
        case CallRetrying(slot, failure, attempt, _):
            return {"event": "retrying", **_slot(slot), "attempt": attempt, "error": str(failure.kind)}
        case CallFinished(call):
            done = call.failure is None
            error = None if call.failure is None else str(call.failure.kind)
            return {"event": "answered" if done else "failed", **_slot(call.slot), "error": error}
        case _:
            return None


def _slot(slot: Slot) -> Json:
    return {"round": slot.round, "role": slot.role, "index": slot.index, "model": slot.agent.model}


class ResponseBuilder:
    """Makes the responses to one request, which share id, time and model."""

    def __init__(self, model: str, *, include_usage: bool = False) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._usage = include_usage

    def completion(self, text: str, result: TurnResult, finish_reason: str, moa: Json | None) -> Json:
        """Return a whole response."""
        message: Json = {"role": "assistant", "content": text}
        if result.reasoning:
            message["reasoning_content"] = result.reasoning
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        body = {"object": "chat.completion", **self._head, "choices": [choice]}
        return {**body, "usage": usage_json(result.usage), **({} if moa is None else {"moa": moa})}

    def chunk(self, delta: Json, finish_reason: str | None = None, moa: Json | None = None) -> bytes:
        """Return a chunk of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice], None, moa)

    def usage_chunk(self, usage: Usage) -> bytes:
        """Return the last chunk of a stream with `include_usage`: no choices, all tokens."""
        return self._chunk([], usage_json(usage), None)

    def _chunk(self, choices: list[Json], usage: Json | None, moa: Json | None) -> bytes:
        body = {"object": "chat.completion.chunk", **self._head, "choices": choices}
        # With `include_usage` every chunk has the field, null in all but the last.
        tokens = {"usage": usage} if self._usage else {}
        return server_sent({**body, **tokens, **({} if moa is None else {"moa": moa})})
