"""The loop: a line is read, and is a command or a prompt; until the end of input."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot import __version__
from bot.app.app import App, Resolve
from bot.app.signals import handle_signals
from bot.errors import ExitCode, MoaError
from bot.render.log_sink import LogSink
from bot.repl.chat_context import ChatContext, say
from bot.repl.command_syntax import is_command
from bot.repl.commands import Quit, run_command
from bot.repl.completion import CommandCompleter
from bot.repl.line_editor import Line, without_codes
from bot.repl.status_bar import bar
from bot.repl.terminal import Terminal

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.streams import Streams
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
    log_sink = LogSink(streams.stderr)
    verbose = log_sink if settings.verbose else None
    descriptor = streams.stdin if terminal_in is None else None
    with without_codes(streams.stdout), Terminal(descriptor) as terminal:

        def tell(text: str) -> None:
            say(text, streams, terminal)

        async with App(settings, tell, verbose, resolve, start_after=START_AFTER) as app:
            chat = ChatContext(app, app.session(), streams, terminal, log_sink, files=list(settings.file))
            line = Line(
                tell,
                completer=CommandCompleter(chat),
                bar=None if settings.quiet or settings.plain else lambda: bar(chat, terminal.width),
                suggest=not settings.plain,
                vi=settings.vi,
                keys=terminal_in,
                screen=terminal_out,
            )
            terminal.attach(line.keys, line.screen)
            chat.recall()
            if not settings.quiet:
                chat.say(_greeting(chat))
            return await _until_ended(chat, line)


async def _until_ended(chat: ChatContext, line: Line) -> ExitCode:
    """Talk until the user leaves or a signal ends the chat; what a turn has brought by then is kept."""
    talking = asyncio.ensure_future(_talk(chat, line))
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended:
            ended = True
            talking.cancel()

    with handle_signals(end, ENDS):
        try:
            await talking
        except asyncio.CancelledError:
            if not ended:
                raise
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


async def _talk(chat: ChatContext, line: Line) -> None:
    while (text := await line.read(_draft(chat))) is not None:
        try:
            if is_command(text):
                await run_command(chat, text)
            else:
                await chat.ask(text[1:] if text.startswith("//") else text)
        except Quit:
            return
        except MoaError as error:
            chat.tell(error)
            chat.draft = "" if is_command(text) else text


def _draft(chat: ChatContext) -> str:
    """Return what is to stand in the line, once."""
    draft, chat.draft = chat.draft, ""
    return draft


def _greeting(chat: ChatContext) -> str:
    plan, settings = chat.session.mixture.plan, chat.settings
    slots = max((len(layer) for layer in plan.layers), default=0)
    aggregator = plan.aggregator.model.rpartition("/")[2]
    rounds = f" × {len(plan.layers)}" if len(plan.layers) > 1 else ""
    lines = [f"moa-bot {__version__} · {settings.preset.name}: {slots} models{rounds} → {aggregator} · /help"]
    if settings.demo:
        lines.append("These are demonstration programs, not language models.")
    return "\n".join(lines)
