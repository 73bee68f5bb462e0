"""The loop: a line is read, and is a command or a prompt; until the end of input."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bot import __version__
from bot.errors import ExitCode, MoaError
from bot.program import Program, Resolve
from bot.repl.bar import bar
from bot.repl.commands import Quit, is_command, run_command
from bot.repl.completion import CommandCompleter
from bot.repl.line import Line
from bot.repl.room import Room

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.cli.streams import Streams


async def chat(
    resolve: Resolve,
    streams: Streams,
    *,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> ExitCode:
    """Hold a conversation on the terminal until the user leaves."""
    settings = resolve({})
    verbose = streams.stderr if settings.verbose else None
    async with Program(settings, streams.say, verbose, resolve) as program:
        room = Room(program, program.session(), streams, files=list(settings.file))
        line = Line(
            streams,
            completer=CommandCompleter(room),
            bar=partial(_bar, room) if not (settings.quiet or settings.plain) else None,
            vi=settings.vi,
            terminal_in=terminal_in,
            terminal_out=terminal_out,
        )
        room.terminal_in = line.terminal_in
        if not settings.quiet:
            streams.say(_greeting(room))
        while (text := await line.read(_draft(room))) is not None:
            try:
                if is_command(text):
                    await run_command(room, text)
                else:
                    await room.ask(text[1:] if text.startswith("//") else text)
            except Quit:
                break
            except MoaError as error:
                room.tell(error)
        return ExitCode.DONE


def _draft(room: Room) -> str:
    """Return what is to stand in the line, once."""
    draft, room.draft = room.draft, ""
    return draft


def _bar(room: Room) -> StyleAndTextTuples:
    from prompt_toolkit.application import get_app

    return bar(room, get_app().output.get_size().columns)


def _greeting(room: Room) -> str:
    plan, settings = room.session.mixture.plan, room.settings
    seats = max((len(layer) for layer in plan.layers), default=0)
    aggregator = plan.aggregator.model.rpartition("/")[2]
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    lines = [f"moa-bot {__version__} · {settings.preset.name}: {seats} models{rounds} → {aggregator} · /help"]
    if settings.demo:
        lines.append("These are demonstration programs, not language models.")
    return "\n".join(lines)
