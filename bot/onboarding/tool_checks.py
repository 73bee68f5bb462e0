"""Checks of the tools: whether the web's can be used, and whether the MCP servers start."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bot.errors import UsageError
from bot.onboarding.system_checks import Check, error, ok, warning
from bot.settings.mcp_servers import WEB
from bot.settings.settings import Settings
from bot.text.numbers import plural
from bot.tools.child import EXTRA, is_installed
from bot.tools.toolbox import ConfiguredToolbox


async def check_tools(settings: Settings) -> AsyncIterator[Check]:
    """Yield the checks; servers are started, and ended again."""
    try:
        toolbox = ConfiguredToolbox.of_settings(settings, lambda _: None)
    except UsageError as problem:
        yield error("tools", problem.message, problem.hint)
        return
    async with toolbox:
        yield _web(toolbox)
        for state in await toolbox.states(list(toolbox.servers)):
            name = f"MCP server {state.name}"
            if state.error:
                yield error(name, state.error, f"See: moa-bot tools list {state.name} --verbose")
            else:
                yield ok(name, plural(len(state.tools), "tool"))


def _web(toolbox: ConfiguredToolbox) -> Check:
    name = f"tools of the {WEB}"
    if not is_installed("trafilatura", "pypdf", "mcp"):
        # Who wants no tools misses nothing.
        return ok(name, f"not installed; {EXTRA}")
    if problem := toolbox.web_search.problem():
        return warning(name, f"web_search cannot be used: {problem}", "Set the key, or another [web] search.")
    return ok(name, f"web_fetch, web_search by {toolbox.web_search.service}")
