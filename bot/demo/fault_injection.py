"""What each kind of fault does to an answer.

Three tables, by the moment at which a fault takes effect:

    REPLACES_ANSWER   in place of the answer:  refuse, reset, stall, status, redirect, html, context_length
    DURING_ANSWER     after `tokens` tokens:   cut, stall_after, garbage, invalid_utf8, error_in_stream
    CHANGES_ANSWER    changes the plan:        empty, null_content, no_choices, empty_delta, no_finish,
                                               no_done, comments, split, repeat, huge

Which requests a fault applies to is decided in `fault_rules`.
"""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from bot.demo.answer_plan import AnswerPlan, AnswerWriter
    from bot.demo.fault_rules import FaultRule
    from bot.demo.http_wire import Exchange

_BLOCK: Final = 2**14


class StatusError(Exception):
    """An answer with an error status, in OpenAI's form of errors."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, kind or _kind_of(status), code, param)
        self.headers: Mapping[str, str] = {}


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return the JSON body of an error."""
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def _kind_of(status: int) -> str:
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    return kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004 - HTTP's own number


def context_error(limit: int, prompt: int, completion: int, rule: FaultRule | None = None) -> StatusError:
    """Return the 400 for a context that is too small, in OpenAI's words unless the rule has a message.

    All numbers in tokens. {limit}, {requested}, {prompt} and {completion} in the message are replaced.
    """
    message = (rule and rule.message) or (
        "This model's maximum context length is {limit} tokens. However, you requested {requested} tokens "
        "({prompt} in the messages, {completion} in the completion). Ask for less, or send less."
    )
    numbers = {"limit": limit, "requested": prompt + completion, "prompt": prompt, "completion": completion}
    for name, number in numbers.items():
        message = message.replace("{" + name + "}", str(number))
    code = (rule and rule.code) or "context_length_exceeded"
    return StatusError(400, message, kind=(rule and rule.type) or "", code=code, param="messages")


# In place of the answer. The mapping holds the tokens of "prompt" and "completion" that were requested.


async def _disconnect(exchange: Exchange, rule: FaultRule, _: Mapping[str, int]) -> None:
    exchange.disconnect(reset=rule.kind == "reset")


async def _stall(*_: object) -> None:
    await asyncio.Event().wait()


async def _status(exchange: Exchange, rule: FaultRule, _: Mapping[str, int]) -> None:
    status = rule.status or 500
    message = rule.message or f"Configured failure with status {status}."
    exchange.headers |= rule.headers
    raise StatusError(status, message, kind=rule.type or "", code=rule.code)


async def _redirect(exchange: Exchange, rule: FaultRule, _: Mapping[str, int]) -> None:
    exchange.headers["location"] = rule.location
    await exchange.reply(rule.status or 307, "text/plain", b"")


async def _html(exchange: Exchange, rule: FaultRule, _: Mapping[str, int]) -> None:
    page = (
        rule.text
        or "<!doctype html><html><head><title>Sign in</title></head><body>Sign in first.</body></html>"
    )
    await exchange.reply(rule.status or 200, "text/html; charset=utf-8", page.encode())


async def _context_length(_: Exchange, rule: FaultRule, tokens: Mapping[str, int]) -> None:
    limit = rule.limit or tokens["prompt"] + tokens["completion"] - 1
    raise context_error(limit, tokens["prompt"], tokens["completion"], rule)


REPLACES_ANSWER: Final[dict[str, Callable[[Exchange, FaultRule, Mapping[str, int]], Awaitable[None]]]] = {
    "refuse": _disconnect,
    "reset": _disconnect,
    "stall": _stall,
    "status": _status,
    "redirect": _redirect,
    "html": _html,
    "context_length": _context_length,
}


# During the answer: False ends it.


async def _cut(writer: AnswerWriter, rule: FaultRule) -> bool:
    await writer.flush()
    writer.exchange.disconnect(reset=rule.reset)
    return False


async def _stall_after(writer: AnswerWriter, _: FaultRule) -> bool:
    await writer.flush()
    await asyncio.Event().wait()
    return False


async def _garbage(writer: AnswerWriter, rule: FaultRule) -> bool:
    return await writer.write_garbage(rule.text or "{this is no JSON")


async def _invalid_utf8(writer: AnswerWriter, _: FaultRule) -> bool:
    await writer.write_bytes(b"\xff\xc3\x28")
    return True


async def _error_in_stream(writer: AnswerWriter, rule: FaultRule) -> bool:
    message = rule.message or "Configured failure in the middle of an answer."
    await writer.write_error(error_body(message, rule.type or "server_error", rule.code))
    return False


DURING_ANSWER: Final[dict[str, Callable[[AnswerWriter, FaultRule], Awaitable[bool]]]] = {
    "cut": _cut,
    "stall_after": _stall_after,
    "garbage": _garbage,
    "invalid_utf8": _invalid_utf8,
    "error_in_stream": _error_in_stream,
}


def _blocks(size: int) -> Iterator[str]:
    # Numbered lines: an answer that repeats itself is another fault.
    block = "".join(f"{number:04}{'x' * 75}\n" for number in range(_BLOCK // 80 + 1))[:_BLOCK]
    for start in range(0, size, _BLOCK):
        yield block[: size - start]


_NOTHING: Final[dict[str, Any]] = {"reasoning": (), "tokens": (), "reasoning_tokens": 0}

CHANGES_ANSWER: Final[dict[str, Callable[[FaultRule], dict[str, Any]]]] = {
    "empty": lambda _: {"tokens": ()},
    "null_content": lambda _: {**_NOTHING, "content": None},
    "no_choices": lambda _: {**_NOTHING, "choices": False},
    "empty_delta": lambda _: {"no_content": True, "usage": False},
    "no_finish": lambda _: {"finish": None},
    "no_done": lambda _: {"done": False},
    "comments": lambda _: {"comments": True},
    "split": lambda rule: {"piece_size": rule.size},
    "repeat": lambda rule: {"tokens": repeat(rule.text or " again"), "endless": True},
    "huge": lambda rule: {"tokens": _blocks(rule.bytes), "untimed": True},
}
"""The fields of the plan that a rule changes."""


def apply_rule(plan: AnswerPlan, rule: FaultRule) -> None:
    """Change the plan of an answer as a rule of DURING_ANSWER or CHANGES_ANSWER says."""
    if rule.kind in DURING_ANSWER:
        action = DURING_ANSWER[rule.kind]
        plan.actions.setdefault(rule.tokens, []).append(lambda writer: action(writer, rule))
        return
    for name, value in CHANGES_ANSWER[rule.kind](rule).items():
        setattr(plan, name, value)
