"""`moa-bot config …`: the settings in force, where they come from, and changing config.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.app.editor import run_editor
from bot.app.load_settings import load_settings
from bot.cli.options import Given, new_typer_app, with_options
from bot.cli.output import print_json, print_text, terminal_width
from bot.errors import ConfigError, MoaError, UsageError
from bot.settings import paths
from bot.settings.config_key import parse_key, parse_value
from bot.settings.edit import change_config, is_set, problem_with, read_config
from bot.settings.files import replace_file
from bot.settings.show import config_json, config_rows
from bot.text.table import tab_separated
from bot.text.wrap import cut_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

typer_app = new_typer_app("Show the settings in force and their sources, and change them.")

_WIDEST_VALUE = 44
_STARTER = """\
# Settings of moa-bot. `moa-bot config show` lists the options and what is in force.
#
# preset = "fast"
# temperature = 0.5
#
# [presets.mine]
# aggregator = "MODEL"
# reference_models = ["MODEL", "MODEL*2"]
"""


@typer_app.command()
@with_options()
def show(ctx: typer.Context, *, given: Given) -> None:
    """Show every setting, its value and its source, also those given here as options."""
    settings = load_settings(given, ctx.obj)
    if settings.json:
        print_json(config_json(settings))
        return
    rows = config_rows(settings)
    if terminal_width() is None:
        print_text(tab_separated(rows))
        return
    key = max(len(row.key) for row in rows)
    value = min(_WIDEST_VALUE, max(len(row.value) for row in rows))
    print_text("".join(f"{row.key:<{key}}  {row.value:<{value}}  {row.source}\n" for row in rows))


@typer_app.command()
def path() -> None:
    """Print the path of the settings file, which need not exist."""
    print_text(str(paths.config_file()))


@typer_app.command("set")
def set_(
    *,
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME VALUE…",
            help="Such as: rounds 2, or presets.mine.rounds 2. Several pairs are possible.",
            show_default=False,
        ),
    ],
) -> None:
    """Write a setting into config.toml; your comments and their order stay."""
    if len(pairs) % 2:
        name = cut_cells(pairs[-1], 40) if pairs[-1].isprintable() else "The last name"
        raise UsageError(
            f"{name}: a value is missing.",
            hint="moa-bot config set NAME VALUE, and again NAME VALUE",
        )
    keys = [parse_key(name) for name in pairs[::2]]
    values = [parse_value(key, text) for key, text in zip(keys, pairs[1::2], strict=True)]
    file = paths.config_file()
    try:
        remaining = change_config(file, dict(zip(keys, values, strict=True)))
    except ConfigError as problem:
        raise ConfigError(f"Not written: {problem.message}", problem.hint or _preset_hint(keys)) from None
    _raise_remaining(file, remaining)


@typer_app.command()
def unset(
    *,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="The settings to remove.", show_default=False)
    ],
) -> None:
    """Remove a setting from config.toml, so that the preset or the defaults decide again."""
    file = paths.config_file()
    keys = [
        (name,) if "." not in name and is_set(file, (name,)) else _table(name) or parse_key(name)
        for name in names
    ]
    for name, key in zip(names, keys, strict=True):
        if not is_set(file, key):
            print(f"{name} is not set in {file}.", file=sys.stderr)
    try:
        remaining = change_config(file, {key: None for key in keys if is_set(file, key)})
    except ConfigError as problem:
        raise ConfigError(f"Not written: {problem.message}", problem.hint) from None
    _raise_remaining(file, remaining)


@typer_app.command()
def edit() -> None:
    """Open config.toml in your editor ($VISUAL, $EDITOR), and check it afterwards."""
    file = paths.config_file()
    if not file.exists():
        replace_file(file, _STARTER)
    while True:
        run_editor(file)
        try:
            problem: MoaError | None = problem_with(file, read_config(file))
        except ConfigError as error:
            problem = error
        if problem is None:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty() and _ask_to_edit_again(problem)):
            raise problem


def _table(name: str) -> tuple[str, ...]:
    """Return the key of a name that means a whole table, such as presets.mine; () for other names."""
    parts = tuple(name.split("."))
    return parts if len(parts) == 2 and parts[0] in {"presets", "endpoints"} else ()  # noqa: PLR2004 - TABLE.NAME


def _preset_hint(keys: Sequence[tuple[str, ...]]) -> str:
    if any(key[0] == "presets" for key in keys):
        return (
            "A preset needs both in one go: moa-bot config set"
            " presets.NAME.aggregator MODEL presets.NAME.reference_models MODEL,MODEL"
        )
    return ""


def _raise_remaining(file: Path, remaining: str) -> None:
    if remaining:
        raise ConfigError(remaining, hint=f"{file} is changed; this mistake was in it before.")


def _ask_to_edit_again(problem: MoaError) -> bool:
    print(f"moa-bot: {problem.message}", file=sys.stderr)
    try:
        answer = input("Edit again? [Y/n] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"", "y", "yes"}
