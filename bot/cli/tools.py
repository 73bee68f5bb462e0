"""`moa-bot tools …`: lists the tools that models can be given, and calls one by hand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer

from bot.app.load_settings import load_settings
from bot.app.log import Log
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.output import print_json, print_text, terminal_width
from bot.errors import ExitCode, UsageError
from bot.settings import paths
from bot.settings.settings import Settings
from bot.text.nearest import did_you_mean
from bot.text.sanitise import one_line
from bot.text.table import tab_separated, table
from bot.tool_use import ToolRun
from bot.tools.toolbox import ConfiguredToolbox, ServerState

typer_app = new_typer_app("List the tools that models can be given, and call one.")

_OPTIONS = ("mcp_config", "json", "verbose")
_Result = TypeVar("_Result")


@typer_app.command("list")
@with_options(_OPTIONS)
def list_(
    ctx: typer.Context,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="web, a server, SERVER.TOOL, or globs.", show_default=False),
    ] = None,
    given: Given,
) -> None:
    """List the tools; the servers that have them are started for it."""
    settings = load_settings(given, ctx.obj)
    states = _with_toolbox(settings, lambda toolbox: toolbox.states(names or ["*"]))
    if settings.json:
        print_json([_state_json(state) for state in states])
    else:
        _print_table(states)
    failed = [state for state in states if state.error]
    for state in failed:
        print(f"MCP server {state.name}: {state.error}", file=sys.stderr)
    raise typer.Exit(int(ExitCode.FAILED if failed else ExitCode.DONE))


@typer_app.command()
@with_options(_OPTIONS)
def call(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="web_fetch, or SERVER.TOOL.")],
    arguments: Annotated[
        str, typer.Argument(metavar="JSON", help="The arguments, as a JSON object.", show_default=False)
    ] = "{}",
    given: Given,
) -> None:
    """Call a tool, and print its result. It is not asked whether it may run."""
    settings = load_settings(given, ctx.obj)
    values = _arguments(arguments)
    run = _with_toolbox(settings, lambda toolbox: _call(toolbox, name, values))
    if settings.json:
        print_json(asdict(run))
    elif run.error:
        print(f"{name}: {run.error}", file=sys.stderr)
    else:
        print_text(run.text)
        for source in run.sources:
            print(f"  {source.url}  {source.title}".rstrip(), file=sys.stderr)
    raise typer.Exit(int(ExitCode.FAILED if run.error else ExitCode.DONE))


async def _call(toolbox: ConfiguredToolbox, name: str, arguments: dict[str, Any]) -> ToolRun:
    server = name.partition(".")[0]
    if name not in toolbox.web_names and server not in toolbox.servers:
        known = [*toolbox.web_names, *toolbox.servers]
        raise UsageError(f'There is no tool "{one_line(name)}".', hint=did_you_mean(server, known))
    return await toolbox.run(name, arguments)


def _with_toolbox(settings: Settings, use: Callable[[ConfiguredToolbox], Awaitable[_Result]]) -> _Result:
    """Return what comes of a toolbox that is open for it."""
    log = Log(paths.log_file(), sys.stderr if settings.verbose else None)

    async def run() -> _Result:
        async with ConfiguredToolbox.of_settings(settings, log.write_line) as toolbox:
            return await use(toolbox)

    try:
        return asyncio.run(run())
    finally:
        log.close()


def _arguments(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise UsageError('The arguments are no JSON object; expected for instance \'{"url": "https://…"}\'.')
    return values


def _print_table(states: list[ServerState]) -> None:
    tools = [(state, tool) for state in states for tool in state.tools]
    columns = {
        "name": [tool.name for _, tool in tools],
        "permission": ["read-only" if tool.read_only else "asks" for _, tool in tools],
        "description": [one_line(tool.description) for _, tool in tools],
    }
    width = terminal_width()
    if width is None:
        print_text(tab_separated(zip(*columns.values(), strict=True)))
    else:
        print_text(table(columns, width, flexible="description"))


def _state_json(state: ServerState) -> dict[str, Any]:
    return {
        "name": state.name,
        "state": state.state,
        "error": state.error or None,
        "tools": [asdict(tool) for tool in state.tools],
    }
