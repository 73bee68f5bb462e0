"""What a request to /v1/chat/completions asks for, read and checked (ApiError otherwise).

One rule for fields that a mixture has no use for: what the form of the answer depends on (tools,
several choices, a JSON schema, log probabilities, sound) is refused, because the client would wait
for it in vain; what only nudges the sampling or is for bookkeeping (top_p, penalties, user, …) is
ignored. `moa` is this service's own field, and strict: it has no clients of long standing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from bot.messages import Message, Role
from bot.serve.api_errors import unsupported, wrong
from bot.settings.options import MAX_ROUNDS, MAX_TOKENS

MAX_STOPS = 4
MAX_REFERENCES = 32
HOTTEST = 2
_INT64 = 2**63
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True, slots=True)
class MoaOptions:
    """The field `moa`: another mixture for this one request, and what to tell of it."""

    references: tuple[str, ...] | None = None
    rounds: int | None = None
    aggregator: str | None = None
    reference_max_tokens: int | None = None
    include_references: bool = False
    progress: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request: what was said so far, the prompt, and how the answer is wanted.

    `system` joins the request's system messages, None when it has none. `max_tokens` is the limit
    of the reply alone.
    """

    model: str
    history: tuple[Message, ...]
    prompt: str
    system: str | None = None
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    moa: MoaOptions = MoaOptions()


def parse_request(content: bytes) -> ChatRequest:
    """Read a request's body. ApiError (400) names the field that is wrong."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise wrong("The body is not valid JSON.", None, "invalid_json") from None
    if not isinstance(body, dict):
        raise wrong("The body has to be a JSON object.", None, "invalid_json")
    _refuse_unsupported(body)
    model = body.get("model")
    if not (isinstance(model, str) and model):
        raise wrong("model is required: a text.", "model")
    systems, history, prompt = _conversation(body.get("messages"))
    limit = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    options = body.get("stream_options")
    return ChatRequest(
        model=model,
        history=history,
        prompt=prompt,
        system="\n\n".join(systems) or None,
        stream=_flag(body, "stream"),
        include_usage=_flag(_table(options, "stream_options"), "include_usage", "stream_options."),
        temperature=_temperature(body),
        max_tokens=_whole(body, limit, 1, MAX_TOKENS),
        seed=_whole(body, "seed", -_INT64, _INT64 - 1),
        stop=_stop(body.get("stop")),
        moa=_moa(body.get("moa")),
    )


def _refuse_unsupported(body: dict[str, Any]) -> None:
    if body.get("n") not in (None, 1) or body.get("n") is True:
        raise unsupported("A mixture writes one reply: n has to be 1.", "n")
    for name in ("tools", "functions", "logprobs", "top_logprobs", "audio", "web_search_options"):
        if body.get(name):
            raise unsupported(f"A mixture writes text only: {name} is not supported.", name)
    form = body.get("response_format")
    if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
        raise unsupported(
            'A mixture writes text only: response_format has to be {"type": "text"}.', "response_format"
        )
    if body.get("modalities") not in (None, ["text"]):
        raise unsupported('A mixture writes text only: modalities has to be ["text"].', "modalities")


def _conversation(messages: object) -> tuple[list[str], tuple[Message, ...], str]:
    """Return the system messages, the history and the prompt, which is the user's last message."""
    if not (isinstance(messages, list) and messages):
        raise wrong("messages is required: a list with at least one message.", "messages")
    read = [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    systems = [message.content for message in read if message.role == "system" and message.content.strip()]
    said = [message for message in read if message.role != "system"]
    if not said or said[-1].role != "user":
        raise wrong("The last message has to be the user's.", "messages")
    if not said[-1].content.strip():
        raise wrong("Nothing is asked: the user's last message is empty.", "messages")
    return systems, tuple(message for message in said[:-1] if message.content), said[-1].content


def _message(message: object, where: str) -> Message:
    if not isinstance(message, dict):
        raise wrong(f"{where} has to be an object.", where)
    role = message.get("role")
    if role in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
        raise unsupported(f"{where}: a mixture uses no tools.", f"{where}.role")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(f"{where}.role has to be one of {', '.join(_ROLES)}.", f"{where}.role")
    content = message.get("content")
    if content is None and role == "assistant":
        return Message("assistant", "")
    if isinstance(content, str):
        return Message(_ROLES[role], content)
    if not isinstance(content, list):
        raise wrong(f"{where}.content has to be a text or a list of parts.", f"{where}.content")
    parts = [_part(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
    return Message(_ROLES[role], "".join(parts))


def _part(part: object, where: str) -> str:
    if not isinstance(part, dict):
        raise wrong(f"{where} has to be an object.", where)
    if part.get("type") != "text":
        raise unsupported(f"{where}: a mixture reads parts of type text only.", f"{where}.type")
    text = part.get("text")
    if not isinstance(text, str):
        raise wrong(f"{where}.text has to be a text.", f"{where}.text")
    return text


def _moa(options: object) -> MoaOptions:
    table = _table(options, "moa")
    for name in table:
        if name not in MoaOptions.__slots__:
            known = ", ".join(MoaOptions.__slots__)
            raise wrong(f"moa.{name} is unknown; there are {known}.", f"moa.{name}", "unknown_parameter")
    references = table.get("references")
    if references is not None:
        texts = isinstance(references, list) and all(isinstance(each, str) for each in references)
        if not (texts and 0 < len(references) <= MAX_REFERENCES):
            raise wrong(f"moa.references has to be a list of 1 to {MAX_REFERENCES} models.", "moa.references")
    aggregator = table.get("aggregator")
    if aggregator is not None and not (isinstance(aggregator, str) and aggregator.strip()):
        raise wrong("moa.aggregator has to be a model.", "moa.aggregator")
    return MoaOptions(
        references=None if references is None else tuple(references),
        rounds=_whole(table, "rounds", 1, MAX_ROUNDS, "moa."),
        aggregator=aggregator,
        reference_max_tokens=_whole(table, "reference_max_tokens", 1, MAX_TOKENS, "moa."),
        include_references=_flag(table, "include_references", "moa."),
        progress=_flag(table, "progress", "moa."),
    )


def _table(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(f"{name} has to be an object.", name)
    return value


def _flag(table: dict[str, Any], name: str, where: str = "") -> bool:
    value = table.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(f"{where}{name} has to be true or false.", where + name)
    return value


def _whole(table: dict[str, Any], name: str, least: int, most: int, where: str = "") -> int | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise wrong(f"{where}{name} has to be a whole number from {least} to {most}.", where + name)
    return value


def _temperature(body: dict[str, Any]) -> float | None:
    value = body.get("temperature")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and isfinite(value) and 0 <= value <= HOTTEST):
        raise wrong(f"temperature has to be a number from 0 to {HOTTEST}.", "temperature")
    return float(value)


def _stop(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not (isinstance(texts, list) and len(texts) <= MAX_STOPS):
        raise wrong(f"stop has to be a text or a list of at most {MAX_STOPS}.", "stop")
    if not all(isinstance(text, str) and text for text in texts):
        raise wrong("stop has to hold texts that are not empty.", "stop")
    return tuple(texts)
