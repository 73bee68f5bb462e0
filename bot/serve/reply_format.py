"""`response_format` of a request; whether the reply is that, is checked by `bot.text.reply_format`."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

from bot.serve.api_errors import ApiError
from bot.text.reply_format import InvalidReplyError, InvalidSchemaError, ReplyFormat, check_schema

TEXT = "text"


def read_reply_format(value: Any) -> ReplyFormat | None:
    """Return the format that `response_format` asks for, None for text. PydanticCustomError otherwise."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == TEXT:
        return None
    if kind == "json_object":
        return ReplyFormat(value)
    if kind != "json_schema":
        message = "Its type has to be text, json_object or json_schema"
        raise PydanticCustomError("response_format", message)
    described = value.get("json_schema")
    if not (isinstance(described, dict) and isinstance(described.get("name"), str) and described["name"]):
        raise PydanticCustomError("response_format", "json_schema has to be an object with a name")
    schema = described.get("schema")
    if schema is None:
        return ReplyFormat(value)
    try:
        check_schema(schema)
    except InvalidSchemaError as problem:
        raise PydanticCustomError("response_format", "{why}", {"why": str(problem)}) from None
    return ReplyFormat(value, schema)


def checked_reply(form: ReplyFormat, reply: str) -> str:
    """Return the JSON of a reply, without a code fence. ApiError: it is not what was asked for."""
    try:
        return form.checked(reply)
    except InvalidSchemaError:
        message = "The references of the schema cannot be followed."
        raise ApiError(400, message, "invalid_schema") from None
    except InvalidReplyError as problem:
        message = f"The reply is not the JSON that was asked for: {problem}."
        raise ApiError(502, message, "invalid_reply") from None
