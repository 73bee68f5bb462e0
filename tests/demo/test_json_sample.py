"""JSON of the demonstration models."""

from __future__ import annotations

import json

import pytest

from bot.demo.chat_reader import parse_chat
from bot.demo.json_sample import json_reply
from bot.text.reply_format import format_of_schema

KIDS = {"type": "array", "items": {"$ref": "#"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"n": {"type": "string"}, "kids": KIDS}, "required": ["n"]},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"enum": [2, 3]}, "b": {"anyOf": [{"type": "null"}]}}},
    ],
)
def test_it_fits_its_schema(schema: dict[str, object]) -> None:
    """Also one that is part of itself."""
    reply = json_reply(schema, parse_chat([{"role": "user", "content": "two words"}]))
    assert json.loads(format_of_schema(schema).checked(reply))
