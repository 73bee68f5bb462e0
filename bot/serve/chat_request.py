"""The body of a request to /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bot.messages import Message, ToolCall
from bot.serve.image_parts import read_image_url
from bot.serve.reply_format import read_reply_format
from bot.serve.request_schema import (
    MaxTokens,
    MoaOptions,
    NonEmpty,
    OnlyOne,
    RequestObject,
    Seed,
    Stop,
    StreamOptions,
    Temperature,
    Unsupported,
    only,
    parse_body,
)
from bot.serve.tools import CallInMessage, ToolChoice, Tools, reply_fields
from bot.serve.turn_request import TurnRequest, divide
from bot.text.reply_format import ReplyFormat


class _Part(RequestObject):
    type: Annotated[
        Any, only("parts have to be of type text or image_url", lambda value: value in ("text", "image_url"))
    ] = Field(default=None, validate_default=True)
    text: str | None = None
    image_url: Annotated[Any, AfterValidator(read_image_url)] = None

    @model_validator(mode="after")
    def _is_complete(self) -> _Part:
        if getattr(self, self.type) is None:
            raise PydanticCustomError("part", "A part of type {type} needs {type}", {"type": self.type})
        return self


class _Message(RequestObject):
    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool"],
        only("messages of functions are those of role tool", lambda value: value != "function"),
        AfterValidator(lambda role: "system" if role == "developer" else role),
    ]
    content: list[_Part] = Field(default=None, validate_default=True)
    tool_calls: list[CallInMessage] = Field(default_factory=list)
    tool_call_id: NonEmpty | None = None
    function_call: Unsupported = None

    @field_validator("content", mode="before")
    @classmethod
    def _as_parts(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and info.data.get("role") == "assistant":
            return []
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    @model_validator(mode="after")
    def _check_tools(self) -> _Message:
        if self.role == "tool" and self.tool_call_id is None:
            raise PydanticCustomError("tool_call_id", "A message of role tool needs a tool_call_id")
        if self.tool_calls and self.role != "assistant":
            raise PydanticCustomError("tool_calls", "Only messages of role assistant have tool calls")
        if self.role != "user" and any(part.image_url is not None for part in self.content):
            raise PydanticCustomError("image", "Only messages of role user have images")
        return self

    def message(self) -> Message:
        return Message(
            self.role,  # type: ignore[arg-type]  # no developer
            "\n".join(part.text for part in self.content if part.text is not None),
            tool_calls=tuple(
                ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls
            ),
            tool_call_id=self.tool_call_id or "" if self.role == "tool" else "",
            images=tuple(part.image_url for part in self.content if part.image_url is not None),
        )


class ChatRequest(RequestObject):
    """One request."""

    model: NonEmpty
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: Temperature | None = None
    max_tokens: MaxTokens = Field(
        default=None, validation_alias=AliasChoices("max_completion_tokens", "max_tokens")
    )
    seed: Seed | None = None
    stop: Stop = Field(default_factory=list)
    tools: Tools = Field(default_factory=list)
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[Any, BeforeValidator(read_reply_format)] = None
    moa: MoaOptions = MoaOptions()

    n: OnlyOne = None
    functions: Unsupported = None
    logprobs: Unsupported = None
    top_logprobs: Unsupported = None
    audio: Unsupported = None
    web_search_options: Unsupported = None
    modalities: Annotated[Any, only('it has to be ["text"]', lambda value: value == ["text"])] = None

    def turn_request(self) -> TurnRequest:
        """Return what it asks for. ApiError (400): there is nothing to answer."""
        reply_format: ReplyFormat | None = self.response_format
        fields = reply_fields(self.tools, self.tool_choice, parallel=self.parallel_tool_calls)
        if reply_format:
            fields["response_format"] = reply_format.field
        return TurnRequest(
            model=self.model,
            conversation=divide([message.message() for message in self.messages]),
            moa=self.moa,
            stream=self.stream,
            include_usage=self.stream_options.include_usage,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
            stop=tuple(self.stop),
            reply_fields=fields,
            reply_format=reply_format,
        )


def parse_chat_request(content: bytes) -> TurnRequest:
    """Read a request's body. ApiError (400) names the field that is wrong."""
    return parse_body(content, ChatRequest, "messages").turn_request()
