"""What the requests of all APIs have in common, checked with pydantic.

One rule for fields that a mixture cannot honour: what changes the form of the answer (several choices,
log probabilities, audio) is refused, because the client would wait for it in vain; what only tunes the
sampling or is for bookkeeping (top_p, penalties, user, …) is ignored. `moa` is this service's own
field, and refuses keys that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

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
NO_LIMIT = -1
"""As `max_tokens`: the same as none."""
_INT64 = 2**63
_MAX_DIGITS = 400
_UNSUPPORTED = "unsupported_parameter"


def only(supported: str, is_supported: Callable[[Any], bool]) -> BeforeValidator:
    """Return a validator that refuses what the API has and a mixture has not."""

    def check(value: Any) -> Any:
        if not is_supported(value):
            raise PydanticCustomError(
                _UNSUPPORTED, "A mixture writes text only: {supported}", {"supported": supported}
            )
        return value

    return BeforeValidator(check)


Unsupported = Annotated[Any, only("this field is not supported", lambda value: not value)]
OnlyOne = Annotated[Any, only("it has to be 1", lambda n: n == 1 and n is not True)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
MaxTokens = Annotated[
    Tokens | None, BeforeValidator(lambda n: None if n == NO_LIMIT and isinstance(n, int) else n)
]
Temperature = Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)]
Seed = Annotated[int, Field(ge=-_INT64, lt=_INT64)]
Stop = Annotated[
    list[NonEmpty],
    Field(max_length=MAX_STOPS),
    BeforeValidator(lambda stop: [stop] if isinstance(stop, str) else stop),
]


class RequestObject(BaseModel):
    """A JSON object in which null is as good as absent, as in the OpenAI API."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}


class MoaOptions(RequestObject):
    """The field `moa`: another mixture for this one request, and what else to send back."""

    model_config = ConfigDict(extra="forbid")

    references: Annotated[list[str], Field(min_length=1, max_length=MAX_REFERENCES)] | None = None
    rounds: Annotated[int, Field(ge=0, le=MAX_ROUNDS)] | None = None
    aggregator: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    reference_max_tokens: Tokens | None = None
    include_references: bool = False
    progress: bool = False


class StreamOptions(RequestObject):
    """The field `stream_options`."""

    include_usage: bool = False


AnyRequest = TypeVar("AnyRequest", bound=RequestObject)


def parse_body(content: bytes, kind: type[AnyRequest], conversation: str) -> AnyRequest:
    """Read a request's body. ApiError (400) names the field that is wrong.

    `conversation` is the field with the messages, whose number is limited.
    """
    if _count_values(content) > MAX_VALUES:
        raise bad_request(f"The body has more than {MAX_VALUES} values.", None, "too_many_values")
    try:
        body = json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError):
        raise bad_request("The body is not valid JSON.", None, "invalid_json") from None
    if not isinstance(body, dict):
        raise bad_request("The body has to be a JSON object.", None, "invalid_json")
    _check_count(body.get(conversation), conversation)
    try:
        return kind.model_validate(body)
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


def _check_count(messages: object, param: str) -> None:
    """Refuse more messages, or parts of messages, than can be checked in a moment."""
    if not isinstance(messages, list):
        return
    contents = (each.get("content") for each in messages[:MAX_MESSAGES] if isinstance(each, dict))
    parts = sum(len(content) for content in contents if isinstance(content, list))
    for found, most, what in ((len(messages), MAX_MESSAGES, "messages"), (parts, MAX_PARTS, "parts")):
        if found > most:
            raise bad_request(f"{param}: more than {most} {what}.", param, "too_many_messages")


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
