"""Tool calls as models write them, read as calls of real tools.

Services accept only some characters in a tool's name, ids have to be different, and arguments that are sent
back have to be JSON. A call that cannot be run has a sentence for its model in the place of a tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.messages import ToolCall
from bot.text.tool_calls import json_arguments
from bot.text.words import is_blank
from bot.tool_use import Tool

MAX_CALLS: Final = 16
"""Tool calls of one completion that are run."""
LONGEST_NAME: Final = 64
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")
_QUOTED: Final = 500
"""Characters of wrong arguments that the model is shown."""
NO_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
"""The schema of a tool without arguments."""


def names_for_models(tools: Sequence[Tool]) -> dict[str, Tool]:
    """Return the tools by names that every service accepts: "git.git_log" is "git__git_log"."""
    named: dict[str, Tool] = {}
    for tool in tools:
        name = service_name(tool.name)
        number, unique = 2, name
        while unique in named:
            end = f"_{number}"
            number, unique = number + 1, name[: LONGEST_NAME - len(end)] + end
        named[unique] = tool
    return named


def service_name(name: str) -> str:
    """Return a tool's name as services accept it; two tools may have the same."""
    return _NOT_IN_NAMES.sub("_", name.replace(".", "__"))[:LONGEST_NAME] or "tool"


@dataclass(frozen=True, slots=True)
class AskedTool:
    """A tool call as it was read. Without a `tool`, `problem` says why it cannot be run."""

    call: ToolCall
    name: str
    arguments: Mapping[str, Any]
    tool: Tool | None = None
    problem: str = ""


def read_calls(calls: Sequence[ToolCall], named: Mapping[str, Tool], taken: set[str]) -> list[AskedTool]:
    """Return the calls of one completion; `named` are the tools offered, `taken` the ids before."""
    prefix = f"call_{len(taken)}"
    asked = []
    for place, call in enumerate(calls):
        identity = call.id if call.id and call.id not in taken else f"{prefix}_{place}"
        taken.add(identity)
        tool = named.get(call.name) or next((each for each in named.values() if each.name == call.name), None)
        arguments = _arguments(call.arguments)
        problem = ""
        if tool is None:
            problem = f"there is no tool of that name; there are: {', '.join(named)}"
        elif arguments is None:
            problem = f"the arguments are not a JSON object: {call.arguments[:_QUOTED]}"
        elif place >= MAX_CALLS:
            problem = f"only {MAX_CALLS} tools can be called at once"
        sent = ToolCall(identity, service_name(call.name), _sent(call.arguments, arguments or {}))
        name = tool.name if tool else call.name
        asked.append(AskedTool(sent, name, arguments or {}, None if problem else tool, problem))
    return asked


def _arguments(text: str) -> dict[str, Any] | None:
    """Return a call's arguments, None where they are no JSON object; some services encode them twice."""
    value: object = text
    for _ in range(2):
        if not isinstance(value, str):
            break
        if is_blank(value):
            return {}
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if value is None:
        return {}
    return json_arguments(value) if isinstance(value, dict) else None


def _sent(text: str, arguments: Mapping[str, Any]) -> str:
    """Return the arguments as they are sent back: as the model wrote them where that is just their JSON."""
    try:
        same = json.loads(text) == arguments
    except (ValueError, RecursionError):
        same = False
    return text if same else json.dumps(arguments)
