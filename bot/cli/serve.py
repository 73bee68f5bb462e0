"""`moa-bot serve`: the mixture behind the OpenAI API. What it does is in `bot.serve`."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any

import typer

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.boundary import run_async
from bot.cli.options import Given, new_typer_app, with_options
from bot.errors import ExitCode, UsageError
from bot.onboarding.fetch_models import load_or_offer
from bot.settings.credentials import clean_key
from bot.settings.options import OPTIONS, Group
from bot.settings.settings import Settings

KEY_VARIABLE = "MOA_BOT_SERVE_KEY"
PORT = 8377
MIXTURE_OPTIONS = (
    *(option.name for option in OPTIONS if option.group is Group.MIXTURE),
    "system",
    "system_file",
)
"""Options of the served mixture; they do not apply to a preset that a request names."""
ACCEPTED_OPTIONS = (
    *MIXTURE_OPTIONS,
    "quiet",
    "verbose",
    "max_cost",
    "save",
    *(option.name for option in OPTIONS if option.group is Group.ADVANCED),
)

Host = Annotated[str, typer.Option("--host", help="The address to listen at.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")]
KeyVariable = Annotated[
    str | None,
    typer.Option(
        "--key_env",
        metavar="NAME",
        help=f"The environment variable with the key that clients must send. [default: {KEY_VARIABLE}]",
        show_default=False,
    ),
]

typer_app = new_typer_app()


@typer_app.command()
@with_options(ACCEPTED_OPTIONS)
def serve(
    ctx: typer.Context,
    *,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    key_env: KeyVariable = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors",
            metavar="ORIGIN",
            help="A web page's origin, such as http://localhost:3000, that may ask in a browser; repeatable.",
            show_default=False,
        ),
    ] = None,
    max_concurrent: Annotated[
        int, typer.Option("--max_concurrent", min=1, metavar="N", help="Requests at once; more get a 429.")
    ] = 64,
    keep_alive: Annotated[
        float,
        typer.Option("--keep_alive", min=0.1, metavar="SECONDS", help="The longest silence of an answer."),
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
    outer = {name: value for name, value in (ctx.obj or {}).items() if name in ACCEPTED_OPTIONS}
    streams = Streams.of_process()
    settings = load_or_offer(lambda changes: resolve_served(given, outer, changes), streams)
    key = client_key(key_env)
    try:
        from bot.serve.limits import Limits  # noqa: PLC0415 - an extra
        from bot.serve.server import ListenAddress  # noqa: PLC0415 - an extra
        from bot.serve.server import serve as serve_mixture  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"starlette", "uvicorn"}:
            raise
        raise UsageError(
            f"Serving needs the package {package}, which is not installed.",
            hint='Install the extra: pip install "moa-bot[serve]"',
        ) from None

    def work() -> Coroutine[Any, Any, ExitCode]:
        return serve_mixture(
            settings,
            lambda changes: resolve_served(given, outer, changes),
            ListenAddress(host, port, key, tuple(origin.rstrip("/") for origin in cors or ())),
            Limits(turns=max_concurrent, keep_alive=keep_alive, grace=stop_after),
            say=streams.say,
            verbose=streams.stderr if settings.verbose else None,
            keep_responses=load_settings(given, outer).save,
        )

    raise typer.Exit(run_async(streams, settings, work))


def resolve_served(given: Given, outer: Given, changes: Mapping[str, object]) -> Settings:
    """Return the settings with these options changed; a preset is asked without the mixture's options."""
    dropped = MIXTURE_OPTIONS if "preset" in changes else ()

    def rest(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in dropped}

    return load_settings({**rest(given), **changes, "save": False}, rest(outer))


def client_key(key_env: str | None) -> str | None:
    """Return the key that clients must send, None for none. UsageError when the one named is not there."""
    name = key_env or KEY_VARIABLE
    key = clean_key(os.environ.get(name, ""), name)
    if key_env and not key:
        raise UsageError(f"--key_env {key_env}: this environment variable is not set.")
    return key or None
