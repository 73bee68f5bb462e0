"""`moa-bot doctor`: checks what works, and says what to do about what does not."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.output import print_json
from bot.errors import ConfigError, ExitCode, MoaError
from bot.onboarding.checks import run_checks
from bot.onboarding.system_checks import Status
from bot.render.styles import style
from bot.settings.settings import Settings
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from bot.onboarding.system_checks import Check

_OPTIONS = (
    "preset", "aggregator", "reference_models", "endpoint", "timeout", "json", "plain", "demo",
    "local", "starter", "models_dir",
)  # fmt: skip


typer_app = new_typer_app()


@typer_app.command()
@with_options(_OPTIONS)
def doctor(
    ctx: typer.Context,
    *,
    no_calls: Annotated[
        bool, typer.Option("--no_calls", help="Do not ask the models, which costs tokens.")
    ] = False,
    given: Given,
) -> None:
    """Check keys, services, models, terminal, store and more, and say what to do.

    The exit code is 1 when something is broken.
    """
    settings: Settings | MoaError
    try:
        settings = load_settings(given, ctx.obj)
    except ConfigError as error:
        settings = error
    as_json = bool(given.get("json") or (ctx.obj or {}).get("json"))
    if isinstance(settings, Settings):
        as_json = settings.json
    code = asyncio.run(_run(settings, Streams.of_process(), calls=not no_calls, as_json=as_json))
    raise typer.Exit(int(code))


async def _run(settings: Settings | MoaError, streams: Streams, *, calls: bool, as_json: bool) -> ExitCode:
    plain = isinstance(settings, Settings) and settings.plain
    console = None if as_json else _console(streams, plain=plain)
    done: list[Check] = []
    async for check in run_checks(settings, streams, calls=calls):
        done.append(check)
        if console is not None:
            _show(console, check)
    wrong = [check for check in done if check.status is Status.ERROR]
    if console is None:
        checks = [
            {"verdict": check.status, "name": check.name, "found": check.found, "advice": check.advice}
            for check in done
        ]
        print_json({"fine": not wrong, "checks": checks})
    else:
        summary = (
            f"{len(wrong)} of {len(done)} checks failed." if wrong else f"All {len(done)} checks passed."
        )
        print(summary, file=sys.stderr)
    return ExitCode.FAILED if wrong else ExitCode.DONE


def _console(streams: Streams, *, plain: bool) -> Console:
    return Console(
        file=streams.stdout,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        no_color=True if plain else None,
    )


def _show(console: Console, check: Check) -> None:
    """Print one check: its sign, its name, what was found; below it what to do."""
    sign, look = {"fine": ("✓", "good"), "broken": ("✗", "bad"), "note": ("!", "busy")}[check.status]
    found = sanitise(check.found, newlines=False)
    line = Text.assemble((sign, style(look)), " ", (check.name, style("name")), "  ", found)
    console.print(line, soft_wrap=True)
    if check.advice:
        console.print(Text(f"    → {sanitise(check.advice, newlines=False)}"), soft_wrap=True)
