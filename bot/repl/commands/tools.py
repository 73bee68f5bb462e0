"""The command about tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.repl.commands.registry import command
from bot.text.numbers import plural

if TYPE_CHECKING:
    from bot.repl.chat_context import ChatContext


@command("tools", arguments="[NAMES]")
async def _tools(chat: ChatContext, argument: str) -> None:
    """List the tools that models can be given, and their servers.

    NAMES are of servers or tools, or globs. The servers are started for it.
    A tool that is not read-only asks before it runs.
    """
    toolbox = chat.app.toolbox
    starting = [name for name, server in toolbox.servers.items() if server.state == "not started"]
    if starting and not argument:
        chat.say(f"  Starting {', '.join(starting)} …")
    states = await toolbox.states(argument.split() or ["*"])
    if not states:
        chat.say("  No tool has that name.")
    for state in states:
        found = state.error or plural(len(state.tools), "tool")
        chat.say(f"  {state.name}  {state.state}, {found}")
        chat.say_list(
            [
                (
                    f"  {tool.name}",
                    f"{'read-only' if tool.read_only else 'asks'} · {_first_line(tool.description)}",
                )
                for tool in state.tools
            ]
        )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
