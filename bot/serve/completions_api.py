"""/v1/completions: a prompt without roles, whose reply is a text. The prompt is the user's message."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bot.events import Event, ReplyDelta
from bot.messages import Message
from bot.serve.api_errors import ApiError
from bot.serve.chat_json import DONE, moa_json, progress_json, server_sent, usage_json
from bot.serve.request_schema import (
    MaxTokens,
    MoaOptions,
    NonEmpty,
    OnlyOne,
    RequestObject,
    Seed,
    Stop,
    StreamOptions,
    Temperature,
    Unsupported,
    only,
    parse_body,
)
from bot.serve.request_turn import ServedTurn
from bot.serve.turn_request import TurnRequest, divide

Json = dict[str, Any]


class CompletionRequest(RequestObject):
    """One request. A list of one prompt is that prompt."""

    model: NonEmpty
    prompt: Annotated[
        str,
        only("the prompt has to be one text", lambda prompt: isinstance(prompt, str)),
        BeforeValidator(
            lambda prompt: prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
        ),
    ]
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: Temperature | None = None
    max_tokens: MaxTokens = None
    seed: Seed | None = None
    stop: Stop = Field(default_factory=list)
    moa: MoaOptions = MoaOptions()

    n: OnlyOne = None
    best_of: OnlyOne = None
    echo: Unsupported = None
    suffix: Unsupported = None
    logprobs: Unsupported = None


class CompletionWriter:
    """Makes the answer to one request; its chunks share id, time and model."""

    def __init__(self, request: TurnRequest) -> None:
        self._request = request
        identity, created = f"cmpl-{uuid.uuid4().hex}", int(time.time())
        self._head: Json = {"id": identity, "object": "text_completion", "created": created}
        self._head["model"] = request.model

    def opening(self) -> bytes:
        """Return nothing: the first chunk is the first of the reply."""
        return b""

    def part(self, event: Event) -> bytes:
        """Return an event as a chunk: of the reply, or of progress if the request wants to know."""
        if isinstance(event, ReplyDelta):
            return server_sent(self._body(event.text)) if event.text else b""
        if self._request.moa.progress and (progress := progress_json(event)):
            return server_sent({**self._body(""), "moa": {"progress": progress}})
        return b""

    def end(self, turn: ServedTurn) -> bytes:
        """Return the chunk with the finish reason, and that of the tokens if they are wanted."""
        last = self._body("", turn.finish_reason())
        if self._request.moa.include_references:
            last["moa"] = self._moa(turn)
        chunks = server_sent(last)
        if self._request.include_usage:
            total = moa_json(turn, references=False)
            chunks += server_sent(
                {**self._head, "choices": [], "usage": usage_json(turn.usage), "moa": total}
            )
        return chunks + DONE

    def error(self, error: ApiError) -> bytes:
        """Return the error as an event. Without [DONE], so that no client takes a part for the whole."""
        return server_sent(error.body)

    def whole(self, turn: ServedTurn) -> Json:
        """Return a whole completion."""
        body = self._body(turn.text(), turn.finish_reason())
        return {**body, "usage": usage_json(turn.usage), "moa": self._moa(turn)}

    def _body(self, text: str, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice]}

    def _moa(self, turn: ServedTurn) -> Json:
        return moa_json(turn, references=self._request.moa.include_references)


def read_completion(body: bytes) -> tuple[TurnRequest, CompletionWriter]:
    """Read a request to /v1/completions. ApiError (400) names the field that is wrong."""
    given = parse_body(body, CompletionRequest, "prompt")
    request = TurnRequest(
        model=given.model,
        conversation=divide([Message("user", given.prompt)], "prompt"),
        moa=given.moa,
        stream=given.stream,
        include_usage=given.stream_options.include_usage,
        temperature=given.temperature,
        max_tokens=given.max_tokens,
        seed=given.seed,
        stop=tuple(given.stop),
    )
    return request, CompletionWriter(request)
