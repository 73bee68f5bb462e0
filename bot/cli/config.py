"""`moa-bot config …`: the settings in force, and where they come from."""

from __future__ import annotations

import json
import sys

import typer

from bot.cli.options import Given, with_options
from bot.settings import paths

app = typer.Typer(help="Show the settings in force, and where each was said.", no_args_is_help=True)


@app.command()
@with_options()
def show(
    ctx: typer.Context,
    *,
    given: Given,
) -> None:
    """Show every setting, its value and where it was said. Options are taken into account."""
    from bot.settings.resolve import resolve
    from bot.settings.show import config_json, config_show

    settings = resolve(given, ctx.obj)
    if settings.json:
        print(json.dumps(config_json(settings), indent=2, ensure_ascii=False))
        return
    rows = config_show(settings)
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    key = max(len(row.key) for row in rows)
    value = min(44, max(len(row.value) for row in rows))
    for row in rows:
        print(f"{row.key:<{key}}  {row.value:<{value}}  {row.source}")


@app.command()
def path() -> None:
    """Print where the settings file lies (it need not exist)."""
    print(paths.config_file())
