"""Speaks a plan into an exchange: as a stream of server-sent events, or as one JSON body.

Both are an `Output`, so that a fault in the middle of an answer is written once and works in both.
What is said, and what goes wrong, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import time
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from bot.demo.answer_plan import Plan, TokenTiming
    from bot.demo.http_wire import Exchange

_BREATH: Final = 32
_HELD: Final = 2**20


class Output(Protocol):
    """A way to speak: tokens one by one, and what a fault may want to do in between."""

    exchange: Exchange

    async def begin(self) -> None:
        """Say that an answer comes."""

    async def token(self, name: str, text: str) -> None:
        """Say one token in the field `name`."""

    async def raw(self, content: bytes) -> None:
        """Say these bytes inside the text, whatever they are (in JSON's escapes)."""

    async def garble(self, text: str) -> bool:
        """Say something that is not JSON where JSON belongs; tell whether the answer can go on."""

    async def error(self, error: dict[str, Any]) -> None:
        """End with an error in place of the rest."""

    async def show(self) -> None:
        """Send everything said so far, even if it would be held back until the end."""

    async def finish(self, tokens: int) -> None:
        """Say that the answer is over after so many tokens, and how it ended."""


async def speak(plan: Plan, timing: TokenTiming, output: Output) -> None:
    """Say all of the plan, each token when it is due; faults of the plan may end it early."""
    await output.begin()
    timing.begin()
    count = 0
    for name, token in plan.pieces():
        for act in plan.acts.pop(count, ()) if plan.acts else ():
            if not await act(output):
                return
        await output.token(name, token)
        count += 1
        if not plan.hurried:
            timing.advance()
        if not count % _BREATH:
            # Without a programmed rate nothing else here would let other answers go on.
            await asyncio.sleep(0)
    for _, acts in sorted(plan.acts.items()):
        for act in acts:
            if not await act(output):
                return
    await output.finish(count)


def encode(text: str) -> bytes:
    """Return `text` as a JSON string in UTF-8; half a surrogate pair is escaped, as it must be."""
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def logprobs_of(plan: Plan) -> dict[str, Any]:
    """Return the `logprobs` of a choice, in OpenAI's form; they are those of the first token."""
    top = [{"token": token, "logprob": logprob} for token, logprob in (plan.top_logprobs or {}).items()]
    return {"content": [{**top[0], "top_logprobs": top}] if top else []}


def _to_json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


class StreamOutput:
    """One server-sent event for each token; everything about it but the token is made beforehand."""

    def __init__(self, exchange: Exchange, plan: Plan, timing: TokenTiming) -> None:
        self.exchange = exchange
        self._plan = plan
        self._pace = timing
        self._head = {
            "id": f"chatcmpl-demo-{plan.number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": plan.model,
        }
        # '{"id": …, "model": "m"' without its closing brace.
        opening = (b": demonstration\n\n" if plan.comments else b"") + b"data: " + _to_json(self._head)[:-1]
        self._before = {
            name: b'%b, "choices": [{"index": 0, "delta": {"role": "assistant", "%b": '
            % (opening, name.encode())
            for name in ("content", plan.reasoning_field)
        }
        self._after = b'}, "finish_reason": null}]}\n\n'
        self._said = False

    async def begin(self) -> None:
        """Send the head at once: the first byte comes before the first token."""
        await self.exchange.start(200, "text/event-stream; charset=utf-8")

    async def token(self, name: str, text: str) -> None:
        """Send one token when it is due."""
        wait = self._pace.due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        if self._plan.stamped:
            # Said only now: while it waited for its turn, its time had not come.
            text = f"{time.monotonic():.6f}\n"
        after = self._after
        if self._plan.top_logprobs and name == "content" and not self._said:
            after = b'}, "logprobs": %b, "finish_reason": null}]}\n\n' % _to_json(logprobs_of(self._plan))
        self._said = self._said or name == "content"
        await self.exchange.write(self._before[name] + encode(text) + after)

    async def raw(self, content: bytes) -> None:
        """Send an event whose text holds these bytes."""
        await self.exchange.write(b'%b"%b"%b' % (self._before["content"], content, self._after))

    async def garble(self, text: str) -> bool:
        """Send a data line that is not JSON."""
        await self.exchange.write(b"data: %b\n\n" % text.encode())
        return True

    async def error(self, error: dict[str, Any]) -> None:
        """Send the error as an event and end the stream without [DONE]."""
        await self.exchange.end(b"data: %b\n\n" % _to_json(error))

    async def show(self) -> None:
        """Wait until all is sent."""
        await self.exchange.flush()

    async def finish(self, tokens: int) -> None:
        """Send the last delta, the usage, and [DONE]."""
        plan = self._plan
        delta = {} if plan.no_content else {"role": "assistant", "content": plan.content}
        choice = {"index": 0, "delta": delta, "finish_reason": plan.finish}
        last = {**self._head, "choices": [choice] if plan.choices else []}
        usage = plan.usage_of(tokens)
        events = [] if plan.finish is None else [last]
        if plan.usage and plan.usage_chunk:
            events.append({**self._head, "choices": [], "usage": usage})
        elif plan.usage and events:
            last["usage"] = usage
        end = b"".join(b"data: %b\n\n" % _to_json(event) for event in events)
        await self.exchange.end(end + (b"data: [DONE]\n\n" if plan.done else b""))


class WholeOutput:
    """One JSON body, sent at the end; sooner only if it grows without end or a fault shows it."""

    def __init__(self, exchange: Exchange, plan: Plan, timing: TokenTiming) -> None:
        self.exchange = exchange
        self._plan = plan
        self._pace = timing
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
        self._say(_to_json(head)[:-1] + choices)

    async def begin(self) -> None:
        """Send nothing: the head goes with the body."""

    async def token(self, name: str, text: str) -> None:
        """Keep one token; a body that has grown large is sent as it comes."""
        self._open(name)
        self._say(encode(text)[1:-1])
        if self._plan.endless:
            await self._wait()
        if self._size > _HELD:
            await self.show()

    async def raw(self, content: bytes) -> None:
        """Keep these bytes as part of the text."""
        self._open("content")
        self._say(content)

    async def garble(self, text: str) -> bool:
        """Answer with it in place of the whole body, which is then no JSON."""
        await self._wait()
        await self.exchange.reply(200, "application/json", text.encode())
        return False

    async def error(self, error: dict[str, Any]) -> None:
        """Answer with the error in place of everything, with status 200 as in a stream."""
        await self._wait()
        await self.exchange.reply(200, "application/json", _to_json(error))

    async def show(self) -> None:
        """Send what is there, and the head before it."""
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
            self._say(b"]")
        else:
            if self._field:
                self._say(b'"')
            if self._field != "content" and not plan.no_content:
                self._say(b', "content": ' + _to_json(plan.content))
            logprobs = b', "logprobs": %b' % _to_json(logprobs_of(plan)) if plan.top_logprobs else b""
            self._say(b'}%b, "finish_reason": %b}]' % (logprobs, _to_json(plan.finish)))
        self._say((b', "usage": %b' % _to_json(plan.usage_of(tokens)) if plan.usage else b"") + b"}")
        await self._wait()
        body = b"".join(self._parts)
        if self.exchange.started:
            await self.exchange.end(body)
        else:
            await self.exchange.reply(200, "application/json", body)

    def _open(self, name: str) -> None:
        """Open the field `name` of the message, and close the one before."""
        if name != self._field:
            self._say((b'"' if self._field else b"") + b', "%b": "' % name.encode())
            self._field = name

    def _say(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    async def _wait(self) -> None:
        wait = self._pace.due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
