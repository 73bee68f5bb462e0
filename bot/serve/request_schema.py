"""The body of a request to /v1/chat/completions, checked with pydantic.

One rule for fields that a mixture cannot honour: what changes the form of the answer (tools,
several choices, a JSON schema, log probabilities, audio) is refused, because the client would wait
for it in vain; what only tunes the sampling or is for bookkeeping (top_p, penalties, user, …) is
ignored. `moa` is this service's own field, and refuses keys that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bot.messages import Message
from bot.serve.api_errors import ApiError, bad_request
from bot.settings.options import MAX_ROUNDS, MAX_TOKENS

MAX_MESSAGES = 2048
MAX_PARTS = 4096
"""In all messages together."""
MAX_VALUES = 100_000
"""A body with more values than this in JSON is refused before it is read: each takes time and memory."""
MAX_STOPS = 4
MAX_REFERENCES = 32
MAX_TEMPERATURE = 2
_INT64 = 2**63
_MAX_DIGITS = 400
_UNSUPPORTED = "unsupported_parameter"


def _only(supported: str, is_supported: Callable[[Any], bool]) -> BeforeValidator:
    """Return a validator that refuses what the API has and a mixture has not."""

    def check(value: Any) -> Any:
        if not is_supported(value):
            raise PydanticCustomError(
                _UNSUPPORTED, "A mixture writes text only: {supported}", {"supported": supported}
            )
        return value

    return BeforeValidator(check)


_Unsupported = Annotated[Any, _only("this field is not supported", lambda value: not value)]
_NonEmpty = Annotated[str, StringConstraints(min_length=1)]
_Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class _Object(BaseModel):
    """A JSON object in which null is as good as absent, as in the OpenAI API."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}


class _Part(_Object):
    type: Annotated[Any, _only("parts have to be of type text", lambda value: value == "text")] = Field(
        default=None, validate_default=True
    )
    text: str


class _Message(_Object):
    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        _only("it uses no tools", lambda value: value not in ("tool", "function")),
        AfterValidator(lambda role: "system" if role == "developer" else role),
    ]
    content: list[_Part] = Field(default=None, validate_default=True)
    tool_calls: _Unsupported = None
    function_call: _Unsupported = None

    @field_validator("content", mode="before")
    @classmethod
    def _as_parts(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and info.data.get("role") == "assistant":
            return []
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    def message(self) -> Message:
        return Message(self.role, "".join(part.text for part in self.content))  # type: ignore[arg-type]  # no developer


class _StreamOptions(_Object):
    include_usage: bool = False


class MoaOptions(_Object):
    """The field `moa`: another mixture for this one request, and what else to send back."""

    model_config = ConfigDict(extra="forbid")

    references: Annotated[list[str], Field(min_length=1, max_length=MAX_REFERENCES)] | None = None
    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)] | None = None
    aggregator: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    reference_max_tokens: _Tokens | None = None
    include_references: bool = False
    progress: bool = False


class ChatRequest(_Object):
    """One request. `max_tokens` is the limit of the reply alone."""

    model: _NonEmpty
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)] | None = None
    max_tokens: _Tokens | None = Field(
        default=None, validation_alias=AliasChoices("max_completion_tokens", "max_tokens")
    )
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: Annotated[
        list[_NonEmpty],
        Field(max_length=MAX_STOPS),
        BeforeValidator(lambda stop: [stop] if isinstance(stop, str) else stop),
    ] = []
    moa: MoaOptions = MoaOptions()

    n: Annotated[Any, _only("n has to be 1", lambda n: n == 1 and n is not True)] = None
    tools: _Unsupported = None
    functions: _Unsupported = None
    logprobs: _Unsupported = None
    top_logprobs: _Unsupported = None
    audio: _Unsupported = None
    web_search_options: _Unsupported = None
    response_format: Annotated[
        Any,
        _only(
            'it has to be {"type": "text"}',
            lambda form: isinstance(form, dict) and form.get("type") == "text",
        ),
    ] = None
    modalities: Annotated[Any, _only('it has to be ["text"]', lambda value: value == ["text"])] = None

    @field_validator("messages")
    @classmethod
    def _ends_with_a_prompt(cls, messages: list[_Message]) -> list[_Message]:
        dialogue = [message.message() for message in messages if message.role != "system"]
        if not dialogue or dialogue[-1].role != "user":
            raise PydanticCustomError("last_message", "The last message has to be the user's")
        if not dialogue[-1].content.strip():
            raise PydanticCustomError("last_message", "The user's last message is empty")
        return messages

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk of the tokens."""
        return self.stream_options.include_usage

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages before the prompt, without system messages and empty ones."""
        return tuple(message for message in self._dialogue()[:-1] if message.content)

    @property
    def prompt(self) -> str:
        """The user's last message."""
        return self._dialogue()[-1].content

    @property
    def system(self) -> str | None:
        """The system messages, joined; None when there are none."""
        texts = [each.message().content for each in self.messages if each.role == "system"]
        return "\n\n".join(text for text in texts if text.strip()) or None

    def _dialogue(self) -> list[Message]:
        return [each.message() for each in self.messages if each.role != "system"]


def parse_request(content: bytes) -> ChatRequest:
    """Read a request's body. ApiError (400) names the field that is wrong."""
    if _count_values(content) > MAX_VALUES:
        raise bad_request(f"The body has more than {MAX_VALUES} values.", None, "too_many_values")
    try:
        body = json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError):
        raise bad_request("The body is not valid JSON.", None, "invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("The body has to be a JSON object.", None, "invalid_json")
    _check_messages(body.get("messages"))
    try:
        return ChatRequest.model_validate(body)
    except ValidationError as error:
        raise _api_error(error) from None


def _count_values(content: bytes) -> int:
    """Return about how many values the JSON has, without reading it: what separates them outside strings."""
    text = content.replace(rb"\\", b"").replace(rb"\"", b"")
    quotes = text.count(b'"')
    if quotes > 2 * MAX_VALUES:
        return quotes // 2
    outside = b"".join(text.split(b'"')[::2])
    return sum(outside.count(mark) for mark in (b",", b"[", b"{"))


def _integer(digits: str) -> float:
    """Return a whole number; one that no field can hold as infinity, which the fields refuse by name."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _check_messages(messages: object) -> None:
    """Refuse more messages, or parts of messages, than can be checked in a moment."""
    if not isinstance(messages, list):
        return
    contents = (each.get("content") for each in messages[:MAX_MESSAGES] if isinstance(each, dict))
    parts = sum(len(content) for content in contents if isinstance(content, list))
    for found, most, what in ((len(messages), MAX_MESSAGES, "messages"), (parts, MAX_PARTS, "parts")):
        if found > most:
            raise bad_request(f"messages: more than {most} {what}.", "messages", "too_many_messages")


def _api_error(invalid: ValidationError) -> ApiError:
    """Return the first error in the API's form."""
    error = invalid.errors(include_url=False, include_input=False)[0]
    path, kind, message = error["loc"], error["type"], error["msg"]
    if kind == "model_type":  # pydantic's message names our class
        message = "Input should be an object"
    elif isinstance(path[-1], int):  # of a list of strings, the list is named
        path = path[:-1]
    param = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    code = {"extra_forbidden": "unknown_parameter", _UNSUPPORTED: _UNSUPPORTED}.get(kind, "invalid_value")
    return bad_request(f"{param}: {message}.", param, code)
