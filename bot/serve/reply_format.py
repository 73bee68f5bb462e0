"""Replies in JSON (`response_format`): what is asked for, and whether the reply is that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.protocols import Validator
from pydantic_core import PydanticCustomError
from referencing import Registry
from referencing.exceptions import Unresolvable

from bot.serve.api_errors import ApiError

MAX_SCHEMA = 120_000
"""Characters of a schema as JSON."""
MAX_REFERENCES = 10_000
"""How many references of a schema are followed in one reply."""
_FENCE = re.compile(r"\A```\w*\n(.*)\n?```\Z", re.DOTALL)
_LONGEST_PROBLEM = 300
TEXT = "text"


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """A reply that is JSON: a value that fits `schema`, or any object without one.

    `field` is `response_format` as it is passed on.
    """

    field: Mapping[str, Any]
    schema: Mapping[str, Any] | bool | None = None

    def instruction(self) -> str:
        """Return what the model that writes the reply is told, in case its service ignores the field."""
        text = "Reply with JSON and nothing else: no explanation and no code fence."
        if self.schema is None:
            return f"{text} It has to be an object."
        return f"{text} It has to be valid against this JSON Schema:\n{json.dumps(self.schema)}"

    def checked(self, reply: str) -> str:
        """Return the JSON of a reply, without a code fence. ApiError: it is not what was asked for."""
        fenced = _FENCE.match(reply.strip())
        text = fenced[1].strip() if fenced else reply.strip()
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise _invalid("it is not JSON") from None
        if self.schema is None:
            if not isinstance(value, dict):
                raise _invalid("it is not an object")
            return text
        try:
            problem = next(_validator(self.schema).iter_errors(value), None)
        except (Unresolvable, RecursionError, re.error):
            message = "The references of the schema cannot be followed."
            raise ApiError(400, message, "invalid_schema") from None
        if problem is not None:
            # The path has no text of the model in it but the names of properties.
            raise _invalid(f"at {problem.json_path}: {problem.message}"[:_LONGEST_PROBLEM])
        return text


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
    _check_schema(schema)
    return ReplyFormat(value, schema)


def _check_schema(schema: Any) -> None:
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA:
            raise PydanticCustomError("response_format", "The schema is too long")
        _class_of(schema).check_schema(schema)
    except SchemaError as error:
        where = error.json_path
        raise PydanticCustomError(
            "response_format", "This is not a JSON Schema: at {where}", {"where": where}
        ) from None
    except RecursionError:
        raise PydanticCustomError("response_format", "The schema is nested too deeply") from None


def _class_of(schema: Any) -> type[Validator]:
    found: type[Validator] = validators.validator_for(schema, default=Draft202012Validator)
    return found


def _validator(schema: Any) -> Validator:
    """Return a validator that fetches nothing, and whose work is bounded.

    Regular expressions of the client's are not run: one can take minutes. So can references that double
    at each step: RecursionError after `MAX_REFERENCES`.
    """
    kind, left = _class_of(schema), iter(range(MAX_REFERENCES))

    def followed(name: str) -> Callable[..., Iterator[ValidationError]]:
        follow = kind.VALIDATORS[name]

        def check(*arguments: Any) -> Iterator[ValidationError]:
            if next(left, None) is None:
                raise RecursionError
            yield from follow(*arguments) or ()

        return check

    changed: dict[str, Callable[..., Any]] = dict.fromkeys(("pattern", "patternProperties"), _ignore)
    changed |= {name: followed(name) for name in ("$ref", "$dynamicRef") if name in kind.VALIDATORS}
    made: Validator = validators.extend(kind, changed)(schema, registry=Registry())  # type: ignore[no-untyped-call]  # the stubs lack its types
    return made


def _ignore(*_: Any) -> None:
    return None


def _invalid(why: str) -> ApiError:
    return ApiError(502, f"The reply is not the JSON that was asked for: {why}.", "invalid_reply")
