"""The tools of a program, as the settings say: `bot.tool_use.Toolbox`, open.

    async with ConfiguredToolbox.of_settings(settings, log) as toolbox:
        tools = await toolbox.tools(["web", "git.*"])
        run = await toolbox.run("web_fetch", {"url": "https://example.com"})

`bot.app.app.App.toolbox` is the one of an open program; it is made when it is first used, and closed with the
program. Servers start when a pattern names them, or a tool of theirs is called. A tool's name is "web_fetch"
or "SERVER.TOOL".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bot.settings.mcp_servers import WEB
from bot.settings.web import WebConfig
from bot.text.sanitise import sanitise
from bot.tool_use import Tool, ToolRun
from bot.tools import web_fetch
from bot.tools.result import ToolError, ToolResult
from bot.tools.web_fetch import WebFetch

if TYPE_CHECKING:
    from bot.settings.settings import Settings

MAX_TEXT = 400_000
"""Characters of a result that are kept: more than any model's context has use for."""


class ConfiguredToolbox:
    """The tools of the web, and those of the MCP servers by name. `log` writes a line to the log."""

    def __init__(self, web: WebConfig, log: Callable[[str], None]) -> None:
        self._log = log
        self._web = {web_fetch.TOOL.name: (web_fetch.TOOL, WebFetch(web))}

    @classmethod
    def of_settings(cls, settings: Settings, log: Callable[[str], None]) -> Self:
        """Return the toolbox of the settings, without starting anything."""
        return cls(settings.web, log)

    async def __aenter__(self) -> Self:
        """Start nothing: servers start when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all servers."""
        await self.close()

    async def close(self) -> None:
        """End all servers, and wait until they have ended."""

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools that the patterns name ("web", "NAME", "NAME.tool", globs)."""
        found = [tool for tool, _ in self._web.values()]
        return tuple(tool for tool in found if any(_matches(tool.name, pattern) for pattern in patterns))

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        """Run a tool. The permission to do so is the caller's matter."""
        started = time.monotonic()
        try:
            result = await self._run(name, arguments)
        except ToolError as error:
            return ToolRun(name, arguments, error=str(error), seconds=time.monotonic() - started)
        text = sanitise(result.text)
        if len(text) > MAX_TEXT:
            text = f"{text[:MAX_TEXT]}\n(cut after {MAX_TEXT:,} characters)"
        seconds = time.monotonic() - started
        return ToolRun(name, arguments, text, result.sources, seconds=seconds, bytes=result.bytes)

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        if name in self._web:
            return await self._web[name][1].run(arguments)
        raise ToolError(f"there is no tool {name}")


def _matches(name: str, pattern: str) -> bool:
    if pattern == WEB:
        return name.startswith("web_")
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")
