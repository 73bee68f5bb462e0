"""The command line: which commands there are, and the one boundary around all of them.

Commands parse and delegate; what they do is in the module named after them. Whatever goes wrong
ends in `run`, which is the only place that turns it into a line on stderr and an exit code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bot.cli.options import SPELLINGS, Given, QuickCommand, taken_as_they_come, with_options
from bot.cli.streams import Streams
from bot.errors import ExitCode, MoaError, UsageError
from bot.settings.resolve import resolve
from bot.settings.settings import Settings


class _Commands(TyperGroup):
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
    rich_markup_mode="rich",
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
    settings = resolve(given)
    streams = Streams.of_process()
    if streams.stdin_is_terminal:
        from bot.repl import chat
        from bot.setup import guided

        again = guided(settings, lambda changes: resolve({**given, **changes}), streams)
        leave(streams, settings, lambda: chat(again, streams))
    from bot.cli.pipe import pipe

    leave(streams, settings, lambda: pipe(settings, streams))


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
    settings = resolve(given, ctx.obj)
    streams = Streams.of_process()
    from bot.cli.ask import ask_once

    leave(streams, settings, lambda: ask_once(settings, streams, words or []))


def leave(
    streams: Streams, settings: Settings, work: Callable[[], Coroutine[Any, Any, ExitCode]]
) -> NoReturn:
    """Run a command's coroutine and end the program with its exit code."""
    for notice in settings.notices():
        if not settings.quiet:
            streams.say(f"moa-bot: {notice}")
    try:
        code = asyncio.run(work())
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has had enough: not an error. Nothing must be flushed into the pipe later.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        code = ExitCode.DONE
    raise typer.Exit(int(code))


def run(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit code. No exception leaves here."""
    try:
        _end_well()
        _add_commands(sys.argv[1:] if arguments is None else arguments)
        app(arguments, prog_name="moa-bot", standalone_mode=True)
    except SystemExit as leaving:
        code = leaving.code
        return code if isinstance(code, int) else int(ExitCode.DONE if code is None else ExitCode.FAILED)
    except MoaError as error:
        tell(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug of ours
        return _bug(error, arguments or sys.argv[1:])
    return int(ExitCode.DONE)


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    """Say that something is wrong with the program itself, and where, for those who want to know."""
    if {"--verbose", "-v"}.intersection(arguments) or os.environ.get("MOA_BOT_VERBOSE"):
        import traceback

        traceback.print_exception(error)
    tell(
        MoaError(
            f"This is a mistake in moa-bot itself: {type(error).__name__}: {error}",
            hint="--verbose shows where; please report it with what that prints.",
        )
    )
    return int(ExitCode.FAILED)


def tell(error: MoaError) -> None:
    """Say on stderr what happened and what can be done."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"moa-bot: {error.message}", file=sys.stderr)
        for line in error.hint.splitlines():
            print(f"  {line}", file=sys.stderr)


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


def _end_well() -> None:
    """Have the program close what it opened also when a signal ends it."""
    with suppress(AttributeError, ValueError):
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's parameters
    raise KeyboardInterrupt
