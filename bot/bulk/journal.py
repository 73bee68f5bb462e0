"""The journal of a run: every call on a line of its own, appended the moment it is over.

    calls.jsonl   {"messages": ID, "content": [[role, text], …]}     once per different conversation
                  {"key": KEY, "at": …, "model": …, "answer": {…}}   a call that was answered
                  {"key": KEY, "at": …, "model": …, "failure": {…}}  a call that failed

A call's key is a digest of all that decides its answer: endpoint, model, messages, parameters and
the number of the sample. What is in the journal with an answer is not asked again; nor is what the
service refused for its content (too long, filtered). Other failures are kept for the record, and
asked again. Only where an answer stands is kept in memory. Nothing here makes a call.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.bulk.files import AppendLog, Row
from bot.errors import Failure, FailureKind
from bot.messages import Completion, Message, Request, ToolCall, Usage
from bot.settings.endpoints import is_loopback_url

_PERMANENT = frozenset({FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER})
"""Failures that the same request would meet again."""


class Journal:
    """The calls of a run, in a file that only grows, or in memory when there is no path.

    `spent` is what all calls on record cost in US dollars, as far as their prices are known;
    `unpriced` counts those of unknown price. Raises MoaError when the file cannot be opened. One
    process at a time: see `run_folder.lock`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.spent, self.unpriced = 0.0, 0
        self._answers: dict[str, int] = {}
        self._conversations: dict[str, int] = {}
        self._log = AppendLog(path, self._index)
        self.close = self._log.close

    def answer(self, key: str) -> Completion | Failure | None:
        """Return the answer on record under this key (or the refusal), None when there is none."""
        if key not in self._answers:
            return None
        row = self._log.read(self._answers[key])
        if "answer" in row:
            return _completion(row["answer"])
        return Failure(**{**row["failure"], "kind": FailureKind(row["failure"]["kind"])})

    def add(
        self, key: str, request: Request, outcome: Completion | Failure, cost: float | None, retries: int = 0
    ) -> None:
        """Append a call that is over. Raises MoaError when it cannot be written (a full disk, say)."""
        content = [_content(message) for message in request.messages]
        conversation = digest(content)
        self.extend(
            [
                {"messages": conversation, "content": content},
                {
                    "key": key,
                    "at": round(time.time(), 3),
                    "endpoint": request.endpoint.name,
                    "model": request.model,
                    "messages": conversation,
                    "parameters": _parameters(request),
                    "retries": retries,
                    "cost": cost,
                    **_outcome(outcome),
                },
            ]
        )

    def extend(self, rows: Iterable[Row]) -> None:
        """Append the rows of calls, of this journal or of another; known conversations are left out."""
        for row in rows:
            if "content" not in row or row["messages"] not in self._conversations:
                self._index(self._log.append(row), row)

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        return (row for _, row in self._log.rows())

    def _index(self, offset: int, row: Row) -> None:
        if "content" in row:
            self._conversations[row["messages"]] = offset
            return
        if "answer" in row or row["failure"]["kind"] in _PERMANENT:
            self._answers[row["key"]] = offset
        cost = row.get("cost")
        self.spent += cost or 0.0
        self.unpriced += cost is None


def key_of(request: Request, sample: str) -> str:
    """Return the key of a call: 32 hex digits of all that decides its answer.

    A service on this computer is known by its name alone: its port may be another tomorrow.
    """
    endpoint = request.endpoint
    where = "" if is_loopback_url(endpoint.base_url) else endpoint.base_url
    messages = [_content(message) for message in request.messages]
    return digest([endpoint.name, where, request.model, messages, _parameters(request), sample])


def _content(message: Message) -> list[object]:
    """Return a message as JSON: role and text, then its tool calls or the id of the call behind it."""
    calls = [asdict(call) for call in message.tool_calls]
    more = filter(None, (calls, message.tool_call_id))
    return [message.role, message.content, *more]


def digest(value: object) -> str:
    """Return 32 hex digits of a JSON value, the same for equal values in every run."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _parameters(request: Request) -> dict[str, Any]:
    """Return what a request holds besides model and messages."""
    return {
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        **request.extra,
    }


def _outcome(outcome: Completion | Failure) -> Row:
    """Return an outcome as JSON, without empty fields."""
    name, needed = ("answer", "text") if isinstance(outcome, Completion) else ("failure", "message")
    fields = asdict(outcome).items()
    return {
        name: {key: value for key, value in fields if key == needed or value not in (None, "", 0, (), {})}
    }


def _completion(answer: Row) -> Completion:
    """Return the completion that was written as JSON."""
    usage = Usage(**answer.get("usage", {}))
    top = tuple((str(token), float(value)) for token, value in answer.get("top_logprobs", ()))
    calls = tuple(ToolCall(**call) for call in answer.get("tool_calls", ()))
    return Completion(**{**answer, "usage": usage, "top_logprobs": top, "tool_calls": calls})
