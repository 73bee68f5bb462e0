"""The loop: a line is read, and is a command or a prompt; until the end of input."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot import __version__
from bot.errors import ExitCode, MoaError
from bot.program import Program, Resolve
from bot.render.aside import Aside
from bot.repl.bar import bar
from bot.repl.commands import Quit, is_command, run_command
from bot.repl.completion import CommandCompleter
from bot.repl.line import Line, without_codes
from bot.repl.room import Room, say
from bot.repl.terminal import Terminal
from bot.turn import interrupts

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.cli.streams import Streams
    from bot.settings.settings import Settings

START_AFTER = 0.25
"""Seconds: the prompt comes first, the workers start while the user types."""
ENDS = ("SIGTERM", "SIGHUP")
"""Signals that end the chat: `kill`, and a window that was closed."""


async def chat(
    resolve: Resolve,
    streams: Streams,
    settings: Settings | None = None,
    *,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> ExitCode:
    """Hold a conversation on the terminal until the user leaves.

    `settings` are what `resolve({})` would return, if they are known already. `terminal_in` and
    `terminal_out` stand in for the process's own terminal.
    """
    settings = settings or resolve({})
    aside = Aside(streams.stderr)
    verbose = aside if settings.verbose else None
    descriptor = streams.stdin if terminal_in is None else None
    with without_codes(streams.stdout), Terminal(descriptor) as terminal:

        def tell(text: str) -> None:
            say(text, streams, terminal)

        async with Program(settings, tell, verbose, resolve, start_after=START_AFTER) as program:
            room = Room(program, program.session(), streams, terminal, aside, files=list(settings.file))
            line = Line(
                tell,
                completer=CommandCompleter(room),
                bar=None if settings.quiet or settings.plain else lambda: bar(room, terminal.width),
                suggest=not settings.plain,
                vi=settings.vi,
                keys=terminal_in,
                screen=terminal_out,
            )
            terminal.attach(line.keys, line.screen)
            room.recall()
            if not settings.quiet:
                room.say(_greeting(room))
            return await _until_ended(room, line)


async def _until_ended(room: Room, line: Line) -> ExitCode:
    """Talk until the user leaves or a signal ends the chat; what a turn has brought by then is kept."""
    talking = asyncio.ensure_future(_talk(room, line))
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended:
            ended = True
            talking.cancel()

    with interrupts(end, ENDS):
        try:
            await talking
        except asyncio.CancelledError:
            if not ended:
                raise
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


async def _talk(room: Room, line: Line) -> None:
    while (text := await line.read(_draft(room))) is not None:
        try:
            if is_command(text):
                await run_command(room, text)
            else:
                await room.ask(text[1:] if text.startswith("//") else text)
        except Quit:
            return
        except MoaError as error:
            room.tell(error)
            room.draft = "" if is_command(text) else text


def _draft(room: Room) -> str:
    """Return what is to stand in the line, once."""
    draft, room.draft = room.draft, ""
    return draft


def _greeting(room: Room) -> str:
    plan, settings = room.session.mixture.plan, room.settings
    seats = max((len(layer) for layer in plan.layers), default=0)
    aggregator = plan.aggregator.model.rpartition("/")[2]
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    lines = [f"moa-bot {__version__} · {settings.preset.name}: {seats} models{rounds} → {aggregator} · /help"]
    if settings.demo:
        lines.append("These are demonstration programs, not language models.")
    return "\n".join(lines)
