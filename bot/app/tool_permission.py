"""Which tools may run: those that only read, those of --allow, and those that the user allows when asked.

    read-only ─► runs          --allow NAME ─► runs
    any other ─► the chat asks: once / for this conversation / never ─► runs, or is refused
                 where there is nobody to ask ─► refused

Nothing that a tool returns can give permission: it comes from the user's keyboard or settings alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from bot.tool_use import Tool, Toolbox, ToolRun, is_named

Decision = Literal["once", "conversation", "never", "no"]
AskUser = Callable[[Tool, Mapping[str, Any]], Awaitable[Decision]]
"""Asks the user whether a call may run; "never" and "conversation" hold for the tool from then on."""

NOBODY = "it can change something, and nobody can be asked for permission here: --allow {name} permits it"
REFUSED = "the user did not permit it"


class PermittedToolbox:
    """The tools of a program with the permission to run them: `bot.tool_use.PermittedTools`.

    `toolbox` and `allowed`, the patterns of --allow, are looked up at each use. `ask` is None where there is
    nobody to ask. Decisions hold until `forget`.
    """

    def __init__(
        self,
        toolbox: Callable[[], Toolbox],
        allowed: Callable[[], Sequence[str]],
        ask: AskUser | None = None,
    ) -> None:
        self._toolbox, self._allowed = toolbox, allowed
        self.ask = ask
        self._decided: dict[str, bool] = {}
        self._asking = asyncio.Lock()

    async def tools(self, patterns: Sequence[str]) -> tuple[Tool, ...]:
        """Return the tools that the patterns name."""
        return await self._toolbox().tools(patterns)

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolRun:
        """Run a tool that is permitted."""
        return await self._toolbox().run(name, arguments)

    async def permit(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """Return "" when the call may run, else why not; one question is asked at a time."""
        if tool.read_only or is_named(tool.name, self._allowed()):
            return ""
        async with self._asking:
            if tool.name in self._decided:
                return "" if self._decided[tool.name] else REFUSED
            if self.ask is None:
                return NOBODY.format(name=tool.name)
            decision = await self.ask(tool, arguments)
            if decision in {"conversation", "never"}:
                self._decided[tool.name] = decision == "conversation"
            return "" if decision in {"once", "conversation"} else REFUSED

    def forget(self) -> None:
        """Forget what the user has decided: another conversation begins."""
        self._decided.clear()
