"""Sends a planned answer: as a stream of server-sent events, or as one JSON body.

Both are an `AnswerWriter`, so that a fault in the middle of an answer works in both. Events are put
together from prepared bytes, because a streamed token must cost little.
"""

from __future__ import annotations

import asyncio
import json
import time
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bot.demo.answer_plan import AnswerPlan, AnswerWriter, TokenTiming
    from bot.demo.http_wire import Exchange

_YIELD_AFTER: Final = 32
_MAX_BUFFER: Final = 2**20


async def send_answer(plan: AnswerPlan, timing: TokenTiming, writer: AnswerWriter) -> None:
    """Send the planned answer, each token when it is due; an action of the plan may end it early."""
    await writer.start()
    timing.start()
    count = 0
    for name, token in plan.tokens_by_field():
        for action in plan.actions.pop(count, ()) if plan.actions else ():
            if not await action(writer):
                return
        await writer.write_token(name, token)
        count += 1
        if not plan.untimed:
            timing.advance()
        if not count % _YIELD_AFTER:
            # Without a rate nothing else here would let other answers go on.
            await asyncio.sleep(0)
    for _, actions in sorted(plan.actions.items()):
        for action in actions:
            if not await action(writer):
                return
    await writer.finish(count)


def _json_string(text: str) -> bytes:
    """Return `text` as a JSON string in UTF-8; a lone surrogate, which UTF-8 cannot encode, is escaped."""
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def _logprobs(plan: AnswerPlan) -> dict[str, Any]:
    """Return the `logprobs` of a choice in OpenAI's form: those of the first token."""
    top = [{"token": token, "logprob": logprob} for token, logprob in (plan.top_logprobs or {}).items()]
    return {"content": [{**top[0], "top_logprobs": top}] if top else []}


