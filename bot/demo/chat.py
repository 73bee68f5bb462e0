"""POST /v1/chat/completions: from a request's body to an answer, or to an error.

    body ─► key ─► fields ─► load ─► fault rules ─► context ─► plan ─► answer

The checks are made in the order of a real service.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from bot.demo.answer_plan import NotRecordedError, TokenTiming, count_prompt, plan_answer
from bot.demo.answer_writer import BodyWriter, EventStreamWriter, send_answer
from bot.demo.behaviour_schema import AT_LEAST_ONE, FLAG, TABLE, ValueType, is_number
from bot.demo.chat_reader import message_text, parse_chat
from bot.demo.fault_injection import REPLACES_ANSWER, StatusError, apply_rule, context_error

if TYPE_CHECKING:
    from bot.demo.behaviour import Behaviour, ModelBehaviour
    from bot.demo.chat_reader import ParsedChat
    from bot.demo.fault_rules import FaultRule
    from bot.demo.http_wire import Exchange

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_MAX_TEMPERATURE: Final = 2
_FIELDS: Final[dict[str, ValueType]] = {
    "max_tokens": AT_LEAST_ONE,
    "max_completion_tokens": AT_LEAST_ONE,
    "temperature": ValueType(
        f"a number from 0 to {_MAX_TEMPERATURE}",
        lambda value: is_number(value) and 0 <= value <= _MAX_TEMPERATURE,
    ),
    "stream": FLAG,
    "stream_options": TABLE,
}


class ChatRoute:
    """The chat route with one behaviour, and the counters that its rules need."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._requests: Counter[str] = Counter()
        self._matched: Counter[tuple[str, int]] = Counter()
        self._running: Counter[str] = Counter()

    async def answer(self, exchange: Exchange, number: int) -> None:
        """Answer request `number` of the service; raises StatusError where a real service would refuse it."""
        authorization = exchange.request.headers.get("authorization", "")
        check_key(self.behaviour.require_key, authorization)
        body = parse_body(exchange.request.body)
        model = body["model"]
        behaviour = self.behaviour.get(model)
        if behaviour is None:
            message = f"The model `{model}` is not served here; GET /v1/models lists those that are."
            raise StatusError(404, message, code="model_not_found", param="model")
        exchange.headers.update(behaviour.headers)
        check_key(behaviour.require_key, authorization)
        for name in behaviour.reject_fields:
            if name in body:
                raise StatusError(400, f"Unknown field: `{name}`.", code="unknown_field", param=name)
        _check_load(self.behaviour.max_concurrent, self._running.total())
        _check_load(behaviour.max_concurrent, self._running[model])
        self._running[model] += 1
        try:
            await self._answer(exchange, number, body, behaviour)
        finally:
            self._running[model] -= 1

    async def _answer(
        self, exchange: Exchange, number: int, body: dict[str, Any], behaviour: ModelBehaviour
    ) -> None:
        model = body["model"]
        chat = parse_chat(body["messages"])
        nth = self._requests[model]
        self._requests[model] += 1
        timing = TokenTiming(behaviour, model, nth)
        if behaviour.delay:
            await asyncio.sleep(timing.with_jitter(behaviour.delay))
        prompt_tokens = count_prompt(map(message_text, body["messages"]))
        completion = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        rules = self._applicable_rules(behaviour, model, chat, prompt_tokens + completion)
        if rules and rules[-1].kind in REPLACES_ANSWER:
            tokens = {"prompt": prompt_tokens, "completion": completion}
            await REPLACES_ANSWER[rules[-1].kind](exchange, rules[-1], tokens)
            return
        if behaviour.context is not None and prompt_tokens + completion > behaviour.context:
            raise context_error(behaviour.context, prompt_tokens, completion)
        try:
            plan = plan_answer(behaviour, body, chat, number=number, nth=nth, prompt_tokens=prompt_tokens)
        except NotRecordedError:
            raise StatusError(400, "No answer to this prompt is recorded.", code="not_recorded") from None
        for rule in rules:
            apply_rule(plan, rule)
        exchange.piece_size = plan.piece_size
        writer = EventStreamWriter if body.get("stream") else BodyWriter
        await send_answer(plan, timing, writer(exchange, plan, timing))

    def _applicable_rules(
        self, behaviour: ModelBehaviour, model: str, chat: ParsedChat, requested: int
    ) -> list[FaultRule]:
        """Return the rules for this request; one that replaces the answer is the last of them."""
        applicable = []
        for index, rule in enumerate(behaviour.failures):
            if not rule.matches(chat.prompt, references=bool(chat.references)):
                continue
            if rule.limit is not None and requested <= rule.limit:
                continue
            self._matched[model, index] += 1
            if rule.applies(self._matched[model, index], f"{model}#{index}"):
                applicable.append(rule)
                if rule.kind in REPLACES_ANSWER:
                    break
        return applicable


def parse_body(content: bytes) -> dict[str, Any]:
    """Return the body of a chat request, checked as far as the service relies on it.

    Raises StatusError with status 400, which names the field.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise _bad_request("The body is not valid JSON.", None) from None
    if not isinstance(body, dict):
        raise _bad_request("The body has to be a JSON object.", None)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise _bad_request("`model` is required and has to be a string.", "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad_request(
            "`messages` is required and has to be a list with at least one message.", "messages"
        )
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    for name, (description, is_valid) in _FIELDS.items():
        if body.get(name) is not None and not is_valid(body[name]):
            raise _bad_request(f"`{name}` has to be {description}.", name)
    return body


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        raise _bad_request(f"`{where}` has to be an object.", where)
    if not isinstance(message.get("role"), str) or message["role"] not in _ROLES:
        raise _bad_request(f"`{where}.role` has to be one of {', '.join(sorted(_ROLES))}.", f"{where}.role")
    content = message.get("content")
    if isinstance(content, list):
        valid = all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in content)
    else:
        valid = isinstance(content, str) or (content is None and message["role"] == "assistant")
    if not valid:
        raise _bad_request(f"`{where}.content` has to be a string or a list of parts.", f"{where}.content")


def _bad_request(message: str, param: str | None) -> StatusError:
    return StatusError(400, message, code="invalid_request", param=param)


def check_key(key: str | None, authorization: str) -> None:
    """Raise StatusError (401) unless the header has the key, or none is required."""
    if key is not None and authorization != f"Bearer {key}":
        message = "The API key is not valid." if authorization else "No API key was sent."
        raise StatusError(401, message, code="invalid_api_key")


def _check_load(limit: int | None, running: int) -> None:
    if limit is not None and running >= limit:
        raise StatusError(429, f"More than {limit} requests at once.", code="too_many_requests")
