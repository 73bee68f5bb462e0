"""The tools of a program, as the settings say: `bot.tool_use.Toolbox`, open.

    async with ConfiguredToolbox.of_settings(settings, log) as toolbox:
        tools = await toolbox.tools(["web", "git.*"])
        run = await toolbox.run("web_fetch", {"url": "https://example.com"})

`bot.app.app.App.toolbox` is the one of an open program; it is made when it is first used, and closed with the
program. Servers start when a pattern names them, or a tool of theirs is called. A tool's name is "web_fetch"
or "SERVER.TOOL".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bot.settings.mcp_servers import WEB, McpServer, all_servers
from bot.settings.web import WebConfig
from bot.text.sanitise import one_line, sanitise
from bot.text.tool_calls import json_arguments
from bot.tool_use import Tool, ToolRun, is_named
from bot.tools import web_fetch, web_search
from bot.tools.mcp_server import ServerConnection
from bot.tools.result import ToolError, ToolResult
from bot.tools.web_fetch import WebFetch
from bot.tools.web_search import WebSearch

if TYPE_CHECKING:
    from bot.settings.settings import Settings

MAX_TEXT = 400_000
"""Characters of a result that are kept: more than any model's context has use for."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server, or the tools of the web: whether it runs, in a word; why not, "" where it does; its tools."""

    name: str
    state: str
    error: str
    tools: tuple[Tool, ...]


class ConfiguredToolbox:
    """The tools of the web, and those of the MCP servers by name.

    `log` writes a line to the log, `say` shows the user one.
    """

    def __init__(
        self,
        web: WebConfig,
        log: Callable[[str], None],
        servers: Mapping[str, McpServer] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._say, self._said = say, set[str]()
        self.servers = {name: ServerConnection(server, log) for name, server in (servers or {}).items()}
        """The servers by name, none of them started."""
        self.web_search = WebSearch(web)
        self._web: dict[str, tuple[Tool, WebFetch | WebSearch]] = {
            web_fetch.TOOL.name: (web_fetch.TOOL, WebFetch(web)),
            web_search.TOOL.name: (web_search.TOOL, self.web_search),
        }

    @property
    def web_names(self) -> tuple[str, ...]:
        """The names of the tools of the web."""
        return tuple(self._web)

    @classmethod
    def of_settings(
        cls, settings: Settings, log: Callable[[str], None], say: Callable[[str], None] = lambda _: None
    ) -> Self:
        """Return the toolbox of the settings, without starting anything. UsageError for a broken mcp.json."""
        servers = all_servers(settings.folder, settings.mcp_config, settings.mcp_servers)
        return cls(settings.web, log, servers, say)

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
        await asyncio.gather(*(server.close() for server in self.servers.values()))

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools that the patterns name ("web", "NAME", "NAME.tool", globs).

        A server that fails, and a pattern that names nothing, are said to the user once.
        """
        found = await self._find(patterns)
        wanted = [server for name, server in self.servers.items() if _any_names_server(name, patterns)]
        failed = [server for server in wanted if server.error]
        for server in failed:
            self._say_once(f"The tools of {server.server.name} are not there: {server.error}.")
        for pattern in patterns:
            if not failed and not any(is_named(tool.name, [pattern]) for tool in found):
                self._say_once(f"No tool has the name {one_line(pattern)}. See: moa-bot tools list")
        return found

    async def _find(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        found = [tool for tool, _ in self._web.values() if is_named(tool.name, patterns)]
        wanted = [server for name, server in self.servers.items() if _any_names_server(name, patterns)]
        for listed in await asyncio.gather(*(_tools_of(server) for server in wanted)):
            found += [tool for tool in listed if is_named(tool.name, patterns)]
        return tuple(found)

    async def states(self, patterns: Sequence[str]) -> list[ServerState]:
        """Return what the patterns name by server, also servers that fail; the web's tools come first."""
        tools = await self._find(patterns)
        web = tuple(tool for tool in tools if tool.name in self._web)
        found = [ServerState(WEB, "built in", "", web)] if web else []
        for name, server in self.servers.items():
            if _any_names_server(name, patterns):
                own = tuple(tool for tool in tools if tool.name.startswith(f"{name}."))
                found.append(ServerState(name, server.state, server.error, own))
        return found

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        """Run a tool. The permission to do so is the caller's matter."""
        started = time.monotonic()
        sent = json_arguments(arguments)
        try:
            if sent is None:
                raise ToolError("the arguments are not a JSON object")  # noqa: TRY301 - one way for every error
            arguments = sent
            result = await self._run(name, arguments)
        except ToolError as error:
            return ToolRun(name, arguments, error=str(error), seconds=time.monotonic() - started)
        text = sanitise(result.text)
        if len(text) > MAX_TEXT:
            text = f"{text[:MAX_TEXT]}\n(cut after {MAX_TEXT:,} characters)"
        seconds = time.monotonic() - started
        return ToolRun(name, arguments, text, result.sources, seconds=seconds, bytes=result.bytes)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        if name in self._web:
            return await self._web[name][1].run(arguments)
        server, _, tool = name.partition(".")
        if server in self.servers and tool:
            return await self.servers[server].call(tool, arguments)
        raise ToolError(f"there is no tool {name}")


async def _tools_of(server: ServerConnection) -> list[Tool]:
    """Return a server's tools, none of one that fails: its `error` says why."""
    try:
        return await server.tools()
    except ToolError as error:
        server.error = server.error or str(error)
        return []


def _any_names_server(name: str, patterns: Sequence[str]) -> bool:
    """Whether a tool of a server may be named by a pattern, so that the server has to be asked."""
    return any(pattern == name or fnmatchcase(name, pattern.partition(".")[0]) for pattern in patterns)
