"""The functions that a client offers (`tools`): checked, passed on to the aggregator, described to the rest.

The aggregator gets them as they came, and its calls go back to the client. Reference models answer in
text: they read what the functions are, and say in words which calls they would make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from bot.serve.request_schema import RequestObject, only

MAX_TOOLS = 128
FOR_REFERENCES = (
    "The final reply can call the following functions; you cannot. Where a call would help, say in words "
    "which one, and with which arguments."
)
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _Function(RequestObject):
    model_config = ConfigDict(extra="allow")

    name: Name
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(RequestObject):
    """A function, in the form of chat completions; what else it says is passed on as it is."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, only("tools have to be of type function", lambda value: value == "function")]
    function: _Function


class FlatTool(RequestObject):
    """A function, in the form of the Responses API."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, only("tools have to be of type function", lambda value: value == "function")]
    name: Name
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)

    def nested(self) -> Tool:
        """Return it in the form of chat completions."""
        function = {
            name: value for name, value in self.model_dump(exclude_unset=True).items() if name != "type"
        }
        return Tool.model_validate({"type": "function", "function": function})


class _CalledFunction(RequestObject):
    name: Name
    arguments: str


class CallInMessage(RequestObject):
    """A call in a message of the assistant."""

    id: Annotated[str, StringConstraints(min_length=1)]
    type: Annotated[str, only("calls have to be of type function", lambda value: value == "function")] = (
        "function"
    )
    function: _CalledFunction


def _check_choice(choice: Any) -> Any:
    """Accept none, auto, required, or one function by its name."""
    if isinstance(choice, str) and choice in {"none", "auto", "required"}:
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return choice
    raise PydanticCustomError("tool_choice", "It has to be none, auto, required or a function")


Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]
ToolChoice = Annotated[Any, BeforeValidator(_check_choice)]


def reply_fields(tools: Sequence[Tool], choice: object, *, parallel: bool | None = None) -> dict[str, object]:
    """Return the fields that offer the tools to the aggregator; none when no tool may be called."""
    if not tools or choice == "none":
        return {}
    fields: dict[str, object] = {"tools": [tool.model_dump(exclude_unset=True) for tool in tools]}
    if choice is not None:
        fields["tool_choice"] = choice
    if parallel is not None:
        fields["parallel_tool_calls"] = parallel
    return fields


def describe(tools: object) -> str:
    """Return what reference models are told of the tools that `reply_fields` has."""
    listed: list[Mapping[str, Any]] = tools if isinstance(tools, list) else []
    functions = [
        {name: tool["function"].get(name) for name in ("name", "description", "parameters")}
        for tool in listed
    ]
    return "\n".join([FOR_REFERENCES, *map(json.dumps, functions)])
