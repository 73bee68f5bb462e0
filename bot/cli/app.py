"""The command line: its commands, each loaded from the module of its name when it is called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bot import __version__
from bot.cli.boundary import chat_or_pipe, error_boundary
from bot.cli.options import (
    FIELDS,
    SPELLINGS,
    TEMPLATE,
    FieldOption,
    Given,
    HelpSections,
    TemplateOption,
    join_words,
    with_options,
)
from bot.errors import ExitCode, UsageError
from bot.text.nearest import nearest_name
from bot.text.sanitise import one_line

COMMANDS = {
    "ask": "Ask one question; what is piped in or attached goes along with it.",
    "history": "List, show, search, export and delete the conversations that are kept.",
    "trace": "Show how similar a reply is to each proposal, and what is in none of them.",
    "models": "List the models that can be reached, with context and price.",
    "presets": "List the presets, or show one.",
    "prompts": "List, show and edit prompt templates.",
    "keys": "Set, list and remove API keys.",
    "tools": "List the tools that models can be given, and call one.",
    "config": "Show the settings in force and their sources, and change them.",
    "doctor": "Check keys, services, models, terminal and store, and say what to do.",
    "serve": "Serve the mixture as a model of the OpenAI API.",
    "mcp": "Serve the mixture to other programs over MCP.",
    "eval": "Run the paper's evaluations and analyses.",
    "batch": "Answer a whole file or data set of prompts.",
    "demo": "The offline service with its demonstration models.",
}
"""What each command does, for the help page; its Typer app is `typer_app` in the module `bot.cli.NAME`."""


_LONGEST_QUESTION = 60  # characters of it in an error message


class LazyGroup(HelpSections, TyperGroup):
    """Imports a command's module when the command is called: the others cost no time at the start."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command; for `ask`, the fork server starts meanwhile.

        Typer imports pydantic to check the values. The SDK's imports, which take longer, must not
        wait for that; so the command's name is taken from the parser before.
        """
        args = join_words(args)
        _, rest, _ = self.make_parser(ctx).parse_args(list(args))
        if rest[:1] == ["help"]:
            # `help COMMAND` is `COMMAND --help`; other words are a question.
            if rest[1:] and rest[1] not in COMMANDS and not rest[1].startswith("-"):
                raise _no_such_command(rest[1:], asked=rest)
            return super().parse_args(ctx, [*rest[1:], "--help"])
        if rest[:1] == ["ask"] and not ctx.resilient_parsing:
            from bot.workers.forkserver import start_forkserver  # noqa: PLC0415 - imports multiprocessing, for `ask` only

            start_forkserver()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's parameters
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - Typer's parameters
        """Return the command, None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(import_module(f"bot.cli.{cmd_name}").typer_app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's parameters
        """Write the commands and what they do, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; one that does not exist is an error that says what was probably meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise _no_such_command(args)
        return super().resolve_command(ctx, args)


def _no_such_command(args: list[str], asked: list[str] | None = None) -> UsageError:
    """Return the error for words that begin with no command: a mistyped one, or a question to be asked.

    `asked` are the words of the question if they are not `args`.
    """
    near = nearest_name(args[0], COMMANDS)
    words = one_line(" ".join(takewhile(lambda word: not word.startswith("-"), asked or args)))
    if " " not in words:
        words += " …"
    elif len(words) >= _LONGEST_QUESTION:
        words = words[: _LONGEST_QUESTION - 3] + "…"
    quoted = shlex.quote(words) if re.search(r'["$`!\\]', words) else f'"{words}"'
    return UsageError(
        f"There is no command {one_line(args[0])!r}." + (f" Did you mean {near!r}?" if near else ""),
        hint=f"To ask that: moa-bot ask {quoted}\nThe commands: moa-bot help",
    )


typer_app = typer.Typer(
    name="moa-bot",
    cls=LazyGroup,
    context_settings=SPELLINGS,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Chat with a Mixture of Agents: several models answer, one writes the reply from all of them.",
    epilog="Without a command: a prompt to chat at, or, with input piped in, an answer to each line. "
    "`moa-bot help COMMAND` describes a command.",
)


@typer_app.callback(invoke_without_command=True)
@with_options()
def main(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True)
    ] = False,
    template: TemplateOption = None,
    field: FieldOption = None,
    given: Given,
) -> None:
    """Chat with a Mixture of Agents: several models answer, one writes the reply from all of them."""
    if version:
        typer.echo(f"moa-bot {__version__}")
        raise typer.Exit
    ctx.obj = given
    if ctx.invoked_subcommand is None:
        raise typer.Exit(chat_or_pipe(given, template, field or ()))
    if (template or field) and ctx.invoked_subcommand != "ask":
        raise UsageError(
            f"Templates are for prompts, not for {ctx.invoked_subcommand}: moa-bot ask -t NAME …"
        )
    ctx.meta[TEMPLATE], ctx.meta[FIELDS] = template, field or ()


def run(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit code. No exception leaves here."""

    def parse_and_run() -> int:
        typer_app(list(arguments), prog_name="moa-bot", standalone_mode=True)
        return int(ExitCode.DONE)

    return error_boundary(parse_and_run, arguments)
