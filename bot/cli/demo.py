"""`moa-bot demo …`: the offline service, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.options import new_typer_app
from bot.demo.serve import serve as run

typer_app = new_typer_app("The offline service with its demonstration models.")


@typer_app.callback()
def main() -> None:
    """Serve the demonstration models, or others of your own, over the OpenAI API on this computer."""


@typer_app.command()
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8080,
    behaviour: Annotated[
        Path | None,
        typer.Option(
            "--behaviour", metavar="FILE", help="How the models behave (TOML or JSON).", show_default=False
        ),
    ] = None,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Also serve /demo/requests and /demo/behaviour, for tests.")
    ] = False,
) -> None:
    """Serve until Ctrl-C."""

    def ready(base_url: str) -> None:
        print(
            f"Serving demonstration models at {base_url} (they are programs, not language models).",
            file=sys.stderr,
        )
        print(f"Use them: TOGETHER_BASE_URL={base_url} moa-bot ask …", file=sys.stderr)

    run(host, port, behaviour, inspect=inspect, on_ready=ready)
