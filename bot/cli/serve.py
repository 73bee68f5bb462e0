"""`moa-bot serve`: the mixture behind the OpenAI API. What it does is in `bot.serve`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.options import Given, with_options
from bot.errors import UsageError
from bot.settings.options import OPTIONS, Group

if TYPE_CHECKING:
    from bot.settings.settings import Settings

KEY_VARIABLE = "MOA_BOT_SERVE_KEY"
PORT = 8377
MIXTURE = (*(option.name for option in OPTIONS if option.group is Group.MIXTURE), "system", "system_file")
"""Options that make the served mixture; a preset that a request names is asked without them."""
TAKEN = (*MIXTURE, "quiet", "verbose", *(option.name for option in OPTIONS if option.group is Group.ADVANCED))


def register(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command("serve")(serve)


@with_options(TAKEN)
def serve(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = PORT,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key_env",
            metavar="NAME",
            help=f"The environment variable with the key that clients must send. [default: {KEY_VARIABLE}]",
            show_default=False,
        ),
    ] = None,
    max_concurrent: Annotated[
        int, typer.Option("--max_concurrent", min=1, metavar="N", help="Requests at once; more get a 429.")
    ] = 64,
    keep_alive: Annotated[
        float,
        typer.Option("--keep_alive", min=0.1, metavar="SECONDS", help="The longest silence of a stream."),
    ] = 5.0,
    stop_after: Annotated[
        float,
        typer.Option(
            "--stop_after", min=0, metavar="SECONDS", help="How long replies may go on when it is stopped."
        ),
    ] = 10.0,
    given: Given,
) -> None:
    """Answer the OpenAI API with the mixture, for any of its clients, until Ctrl-C."""
    from bot.app.streams import Streams
    from bot.cli.app import leave

    outer = {name: value for name, value in (ctx.obj or {}).items() if name in TAKEN}
    settings = _resolve(given, outer, {})
    streams = Streams.of_process()
    key = _key(key_env)
    try:
        from bot.serve.auth import Limits
        from bot.serve.server import ListenAddress
        from bot.serve.server import serve as run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"starlette", "uvicorn"}:
            raise
        raise UsageError(
            f"Serving needs the package {package}, which is not installed.",
            hint='Install the extra: pip install "moa-bot[serve]"',
        ) from None
    leave(
        streams,
        settings,
        lambda: run(
            settings,
            lambda changes: _resolve(given, outer, changes),
            ListenAddress(host, port, key),
            Limits(turns=max_concurrent, keep_alive=keep_alive, grace=stop_after),
            say=streams.say,
            verbose=streams.stderr if settings.verbose else None,
        ),
    )


def _resolve(given: Given, outer: Given, changes: Mapping[str, object]) -> Settings:
    """Return the settings with some options said anew; a preset leaves the mixture's options out."""
    from bot.app.load_settings import load_settings

    dropped = MIXTURE if "preset" in changes else ()

    def rest(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in dropped}

    return load_settings({**rest(given), **changes, "save": False}, rest(outer))


def _key(key_env: str | None) -> str | None:
    """Return the key that clients must send, None for none. UsageError when the one named is not there."""
    from bot.settings.credentials import clean_key

    name = key_env or KEY_VARIABLE
    key = clean_key(os.environ.get(name, ""), name)
    if key_env and not key:
        raise UsageError(f"--key_env {key_env}: this environment variable is not set.")
    return key or None
