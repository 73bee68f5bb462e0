"""Replies in JSON: what is asked for, and whether a reply is that.

Imports jsonschema, which takes 150 ms: import this module where JSON is asked for only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

MAX_SCHEMA = 120_000
"""Characters of a schema as JSON."""
MAX_REFERENCES = 10_000
"""How many references of a schema are followed in one reply."""
_FENCE = re.compile(r"\A```\w*\s*(.*)```\Z", re.DOTALL)
_LONGEST_PROBLEM = 300
_MOST_PROBLEMS = 5
"""Mistakes of a reply that are named."""


class InvalidReplyError(ValueError):
    """A reply is not the JSON that was asked for; the text says why."""


class InvalidSchemaError(ValueError):
    """A value is no JSON Schema; the text says why."""


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """A reply that is JSON: a value that fits `schema`, or any object without one.

    `field` is `response_format` as it is sent. `patterns` runs the regular expressions of the schema: one
    can take minutes, so those of strangers are not run.
    """

    field: Mapping[str, Any]
    schema: Mapping[str, Any] | bool | None = None
    patterns: bool = False

    def instruction(self) -> str:
        """Return what the model that writes the reply is told, in case its service ignores the field."""
        text = "Reply with JSON and nothing else: no explanation and no code fence."
        if self.schema is None:
            return f"{text} It has to be an object."
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"{text} It has to be valid against this JSON Schema:\n{schema}"

    def checked(self, reply: str) -> str:
        """Return the JSON of a reply, without a code fence.

        InvalidReplyError when it is not what was asked for, InvalidSchemaError when that cannot be said.
        """
        fenced = _FENCE.match(reply.strip())
        text = fenced[1].strip() if fenced else reply.strip()
        try:
            value = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        except (ValueError, RecursionError):
            raise InvalidReplyError("it is not JSON") from None
        if self.schema is None:
            if not isinstance(value, dict):
                raise InvalidReplyError("it is not an object")
            return text
        try:
            problems = list(islice(self._validator().iter_errors(value), _MOST_PROBLEMS))
        except (Unresolvable, RecursionError, re.error):
            raise InvalidSchemaError("the references of the schema cannot be followed") from None
        if problems:
            raise InvalidReplyError("; ".join(map(_described, problems)))
        return text

    def _validator(self) -> Validator:
        """Return a validator that fetches nothing, and whose work is bounded.

        References that double at each step are not followed: RecursionError after `MAX_REFERENCES`.
        """
        kind, left = _class_of(self.schema), iter(range(MAX_REFERENCES))

        def followed(name: str) -> Callable[..., Iterator[ValidationError]]:
            follow = kind.VALIDATORS[name]

            def check(*arguments: Any) -> Iterator[ValidationError]:
                if next(left, None) is None:
                    raise RecursionError
                yield from follow(*arguments) or ()

            return check

        changed: dict[str, Callable[..., Any]] = {}
        if not self.patterns:
            changed = dict.fromkeys(("pattern", "patternProperties"), _ignore)
        changed |= {name: followed(name) for name in ("$ref", "$dynamicRef") if name in kind.VALIDATORS}
        made: Validator = validators.extend(kind, changed)(self.schema, registry=Registry())  # type: ignore[no-untyped-call]  # the stubs lack its types
        return made


def format_of_schema(schema: Mapping[str, Any]) -> ReplyFormat:
    """Return the format of a reply that fits the user's own schema, which has been checked."""
    described: dict[str, Any] = {"name": "reply", "schema": schema}
    if _is_strict(schema):
        described["strict"] = True
    return ReplyFormat({"type": "json_schema", "json_schema": described}, schema, patterns=True)


def check_schema(schema: Any) -> None:
    """Raise InvalidSchemaError for what is no JSON Schema, or is too large for one."""
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA:
            raise InvalidSchemaError("The schema is too long")
        _class_of(schema).check_schema(schema)
    except SchemaError as error:
        raise InvalidSchemaError(f"This is not a JSON Schema: at {error.json_path}") from None
    except RecursionError:
        raise InvalidSchemaError("The schema is nested too deeply") from None


def check_references(schema: Mapping[str, Any]) -> None:
    """Raise InvalidSchemaError when a reference leads outside the schema, or to nothing in it."""
    try:
        resolver = Registry().with_resource("", _resource(schema)).resolver()
        for reference in _references(schema):
            resolver.lookup(reference)
    except (Unresolvable, ValueError) as error:
        where = getattr(error, "ref", "")
        raise InvalidSchemaError(f"Its reference {where!r} leads to nothing in it") from None


def _resource(schema: Mapping[str, Any]) -> Any:
    from referencing import Resource  # noqa: PLC0415 - for schemas of the user's own only
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415 - as above

    return Resource.from_contents(schema, default_specification=DRAFT202012)


def _references(value: Any) -> Iterator[str]:
    """Yield the references of a schema, without those whose base is another address."""
    if isinstance(value, dict):
        if isinstance(value.get("$id"), str):
            return
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for name, each in value.items():
            if name not in {"const", "enum", "default", "examples"}:
                yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _is_strict(schema: Any) -> bool:
    """Return whether each object of a schema is closed and needs all its properties, as `strict` demands."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not (isinstance(names, dict) and closed and set(names) == set(schema.get("required", ()))):
            return False
    return all(map(_is_strict, schema.values()))


def _class_of(schema: Any) -> type[Validator]:
    found: type[Validator] = validators.validator_for(schema, default=Draft202012Validator)
    return found


def _described(problem: ValidationError) -> str:
    return f"at {problem.json_path}: {problem.message}"[:_LONGEST_PROBLEM]


def _not_json(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which Python reads


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(text)  # 1e999 would be written as Infinity, which is not JSON
    return number


def _ignore(*_: Any) -> None:
    return None
