"""A value that fits a JSON Schema, of words of the answers: what a demonstration model replies in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bot.demo.chat_reader import ParsedChat, words_in

_DEEPEST: Final = 12
_FULL: Final = 4
"""Down to this depth, objects have all their properties; below, those that they need."""
_WORDS: Final = 20


def json_reply(schema: object, chat: ParsedChat) -> str:
    """Return JSON for the schema, as far as its types say what is wanted; an object where there is none."""
    text = " ".join(chat.references) or chat.prompt
    words = words_in(text)[:_WORDS] or ["nothing"]
    root = schema if isinstance(schema, dict) else {}
    return json.dumps(_sample(root or {"type": "object"}, root, _cycle(words), 0), ensure_ascii=False)


def _cycle(words: list[str]) -> Iterator[str]:
    while True:
        yield from words


def _sample(schema: object, root: Mapping[str, Any], words: Iterator[str], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    choices = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if schema.get(name)), None)
    if isinstance(choices, list):
        return _sample(choices[0], root, words, depth + 1)
    if isinstance(reference := schema.get("$ref"), str):
        return _sample(_referred(reference, root), root, words, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    return _typed(schema, root, words, depth)


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], words: Iterator[str], depth: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if depth > _FULL:  # a schema that is part of itself
            properties = {name: properties[name] for name in schema.get("required", ()) if name in properties}
        return {name: _sample(each, root, words, depth + 1) for name, each in properties.items()}
    if kind == "array":
        count = min(_WORDS, max(1, int(schema.get("minItems", 1))))
        return [_sample(schema.get("items", {}), root, words, depth + 1) for _ in range(count)]
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    return {"boolean": True, "null": None}.get(str(kind), next(words))


def _referred(reference: str, root: Mapping[str, Any]) -> object:
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
