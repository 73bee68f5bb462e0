"""`moa-bot mcp`: the mixture for other programs, over MCP. What it does is in `bot.serve.mcp_tools`."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from bot.app.streams import Streams
from bot.cli.boundary import run_async
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.serve import ACCEPTED_OPTIONS, Host, KeyVariable, Port, client_key, resolve_served
from bot.errors import ExitCode, UsageError
from bot.onboarding.fetch_models import load_or_offer
from bot.settings.mcp_servers import IN_PANEL

PORT = 8378
typer_app = new_typer_app()


@typer_app.command()
@with_options(tuple(name for name in ACCEPTED_OPTIONS if name != "save"))
def mcp(
    ctx: typer.Context,
    *,
    http: Annotated[
        bool, typer.Option("--http", help="Listen at --host and --port instead of stdin and stdout.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    key_env: KeyVariable = None,
    max_concurrent: Annotated[
        int, typer.Option("--max_concurrent", min=1, metavar="N", help="Calls at once; more are refused.")
    ] = 64,
    stop_after: Annotated[
        float,
        typer.Option(
            "--stop_after", min=0, metavar="SECONDS", help="How long calls may go on when it is stopped."
        ),
    ] = 10.0,
    given: Given,
) -> None:
    """Serve the mixture as tools to other programs over MCP, on stdin and stdout or by HTTP."""
    if os.environ.get(IN_PANEL):
        raise UsageError("A model of a panel cannot ask a panel: this server was started by moa-bot itself.")
    outer = {name: value for name, value in (ctx.obj or {}).items() if name in ACCEPTED_OPTIONS}
    streams = Streams.of_process()
    settings = load_or_offer(lambda changes: resolve_served(given, outer, changes), streams)
    try:
        from bot.serve.limits import Limits  # noqa: PLC0415 - an extra
        from bot.serve.mcp_server import serve_mcp  # noqa: PLC0415 - an extra
        from bot.serve.server import ListenAddress  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"mcp", "mcp_types", "jsonschema", "starlette", "uvicorn"}:
            raise
        raise UsageError(
            f"This needs the package {package}, which is not installed.",
            hint='Install the extra: pip install "moa-bot[tools,serve]"',
        ) from None
    address = ListenAddress(host, port, client_key(key_env)) if http else None

    def work() -> Coroutine[Any, Any, ExitCode]:
        return serve_mcp(
            settings,
            lambda changes: resolve_served(given, outer, changes),
            address,
            Limits(turns=max_concurrent, grace=stop_after),
            say=streams.say,
            verbose=streams.stderr if settings.verbose else None,
        )

    raise typer.Exit(run_async(streams, settings, work))