def _json_bytes(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


class EventStreamWriter:
    """Sends one server-sent event for each token."""

    def __init__(self, exchange: Exchange, plan: AnswerPlan, timing: TokenTiming) -> None:
        self.exchange = exchange
        self._plan = plan
        self._timing = timing
        self._head = {
            "id": f"chatcmpl-demo-{plan.number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": plan.model,
        }
        # '{"id": …, "model": "m"' without its closing brace.
        opening = (
            (b": demonstration\n\n" if plan.comments else b"") + b"data: " + _json_bytes(self._head)[:-1]
        )
        self._before = {
            name: b'%b, "choices": [{"index": 0, "delta": {"role": "assistant", "%b": '
            % (opening, name.encode())
            for name in ("content", plan.reasoning_field)
        }
        self._after = b'}, "finish_reason": null}]}\n\n'
        self._content_sent = False

    async def start(self) -> None:
        """Send the headers at once, before the first token."""
        await self.exchange.start(200, "text/event-stream; charset=utf-8")

    async def write_token(self, name: str, text: str) -> None:
        """Send one token when it is due."""
        wait = self._timing.due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        if self._plan.timestamped:
            # The time at which it is sent, not at which it was planned.
            text = f"{time.monotonic():.6f}\n"
        after = self._after
        if self._plan.top_logprobs and name == "content" and not self._content_sent:
            after = b'}, "logprobs": %b, "finish_reason": null}]}\n\n' % _json_bytes(_logprobs(self._plan))
        self._content_sent = self._content_sent or name == "content"
        await self.exchange.write(self._before[name] + _json_string(text) + after)

    async def write_bytes(self, content: bytes) -> None:
        """Send an event whose text holds these bytes."""
        await self.exchange.write(b'%b"%b"%b' % (self._before["content"], content, self._after))

    async def write_garbage(self, text: str) -> bool:
        """Send a data line that is not JSON."""
        await self.exchange.write(b"data: %b\n\n" % text.encode())
        return True

    async def write_error(self, error: dict[str, Any]) -> None:
        """Send the error as an event and end the stream without [DONE]."""
        await self.exchange.end(b"data: %b\n\n" % _json_bytes(error))

    async def flush(self) -> None:
        """Wait until everything is sent."""
        await self.exchange.flush()

    async def finish(self, tokens: int) -> None:
        """Send the last delta, the usage, and [DONE]."""
        plan = self._plan
        delta = {} if plan.no_content else {"role": "assistant", "content": plan.content}
        choice = {"index": 0, "delta": delta, "finish_reason": plan.finish}
        last = {**self._head, "choices": [choice] if plan.choices else []}
        usage = plan.usage_after(tokens)
        events = [] if plan.finish is None else [last]
        if plan.usage and plan.usage_chunk:
            events.append({**self._head, "choices": [], "usage": usage})
        elif plan.usage and events:
            last["usage"] = usage
        end = b"".join(b"data: %b\n\n" % _json_bytes(event) for event in events)
        await self.exchange.end(end + (b"data: [DONE]\n\n" if plan.done else b""))


class BodyWriter:
    """Collects one JSON body and sends it at the end; sooner if it becomes large or a fault flushes it."""

    def __init__(self, exchange: Exchange, plan: AnswerPlan, timing: TokenTiming) -> None:
        self.exchange = exchange
        self._plan = plan
        self._timing = timing
        self._parts: list[bytes] = []
        self._size = 0
        self._field = ""
        head = {
            "id": f"chatcmpl-demo-{plan.number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": plan.model,
        }
        choices = (
            b', "choices": [{"index": 0, "message": {"role": "assistant"'
            if plan.choices
            else b', "choices": ['
        )
        self._append(_json_bytes(head)[:-1] + choices)

    async def start(self) -> None:
        """Send nothing yet: the headers are sent with the body."""

    async def write_token(self, name: str, text: str) -> None:
        """Collect one token; a large body is sent in parts."""
        self._open(name)
        self._append(_json_string(text)[1:-1])
        if self._plan.endless:
            await self._wait()
        if self._size > _MAX_BUFFER:
            await self.flush()

    async def write_bytes(self, content: bytes) -> None:
        """Collect these bytes as part of the text."""
        self._open("content")
        self._append(content)

    async def write_garbage(self, text: str) -> bool:
        """Answer with the text in place of the whole body."""
        await self._wait()
        await self.exchange.reply(200, "application/json", text.encode())
        return False

    async def write_error(self, error: dict[str, Any]) -> None:
        """Answer with the error in place of the body, with status 200 as in a stream."""
        await self._wait()
        await self.exchange.reply(200, "application/json", _json_bytes(error))

    async def flush(self) -> None:
        """Send the headers, and what was collected so far."""
        await self._wait()
        if not self.exchange.started:
            await self.exchange.start(200, "application/json")
        await self.exchange.write(b"".join(self._parts))
        self._parts, self._size = [], 0
        await self.exchange.flush()

    async def finish(self, tokens: int) -> None:
        """Send the body when its last token is due."""
        plan = self._plan
        if not plan.choices:
            self._append(b"]")
        else:
            if self._field:
                self._append(b'"')
            if self._field != "content" and not plan.no_content:
                self._append(b', "content": ' + _json_bytes(plan.content))
            logprobs = b', "logprobs": %b' % _json_bytes(_logprobs(plan)) if plan.top_logprobs else b""
            self._append(b'}%b, "finish_reason": %b}]' % (logprobs, _json_bytes(plan.finish)))
        self._append((b', "usage": %b' % _json_bytes(plan.usage_after(tokens)) if plan.usage else b"") + b"}")
        await self._wait()
        body = b"".join(self._parts)
        if self.exchange.started:
            await self.exchange.end(body)
        else:
            await self.exchange.reply(200, "application/json", body)

    def _open(self, name: str) -> None:
        """Start the field `name` of the message, and end the one before."""
        if name != self._field:
            self._append((b'"' if self._field else b"") + b', "%b": "' % name.encode())
            self._field = name

    def _append(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    async def _wait(self) -> None:
        wait = self._timing.due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
