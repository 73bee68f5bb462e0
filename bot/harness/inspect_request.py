"""A request of inspect_ai as a body of /v1/chat/completions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def chat_request(model: str, messages: Sequence[Any], tools: Sequence[Any], choice: Any, config: Any) -> Json:
    """Return the request; what of `config` only tunes the sampling is left out.

    `messages`, `tools`, `choice`, `config` are inspect's ChatMessage, ToolInfo, ToolChoice, GenerateConfig.
    """
    body: Json = {
        "model": model,
        "messages": [_message(each) for each in messages],
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "stop": config.stop_seqs,
        "n": config.num_choices,
        "logprobs": config.logprobs,
    }
    if tools:
        body["tools"] = [_tool(each) for each in tools]
        body["tool_choice"] = _choice(choice)
        body["parallel_tool_calls"] = config.parallel_tool_calls
    if config.response_schema is not None:
        schema = config.response_schema
        form = {"name": schema.name, "schema": schema.json_schema.model_dump(exclude_none=True)}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return {name: value for name, value in body.items() if value is not None}


def _message(message: Any) -> Json:
    content = message.content
    if not isinstance(content, str):
        # Thinking is not sent back.
        content = [_part(part) for part in content if part.type != "reasoning"]
    told: Json = {"role": message.role, "content": content}
    if message.role == "tool":
        told["tool_call_id"] = message.tool_call_id
        if message.error is not None:
            told["content"] = message.error.message
    elif message.role == "assistant" and message.tool_calls:
        told["tool_calls"] = [_call(call) for call in message.tool_calls]
    return told


def _part(part: Any) -> Json:
    if part.type == "image":
        return {"type": "image_url", "image_url": {"url": part.image}}
    # Other types are refused by name.
    return {"type": "text", "text": part.text} if part.type == "text" else {"type": part.type}


def _call(call: Any) -> Json:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function, "arguments": json.dumps(call.arguments)},
    }


def _tool(tool: Any) -> Json:
    parameters = tool.parameters.model_dump(exclude_none=True)
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _choice(choice: Any) -> object:
    if isinstance(choice, str):
        return "required" if choice == "any" else choice
    return {"type": "function", "function": {"name": choice.name}}
