"""What goes wrong on purpose: one small function for each kind of failure rule.

Three tables, by the moment at which a fault strikes:

    INSTEAD   before the answer, in its place:  refuse, reset, stall, status, redirect, html, context_length
    MIDWAY    after `tokens` tokens:            cut, stall_after, garbage, invalid_utf8, error_in_stream
    SHAPE     changes what is said, or how:     empty, null_content, no_choices, empty_delta, no_finish,
                                                no_done, comments, split, repeat, huge

When a rule strikes is told in `rules`.
"""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from bot.demo.answer_plan import Plan
    from bot.demo.fault_rules import Rule
    from bot.demo.http_wire import Exchange
    from bot.demo.output import Output

_BLOCK: Final = 2**14


class RefusalError(Exception):
    """An answer with an error status, in the shape that OpenAI gives to errors."""

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
    if status == 429:  # noqa: PLR2004 - HTTP's name for it is a number
        return "rate_limit_error"
    if status == 401:  # noqa: PLR2004 - likewise
        return "authentication_error"
    return "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - likewise


def too_long(limit: int, prompt: int, completion: int, rule: Rule | None = None) -> RefusalError:
    """Return the 400 of a context that is too small, worded in OpenAI's manner unless a rule words it.

    All in tokens. In a rule's message {limit}, {requested}, {prompt} and {completion} are filled in.
    """
    message = (rule and rule.message) or (
        "This model's maximum context length is {limit} tokens. However, you requested {requested} tokens "
        "({prompt} in the messages, {completion} in the completion). Ask for less, or send less."
    )
    numbers = {"limit": limit, "requested": prompt + completion, "prompt": prompt, "completion": completion}
    for name, number in numbers.items():
        message = message.replace("{" + name + "}", str(number))
    code = (rule and rule.code) or "context_length_exceeded"
    return RefusalError(400, message, kind=(rule and rule.type) or "", code=code, param="messages")


# In place of the answer


async def _refuse(exchange: Exchange, rule: Rule, _: Mapping[str, int]) -> None:
    exchange.drop(reset=rule.kind == "reset")


async def _stall(exchange: Exchange, rule: Rule, _: Mapping[str, int]) -> None:
    del exchange, rule
    await asyncio.Event().wait()


async def _status(exchange: Exchange, rule: Rule, _: Mapping[str, int]) -> None:
    status = rule.status or 500
    refusal = RefusalError(
        status,
        rule.message or f"Programmed failure with status {status}.",
        kind=rule.type or "",
        code=rule.code,
    )
    exchange.headers |= rule.headers
    raise refusal


async def _redirect(exchange: Exchange, rule: Rule, _: Mapping[str, int]) -> None:
    exchange.headers["location"] = rule.location
    await exchange.reply(rule.status or 307, "text/plain", b"")


async def _html(exchange: Exchange, rule: Rule, _: Mapping[str, int]) -> None:
    page = (
        rule.text
        or "<!doctype html><html><head><title>Sign in</title></head><body>Sign in first.</body></html>"
    )
    await exchange.reply(rule.status or 200, "text/html; charset=utf-8", page.encode())


async def _context_length(exchange: Exchange, rule: Rule, asked: Mapping[str, int]) -> None:
    del exchange
    requested = asked["prompt"] + asked["completion"]
    raise too_long(rule.limit or requested - 1, asked["prompt"], asked["completion"], rule)


INSTEAD: Final[dict[str, Callable[[Exchange, Rule, Mapping[str, int]], Awaitable[None]]]] = {
    "refuse": _refuse,
    "reset": _refuse,
    "stall": _stall,
    "status": _status,
    "redirect": _redirect,
    "html": _html,
    "context_length": _context_length,
}
"""Faults in place of an answer; the mapping holds the tokens of "prompt" and "completion" asked for."""


# In the middle of the answer: False ends it


async def _cut(output: Output, rule: Rule) -> bool:
    await output.show()
    output.exchange.drop(reset=rule.reset)
    return False


async def _stall_after(output: Output, rule: Rule) -> bool:
    del rule
    await output.show()
    await asyncio.Event().wait()
    return False


async def _garbage(output: Output, rule: Rule) -> bool:
    return await output.garble(rule.text or "{this is no JSON")


async def _invalid_utf8(output: Output, rule: Rule) -> bool:
    del rule
    await output.raw(b"\xff\xc3\x28")
    return True


async def _error_in_stream(output: Output, rule: Rule) -> bool:
    message = rule.message or "Programmed failure in the middle of an answer."
    await output.error(error_body(message, rule.type or "server_error", rule.code))
    return False


MIDWAY: Final[dict[str, Callable[[Output, Rule], Awaitable[bool]]]] = {
    "cut": _cut,
    "stall_after": _stall_after,
    "garbage": _garbage,
    "invalid_utf8": _invalid_utf8,
    "error_in_stream": _error_in_stream,
}


# The shape of the answer


def _nothing(plan: Plan) -> None:
    plan.reasoning, plan.tokens, plan.reasoning_tokens = [], [], 0


def _empty(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    plan.tokens = []


def _null_content(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    _nothing(plan)
    plan.content = None


def _no_choices(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    _nothing(plan)
    plan.choices = False


def _empty_delta(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    plan.no_content, plan.usage = True, False


def _no_finish(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    plan.finish = None


def _no_done(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    plan.done = False


def _comments(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange, rule
    plan.comments = True


def _split(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del plan
    exchange.piece = rule.size


def _repeat(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange
    plan.tokens, plan.endless = repeat(rule.text or " again"), True


def _huge(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    del exchange
    plan.tokens, plan.hurried = _blocks(rule.bytes), True


def _blocks(size: int) -> Iterator[str]:
    line = "x" * 79 + "\n"
    block = (line * (_BLOCK // len(line) + 1))[:_BLOCK]
    for start in range(0, size, _BLOCK):
        yield block[: size - start]


SHAPE: Final[dict[str, Callable[[Plan, Exchange, Rule], None]]] = {
    "empty": _empty,
    "null_content": _null_content,
    "no_choices": _no_choices,
    "empty_delta": _empty_delta,
    "no_finish": _no_finish,
    "no_done": _no_done,
    "comments": _comments,
    "split": _split,
    "repeat": _repeat,
    "huge": _huge,
}


def alter(plan: Plan, exchange: Exchange, rule: Rule) -> None:
    """Let a rule of MIDWAY or SHAPE change the plan of an answer."""
    if rule.kind in SHAPE:
        SHAPE[rule.kind](plan, exchange, rule)
    else:
        act = MIDWAY[rule.kind]
        plan.acts.setdefault(rule.tokens, []).append(lambda output: act(output, rule))
