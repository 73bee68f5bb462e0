"""POST /v1/chat/completions: from a request's body to a spoken answer, or to a refusal.

    body ─► checked ─► key, fields, load ─► failure rules ─► context ─► plan ─► spoken

The order is that of a real service: who asks, what is asked, whether there is room, then the work.
It reads no sockets; `wire` and `output` do.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from bot.demo.answer_plan import NotRecordedError, TokenTiming, plan_answer
from bot.demo.behaviour_schema import AT_LEAST_ONE, FLAG, TABLE, Want, is_number
from bot.demo.chat_reader import read_chat, text_of
from bot.demo.fault_injection import INSTEAD, RefusalError, alter, too_long
from bot.demo.output import StreamOutput, WholeOutput, speak
from bot.demo.tokens import count_prompt

if TYPE_CHECKING:
    from bot.demo.behaviour import Behaviour, ModelBehaviour
    from bot.demo.chat_reader import Reading
    from bot.demo.fault_rules import Rule
    from bot.demo.http_wire import Exchange

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_HOTTEST: Final = 2
_FIELDS: Final[dict[str, Want]] = {
    "max_tokens": AT_LEAST_ONE,
    "max_completion_tokens": AT_LEAST_ONE,
    "temperature": Want(
        f"a number from 0 to {_HOTTEST}", lambda value: is_number(value) and 0 <= value <= _HOTTEST
    ),
    "stream": FLAG,
    "stream_options": TABLE,
}


class Chat:
    """The chat route under one behaviour, with the counts that its rules need."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._asked: Counter[str] = Counter()
        self._seen: Counter[tuple[str, int]] = Counter()
        self._running: Counter[str] = Counter()

    async def answer(self, exchange: Exchange, number: int) -> None:
        """Answer request `number` of the service; raises RefusalError where a real service refuses."""
        authorization = exchange.request.headers.get("authorization", "")
        check_key(self.behaviour.require_key, authorization)
        body = parse_body(exchange.request.body)
        model = body["model"]
        behaviour = self.behaviour.of(model)
        if behaviour is None:
            message = f"The model `{model}` is not served here; GET /v1/models lists those that are."
            raise RefusalError(404, message, code="model_not_found", param="model")
        exchange.headers.update(behaviour.headers)
        check_key(behaviour.require_key, authorization)
        for name in behaviour.reject_fields:
            if name in body:
                raise RefusalError(400, f"Unknown field: `{name}`.", code="unknown_field", param=name)
        _check_load(self.behaviour.max_concurrent, self._running.total())
        _check_load(behaviour.max_concurrent, self._running[model])
        self._running[model] += 1
        try:
            await self._work(exchange, number, body, behaviour)
        finally:
            self._running[model] -= 1

    async def _work(
        self, exchange: Exchange, number: int, body: dict[str, Any], behaviour: ModelBehaviour
    ) -> None:
        model = body["model"]
        reading = read_chat(body["messages"])
        nth = self._asked[model]
        self._asked[model] += 1
        timing = TokenTiming(behaviour, model, nth)
        if behaviour.delay:
            await asyncio.sleep(timing.varied(behaviour.delay))
        prompt_tokens = count_prompt(map(text_of, body["messages"]))
        completion = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        rules = self._striking(behaviour, model, reading, prompt_tokens + completion)
        if rules and rules[-1].kind in INSTEAD:
            asked = {"prompt": prompt_tokens, "completion": completion}
            await INSTEAD[rules[-1].kind](exchange, rules[-1], asked)
            return
        if behaviour.context is not None and prompt_tokens + completion > behaviour.context:
            raise too_long(behaviour.context, prompt_tokens, completion)
        try:
            plan = plan_answer(behaviour, body, reading, number=number, nth=nth, prompt_tokens=prompt_tokens)
        except NotRecordedError:
            raise RefusalError(400, "No answer to this prompt is recorded.", code="not_recorded") from None
        for rule in rules:
            alter(plan, exchange, rule)
        output = StreamOutput if body.get("stream") else WholeOutput
        await speak(plan, timing, output(exchange, plan, timing))

    def _striking(
        self, behaviour: ModelBehaviour, model: str, reading: Reading, requested: int
    ) -> list[Rule]:
        """Return the rules that strike now; one that replaces the answer is the last of them."""
        striking = []
        for index, rule in enumerate(behaviour.failures):
            if not rule.concerns(reading.prompt, references=bool(reading.references)):
                continue
            if rule.limit is not None and requested <= rule.limit:
                continue
            self._seen[model, index] += 1
            if rule.strikes(self._seen[model, index], f"{model}#{index}"):
                striking.append(rule)
                if rule.kind in INSTEAD:
                    break
        return striking


def parse_body(content: bytes) -> dict[str, Any]:
    """Return the body of a chat request, checked as far as the service relies on it.

    Raises RefusalError with status 400, naming the field.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise _bad("The body is not valid JSON.", None) from None
    if not isinstance(body, dict):
        raise _bad("The body has to be a JSON object.", None)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise _bad("`model` is required and has to be a text.", "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("`messages` is required and has to be a list with at least one message.", "messages")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    for name, (said, holds) in _FIELDS.items():
        if body.get(name) is not None and not holds(body[name]):
            raise _bad(f"`{name}` has to be {said}.", name)
    return body


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        raise _bad(f"`{where}` has to be an object.", where)
    if not isinstance(message.get("role"), str) or message["role"] not in _ROLES:
        raise _bad(f"`{where}.role` has to be one of {', '.join(sorted(_ROLES))}.", f"{where}.role")
    content = message.get("content")
    if isinstance(content, list):
        valid = all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in content)
    else:
        valid = isinstance(content, str) or (content is None and message["role"] == "assistant")
    if not valid:
        raise _bad(f"`{where}.content` has to be a text or a list of parts.", f"{where}.content")


def _bad(message: str, param: str | None) -> RefusalError:
    return RefusalError(400, message, code="invalid_request", param=param)


def check_key(key: str | None, authorization: str) -> None:
    """Raise RefusalError unless the header holds the key, or none is required."""
    if key is not None and authorization != f"Bearer {key}":
        said = "The API key is not valid." if authorization else "No API key was sent."
        raise RefusalError(401, said, code="invalid_api_key")


def _check_load(most: int | None, running: int) -> None:
    if most is not None and running >= most:
        raise RefusalError(429, f"More than {most} requests at once.", code="too_many_requests")
