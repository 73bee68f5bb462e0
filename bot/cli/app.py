"""The command line: which commands there are. They parse and delegate; what they do is elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli.boundary import converse, finish, guarded
from bot.cli.options import SPELLINGS, Given, Panels, QuickCommand, taken_as_they_come, with_options
from bot.errors import ExitCode, UsageError
from bot.settings.settings import Settings


class _Commands(Panels, TyperGroup):
    """The commands; a prompt in a command's place is told where it belongs."""

    def get_params(self, ctx: Any) -> Any:
        """Return the options before the command's name, read as those of `ask` are."""
        return taken_as_they_come(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or say what was probably meant."""
        word = args[0] if args else ""
        if word and self.get_command(ctx, word) is None and not word.startswith("-") and " " in word.strip():
            raise UsageError(f'To ask that: moa-bot ask "{word if len(word) < 60 else word[:57] + "…"}"')  # noqa: PLR2004 - a line's room
        return super().resolve_command(ctx, args)


COMMANDS = {
    "history": "List, show, search, export and delete the conversations that are kept.",
    "trace": "Show how like each proposal a reply is, and what none of them said.",
    "models": "List the models that can be reached, with context and price.",
    "presets": "List the presets, or show one.",
    "keys": "Keep API keys: set, list, remove.",
    "config": "Show the settings in force and where each was said, and change them.",
    "doctor": "Check keys, services, models, terminal and store, and say what to do.",
    "serve": "Serve the mixture as a model behind the OpenAI API.",
    "eval": "Run the paper's evaluations and analyses.",
    "batch": "Answer a whole file or data set of prompts.",
    "demo": "The offline service with its demonstration models.",
}
"""The commands beside `ask` and what they do; each is in the module of its name."""
COMPLETION = "_MOA_BOT_COMPLETE"

app = typer.Typer(
    name="moa-bot",
    cls=_Commands,
    context_settings=SPELLINGS,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Chat with a Mixture of Agents: several models answer, one writes the reply from all of them.",
    epilog="Without a command: a prompt to chat at, or, with input piped in, an answer to each line.",
)


@app.callback(invoke_without_command=True)
@with_options()
def main(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True)
    ] = False,
    given: Given,
) -> None:
    """Chat with a Mixture of Agents: several models answer, one writes the reply from all of them."""
    if version:
        from bot import __version__

        typer.echo(f"moa-bot {__version__}")
        raise typer.Exit
    ctx.obj = given
    if ctx.invoked_subcommand is not None:
        return
    raise typer.Exit(converse(given))


@app.command(cls=QuickCommand)
@with_options()
def ask(
    ctx: typer.Context,
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT", help='What to ask. "-" or nothing: all of standard input.', show_default=False
        ),
    ] = None,
    given: Given,
) -> None:
    """Ask one question; what is piped in or attached goes along with it."""
    settings = load_settings(given, ctx.obj)
    streams = Streams.of_process()
    from bot.cli.ask import ask_once

    leave(streams, settings, lambda: ask_once(settings, streams, words or []))


def leave(
    streams: Streams, settings: Settings, work: Callable[[], Coroutine[Any, Any, ExitCode]]
) -> NoReturn:
    """Run a command's coroutine and end the program with its exit code."""
    raise typer.Exit(finish(streams, settings, work))


def run(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit code. No exception leaves here."""

    def parse() -> int:
        _add_commands(arguments)
        app(list(arguments), prog_name="moa-bot", standalone_mode=True)
        return int(ExitCode.DONE)

    return guarded(parse, arguments)


def _add_commands(arguments: Sequence[str]) -> None:
    """Add the commands; only those named are loaded: each costs time on the way to a request."""
    for name, summary in COMMANDS.items():
        if name not in arguments and COMPLETION not in os.environ:
            app.command(name, help=summary)(_not_loaded)
            continue
        module = import_module(f"bot.cli.{name}")
        if hasattr(module, "register"):
            module.register(app)
        elif hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=summary)
        else:
            app.command(name)(getattr(module, name))


def _not_loaded() -> None:
    """Stand in the help page for a command that is not called."""
