"""The answers of /v1/responses: a response, or the events of its stream.

response.created, response.in_progress
response.output_item.added, response.content_part.added         the reply's text, if it has one
response.output_text.delta …, response.output_text.done
response.content_part.done, response.output_item.done
response.output_item.added, response.function_call_arguments.delta and .done,
response.output_item.done                                       each tool call
response.completed, or response.incomplete, or response.failed
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot.events import Event, ReplyDelta
from bot.serve.answer_stream import ascii_json
from bot.serve.chat_json import moa_json, progress_json

if TYPE_CHECKING:
    from bot.messages import ToolCall, Usage
    from bot.serve.api_errors import ApiError
    from bot.serve.request_turn import ServedTurn
    from bot.serve.responses_request import ResponsesRequest

Json = dict[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, by finish reason."""
_ERROR_CODES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
"""The API's codes of a failed response, by status; "server_error" for all others."""


class ResponsesWriter:
    """Makes the answer to one request. `save` keeps a finished response, and returns whether it did."""

    def __init__(self, request: ResponsesRequest, save: Callable[[Json], bool]) -> None:
        self._request, self._save = request, save
        # The ids of the items are made of the response's: an item is found again by its own.
        self._key = uuid.uuid4().hex
        self._head: Json = {
            "id": f"resp_{self._key}",
            "object": "response",
            "created_at": int(time.time()),
            "model": request.model,
            "instructions": request.instructions,
            "previous_response_id": request.previous_response_id,
            "store": request.store,
            "metadata": request.metadata,
            "temperature": request.temperature,
            "top_p": None,
            "max_output_tokens": request.max_output_tokens,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "tool_choice": _flat_choice(request.tool_choice),
            "tools": [tool.model_dump(exclude_unset=True) for tool in request.tools],
            "text": {"format": request.text.format or {"type": "text"}},
            "truncation": "disabled",
        }
        self._number = 0
        self._begun = False

    def opening(self) -> bytes:
        """Return the events of a response that is being made."""
        response = self._response("in_progress")
        created = self._event("response.created", response=response)
        return created + self._event("response.in_progress", response=response)

    def part(self, event: Event) -> bytes:
        """Return the events of a piece of text; those of progress if the request wants to know."""
        if isinstance(event, ReplyDelta):
            if not event.text:
                return b""
            delta = {"item_id": self._item_id("msg", 0), "output_index": 0, "content_index": 0}
            delta |= {"delta": event.text, "logprobs": []}
            return self._text_begins() + self._event("response.output_text.delta", **delta)
        if self._request.moa.progress and (progress := progress_json(event)):
            return self._event("moa.progress", progress=progress)
        return b""

    def end(self, turn: ServedTurn) -> bytes:
        """Return the events from the end of the text on."""
        response = self._finished(turn)
        events = b""
        for index, item in enumerate(response["output"]):
            events += self._text_ends(item) if item["type"] == "message" else self._call(index, item)
        return events + self._event(f"response.{response['status']}", response=response)

    def error(self, error: ApiError) -> bytes:
        """Return the event of a response that failed."""
        code = _ERROR_CODES.get(error.status, "server_error")
        failed = {**self._response("failed"), "error": {"code": code, "message": error.message}}
        return self._event("response.failed", response=failed)

    def whole(self, turn: ServedTurn) -> Json:
        """Return the response."""
        return self._finished(turn)

    def _finished(self, turn: ServedTurn) -> Json:
        reason = _INCOMPLETE.get(turn.finish_reason())
        response = self._response("incomplete" if reason else "completed")
        response["incomplete_details"] = {"reason": reason} if reason else None
        # A call without a word has no message; but what has begun in a stream is an item.
        texts = [self._message(turn.text())] if turn.text() or self._begun or not turn.tool_calls else []
        calls = [self._call_item(index, call) for index, call in enumerate(turn.tool_calls, len(texts))]
        response["output"] = texts + calls
        response["usage"] = _usage_json(turn.usage)
        response["moa"] = moa_json(turn, references=self._request.moa.include_references)
        response["store"] = self._request.store and self._save(response)
        return response

    def _response(self, status: str) -> Json:
        return {
            **self._head,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
        }

    def _message(self, text: str | None, status: str = "completed") -> Json:
        content = [] if text is None else [_text_part(text)]
        head = {"id": self._item_id("msg", 0), "type": "message", "role": "assistant"}
        return {**head, "status": status, "content": content}

    def _call_item(self, index: int, call: ToolCall) -> Json:
        head = {"id": self._item_id("fc", index), "type": "function_call", "status": "completed"}
        return {**head, "call_id": call.id, "name": call.name, "arguments": call.arguments}

    def _item_id(self, kind: str, index: int) -> str:
        return f"{kind}_{self._key}_{index}"

    def _text_begins(self) -> bytes:
        """Return the events before the first piece of text, nothing later."""
        if self._begun:
            return b""
        self._begun = True
        item = self._message(None, "in_progress")
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        added = self._event("response.output_item.added", output_index=0, item=item)
        return added + self._event("response.content_part.added", **place, part=_text_part(""))

    def _text_ends(self, item: Json) -> bytes:
        [part] = item["content"]
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events = self._text_begins()
        events += self._event("response.output_text.done", **place, text=part["text"], logprobs=[])
        events += self._event("response.content_part.done", **place, part=part)
        return events + self._event("response.output_item.done", output_index=0, item=item)

    def _call(self, index: int, item: Json) -> bytes:
        """Return the events of a tool call, whose arguments come in one piece."""
        place = {"item_id": item["id"], "output_index": index}
        begun = {**item, "arguments": "", "status": "in_progress"}
        arguments, kind = item["arguments"], "response.function_call_arguments"
        events = self._event("response.output_item.added", output_index=index, item=begun)
        events += self._event(f"{kind}.delta", **place, delta=arguments)
        events += self._event(f"{kind}.done", **place, name=item["name"], arguments=arguments)
        return events + self._event("response.output_item.done", output_index=index, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + ascii_json(event) + b"\n\n"


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage_json(usage: Usage) -> Json | None:
    """Return the tokens of a call, None when the service reported none."""
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": read + written,
    }


def _flat_choice(choice: Any) -> Any:
    """Return `tool_choice` as this API has it."""
    if isinstance(choice, dict):
        return {"type": "function", "name": choice["function"]["name"]}
    return choice or "auto"
