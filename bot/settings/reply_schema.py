"""The value of --schema: a JSON Schema, a file with one, or a list of fields such as "name, age int"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.settings.bounded_read import read_bounded

NO_SCHEMA = "none"
_TYPES = {
    **dict.fromkeys(("str", "string", "text"), "string"),
    **dict.fromkeys(("int", "integer"), "integer"),
    **dict.fromkeys(("float", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
}
_MAX_BYTES = 1_000_000
_FIELD = re.compile(r"([^\W\d][\w-]*)(?:\s+(\w+)(\[\])?)?\s*(?::\s*(.*))?", re.DOTALL)

_ANNOTATION = re.compile(rf"list\[({'|'.join(_TYPES)})\]|({'|'.join(_TYPES)})(\[\])?", re.IGNORECASE)
"""A type that stands after a colon, as in Python: "age: int, tags: list[str]"."""


def read_schema(value: str | Mapping[str, Any]) -> str:
    """Return the schema as one line of JSON, "" for none. ValueError, which says why, for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if text in {"", NO_SCHEMA}:
            return ""
        schema = _parse(_read(text) if _is_file(text) else text)
    else:
        schema = dict(value)
    from bot.text.reply_format import check_references, check_schema  # noqa: PLC0415 - imports jsonschema

    try:
        written = json.dumps(schema, ensure_ascii=False)
        written.encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("it cannot be written as JSON") from None
    try:
        check_schema(schema)
        check_references(schema)
    except ValueError as problem:
        raise ValueError(f"{str(problem)[0].lower()}{str(problem)[1:]}") from None
    return written


def _is_file(text: str) -> bool:
    """Return whether a text names a file: one that exists, or nothing but a path."""
    if text[0] in "{[" or "\n" in text:
        return False
    try:
        path = Path(text).expanduser()
        if path.exists() and not path.is_dir():
            return True
    except (OSError, ValueError, RuntimeError):
        return False
    return bool(re.fullmatch(r"\S*[./\\]\S*", text))


def _read(file: str) -> str:
    try:
        return read_bounded(Path(file).expanduser(), _MAX_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror or error}") from None


def _parse(text: str) -> dict[str, Any]:
    if text[:1] in {"{", "["}:
        try:
            schema = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f": {error.msg} (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"it is not JSON{where}") from None
        if not isinstance(schema, dict):
            raise ValueError("a list is not a schema")
        return schema
    return schema_of_fields(text)


def schema_of_fields(text: str) -> dict[str, Any]:
    """Return the schema of an object with these fields. ValueError for what is no list of fields.

    Fields are separated by commas, or stand in a line each: a name, then perhaps its type (str without
    one; `int[]` is a list), then perhaps a colon and what it means. `age: int` is the same as `age int`.
    """
    properties: dict[str, Any] = {}
    parts = text.splitlines() if "\n" in text else text.split(",")
    for part in (part.strip().removesuffix(",") for part in parts):
        if not part:
            continue
        found = _FIELD.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a field, such as: age int")
        name, kind, is_list, meaning = found.groups()
        if not kind and (annotated := _ANNOTATION.fullmatch(meaning or "")):
            kind, is_list, meaning = annotated[1] or annotated[2], annotated[1] or annotated[3], None
        if kind and kind.lower() not in _TYPES:
            raise ValueError(f"the type of {name} can be str, int, float or bool, not {kind}")
        if name in properties:
            raise ValueError(f"there are two fields {name}")
        one = {"type": _TYPES[kind.lower()] if kind else "string"}
        field: dict[str, Any] = {"type": "array", "items": one} if is_list else one
        properties[name] = {**field, "description": meaning.strip()} if meaning else field
    if not properties:
        raise ValueError("it names no field")
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
