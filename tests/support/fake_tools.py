"""Tools in the place of real ones, for tests of what models do with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bot.messages import Completion, ToolCall, Usage
from bot.tool_use import Tool, ToolRun, ToolSource

SEARCH = Tool(
    "web_search",
    "Search the web.",
    {"type": "object", "properties": {"query": {"type": "string"}}},
    read_only=True,
)
FETCH = Tool(
    "web_fetch", "Read a page.", {"type": "object", "properties": {"url": {"type": "string"}}}, read_only=True
)
COMMIT = Tool("git.git_commit", "Commit.", {"type": "object", "properties": {}})
LOG = Tool("git.git_log", "Show commits.", {"type": "object", "properties": {}}, read_only=True)

Answer = Callable[[str, Mapping[str, Any]], ToolRun | str]


class FakeTools:
    """Tools that answer from a function after `seconds`; `refuse` is why a call may not run."""

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        tools: Sequence[Tool] = (SEARCH, FETCH, COMMIT, LOG),
        seconds: float = 0.0,
    ) -> None:
        self.answer = answer or found
        self.offered = tuple(tools)
        self.seconds = seconds
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.refuse = ""
        self.permission_seconds = 0.0

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        wanted = ["web_*" if pattern == "web" else pattern for pattern in patterns]
        return tuple(
            tool
            for tool in self.offered
            if any(fnmatchcase(tool.name, each) or tool.name.startswith(f"{each}.") for each in wanted)
        )

    async def permit(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        self.asked.append(tool.name)
        await asyncio.sleep(self.permission_seconds)
        return self.refuse

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        self.ran.append((name, dict(arguments)))
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        result = self.answer(name, arguments)
        if isinstance(result, ToolRun):
            return result
        return ToolRun(name, dict(arguments), result, seconds=self.seconds, bytes=len(result))


def found(name: str, arguments: Mapping[str, Any]) -> ToolRun:
    """Return what a search or a page that was found comes to, at an address made of the arguments."""
    what = str(arguments.get("query") or arguments.get("url") or "nothing")
    text = f"result for {what}"
    source = ToolSource(f"https://site.example/{what.replace(' ', '-')}", f"About {what}")
    return ToolRun(name, dict(arguments), text, (source,), bytes=len(text))


def calls(*calls: tuple[str, Any], text: str = "", tokens: int = 3) -> Completion:
    """Return a completion that ends with these tool calls, of (name, arguments)."""
    made = tuple(
        ToolCall(f"c{place}", name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        for place, (name, arguments) in enumerate(calls)
    )
    return Completion(text, usage=Usage(10, tokens), finish_reason="tool_calls", seconds=1.0, tool_calls=made)
