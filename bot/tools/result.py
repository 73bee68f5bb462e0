"""What a tool gives back inside this package; `bot.tools.toolbox` makes a `ToolRun` of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.text.sanitise import one_line
from bot.tool_use import ToolSource

_LONGEST = 1000  # characters of an error


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's text, the addresses that it comes from, and its size in bytes as it came."""

    text: str
    sources: tuple[ToolSource, ...] = ()
    bytes: int = 0


class ToolError(Exception):
    """Why a call has no result: one line, for the model and the user."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message)[:_LONGEST])


def text_argument(arguments: Mapping[str, object], name: str) -> str:
    """Return an argument that is a text. ToolError when it is missing or no text."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"{name}: expected a text")
    return value.strip()
