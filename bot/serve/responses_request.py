"""The body of a request to /v1/responses, and the messages that its items are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bot.messages import Image, Message, ToolCall
from bot.serve.image_parts import read_image_url
from bot.serve.reply_format import read_reply_format
from bot.serve.request_schema import (
    MaxTokens,
    MoaOptions,
    NonEmpty,
    RequestObject,
    Temperature,
    Unsupported,
    only,
)
from bot.serve.tools import FlatTool, ToolChoice, reply_fields
from bot.text.reply_format import ReplyFormat

_PARTS = ("input_text", "output_text", "text", "input_image")
_NEEDED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "item_reference": ("id",),
    # Its text is not needed: models do not read their earlier thinking.
    "reasoning": (),
}
"""The fields that are read, by type of item."""
_ITEMS = tuple(_NEEDED)


class _Part(RequestObject):
    type: Annotated[
        str,
        only(
            "parts have to be of type input_text or input_image",
            lambda value: isinstance(value, str) and value in _PARTS,
        ),
    ]
    text: str | None = None
    image_url: str | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> _Part:
        needed = "image_url" if self.type == "input_image" else "text"
        if getattr(self, needed) is None:
            message = "A part of type {type} needs {needed}"
            raise PydanticCustomError("part", message, {"type": self.type, "needed": needed})
        return self

    @field_validator("image_url")
    @classmethod
    def _is_image(cls, value: str | None) -> str | None:
        if value is not None:
            read_image_url(value)
        return value


Text = Annotated[
    list[_Part],
    BeforeValidator(lambda text: [{"type": "text", "text": text}] if isinstance(text, str) else text),
]


class Item(RequestObject):
    """One item of the input."""

    type: Annotated[
        str, only("it has no such items", lambda value: isinstance(value, str) and value in _ITEMS)
    ] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Text | None = None
    call_id: NonEmpty | None = None
    name: NonEmpty | None = None
    arguments: str | None = None
    output: Text | None = None
    id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_read(cls, data: Any) -> Any:
        """Leave out the fields that items of this type have for other uses (a reasoning's `content`)."""
        if not isinstance(data, dict):
            return data
        kind = data.get("type", "message")
        needed = _NEEDED.get(kind, ()) if isinstance(kind, str) else ()
        return {name: value for name, value in data.items() if name in needed or name == "type"}

    @model_validator(mode="after")
    def _is_complete(self) -> Item:
        for name in _NEEDED[self.type]:
            if getattr(self, name) is None:
                message = "An item of type {type} needs {name}"
                raise PydanticCustomError("item", message, {"type": self.type, "name": name})
        return self

    def message(self) -> Message | None:
        """Return the item as a message, None for one that no model reads."""
        if self.type == "message":
            role = "system" if self.role == "developer" else self.role
            images = _images(self.content) if role == "user" else ()
            return Message(role or "user", _text(self.content), images=images)
        if self.type == "function_call":
            call = ToolCall(self.call_id or "", self.name or "", self.arguments or "")
            return Message("assistant", "", tool_calls=(call,))
        if self.type == "function_call_output":
            return Message("tool", _text(self.output), tool_call_id=self.call_id or "")
        return None


class _TextOptions(RequestObject):
    format: dict[str, Any] | None = None

    @field_validator("format")
    @classmethod
    def _is_known(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        _read_format(value)
        return value


def _nested_choice(choice: Any) -> Any:
    """Return `tool_choice` as chat completions have it."""
    if isinstance(choice, dict) and "name" in choice:
        return {"type": choice.get("type"), "function": {"name": choice["name"]}}
    return choice


class ResponsesRequest(RequestObject):
    """One request."""

    model: NonEmpty
    input: Annotated[
        list[Item],
        Field(min_length=1),
        BeforeValidator(
            lambda given: [{"role": "user", "content": given}] if isinstance(given, str) else given
        ),
    ]
    instructions: str | None = None
    previous_response_id: NonEmpty | None = None
    store: bool = True
    stream: bool = False
    temperature: Temperature | None = None
    max_output_tokens: MaxTokens = None
    tools: Annotated[list[FlatTool], Field(max_length=128)] = Field(default_factory=list)
    tool_choice: Annotated[ToolChoice, BeforeValidator(_nested_choice)] = None
    parallel_tool_calls: bool | None = None
    text: _TextOptions = _TextOptions()
    metadata: dict[str, Any] = Field(default_factory=dict)
    moa: MoaOptions = MoaOptions()

    background: Unsupported = None
    conversation: Unsupported = None
    prompt: Unsupported = None
    top_logprobs: Unsupported = None

    @property
    def reply_format(self) -> ReplyFormat | None:
        """What the reply has to be, None for text."""
        return _read_format(self.text.format)

    def reply_fields(self) -> dict[str, object]:
        """Return the fields that are passed on to the aggregator, as chat completions have them."""
        tools = [tool.nested() for tool in self.tools]
        fields = reply_fields(tools, self.tool_choice, parallel=self.parallel_tool_calls)
        if reply_format := self.reply_format:
            fields["response_format"] = reply_format.field
        return fields


def messages_of(items: Iterable[Item]) -> list[Message]:
    """Return items as messages: calls that follow one another, and the text before them, are one message."""
    messages: list[Message] = []
    for item in items:
        message = item.message()
        if message is None:
            continue
        if message.tool_calls and messages and messages[-1].role == "assistant":
            messages[-1] = replace(messages[-1], tool_calls=(*messages[-1].tool_calls, *message.tool_calls))
        else:
            messages.append(message)
    return messages


def _text(parts: list[_Part] | None) -> str:
    return "\n".join(part.text for part in parts or () if part.text is not None)


def _images(parts: list[_Part] | None) -> tuple[Image, ...]:
    return tuple(read_image_url(part.image_url) for part in parts or () if part.image_url is not None)


def _read_format(value: dict[str, Any] | None) -> ReplyFormat | None:
    """Return the format of `text.format`, whose schema is not in an object of its own."""
    if value is None:
        return None
    if value.get("type") != "json_schema":
        return read_reply_format(value)
    described = {name: each for name, each in value.items() if name != "type"}
    return read_reply_format({"type": "json_schema", "json_schema": described})
