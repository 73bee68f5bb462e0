"""The text, the thinking and the refusal in a message or delta, in the forms that services use.

Thinking comes in a field of its own, or as a part of its own where `content` is a list of parts:
    {"content": "…", "reasoning": "…"}      {"content": "…", "reasoning_content": "…"}
    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "…"}]}, {"type": "text", …}]}
A refusal is {"refusal": "…"} or a part of that type. What is in no known form counts as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_THINKING = ("reasoning", "reasoning_content", "thinking")
_DEEPEST = 4


class MessageContent(NamedTuple):
    """Text, thinking and refusal of one message or delta, "" each where there is none."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""


def read_message(message: Mapping[str, object]) -> MessageContent:
    """Return what is in a message or delta."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    read = [_read_part(part) for part in parts]
    field = next((text for name in _THINKING if (text := _text(message.get(name)))), "")
    return MessageContent(
        "".join(part.text for part in read),
        field + "".join(part.thinking for part in read),
        _text(message.get("refusal")) + "".join(part.refusal for part in read),
    )


def _read_part(part: object) -> MessageContent:
    if not isinstance(part, Mapping):
        return MessageContent(text=part if isinstance(part, str) else "")
    kind = part.get("type")
    if kind == "refusal":
        return MessageContent(refusal=_text(part.get("refusal")) or _text(part))
    if isinstance(kind, str) and kind.startswith(("thinking", "reasoning")):
        names = (*_THINKING, "summary")
        return MessageContent(
            thinking=next((text for name in names if (text := _text(part.get(name)))), "") or _text(part)
        )
    return MessageContent(text=_text(part))


def _text(value: object, depth: int = 0) -> str:
    """Return the text of a string, of a part that holds it, or of a list of those."""
    if isinstance(value, str):
        return value
    if depth < _DEEPEST and isinstance(value, list):
        return "".join(_text(each, depth + 1) for each in value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        names = ("text", "value", "content")
        return next((text for name in names if (text := _text(value.get(name), depth + 1))), "")
    return ""
