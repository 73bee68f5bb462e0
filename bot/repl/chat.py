"""The loop of the chat: reads a line, which is a command or a prompt, until the end of input."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from bot import __version__
from bot.app.app import App
from bot.app.resume import Resolve
from bot.app.signals import handle_signals
from bot.app.turn import set_styles
from bot.errors import ExitCode, MoaError
from bot.render.log_sink import LogSink
from bot.render.styles import set_background
from bot.repl.chat_context import ChatContext
from bot.repl.command_syntax import is_command
from bot.repl.commands import Quit, run_command
from bot.repl.completion import CommandCompleter
from bot.repl.layout import print_wrapped
from bot.repl.line_editor import LineEditor, plain_output_on_dumb_terminal
from bot.repl.status_bar import status_bar
from bot.repl.terminal import Terminal
from bot.text.names import short_name
from bot.text.numbers import plural

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.streams import Streams
    from bot.settings.settings import Settings

WORKERS_START_AFTER = 0.25
"""Seconds: the prompt comes first, the workers start while the user types."""
ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
"""Sent by `kill`, and when the window is closed."""


async def run_chat(
    resolve: Resolve,
    streams: Streams,
    settings: Settings | None = None,
    *,
    terminal_in: Input | None = None,
    terminal_out: Output | None = None,
) -> ExitCode:
    """Chat on the terminal until the user leaves.

    `settings` are what `resolve({})` returns, if that is known already. `terminal_in` and
    `terminal_out` replace the process's own terminal.
    """
    settings = settings or resolve({})
    log_sink = LogSink(streams.stderr)
    verbose = log_sink if settings.verbose else None
    descriptor = streams.stdin if terminal_in is None else None
    with plain_output_on_dumb_terminal(streams.stdout), Terminal(descriptor) as terminal:

        def say(text: str) -> None:
            print_wrapped(text, streams, terminal)

        async with App(settings, say, verbose, resolve, start_after=WORKERS_START_AFTER) as app:
            chat = ChatContext(app, app.session(), streams, terminal, log_sink, files=list(settings.file))
            editor = LineEditor(
                say,
                completer=CommandCompleter(chat),
                bar=None if settings.quiet or settings.plain else lambda: status_bar(chat, terminal.width),
                suggest=not settings.plain,
                menu=not settings.plain,
                save=settings.save,
                vi=settings.vi,
                terminal_in=terminal_in,
                terminal_out=terminal_out,
            )
            terminal.attach(editor.input, editor.output)
            if settings.theme == "auto" and not (settings.plain or "NO_COLOR" in os.environ):
                terminal.ask_background(set_background, wait=app.resumed is not None)
            set_styles(settings, streams)
            chat.load_last_turn()
            if not settings.quiet:
                chat.say(_greeting(chat))
            if app.resumed is not None and streams.stderr_is_terminal and not settings.quiet:
                from bot.repl.recap import TURNS  # noqa: PLC0415 - most chats begin anew

                chat.recap(TURNS)
            code = await _run_until_signal(chat, editor)
            if not settings.quiet and (how := how_to_resume(chat)):
                chat.say(how)
            return code


async def _run_until_signal(chat: ChatContext, editor: LineEditor) -> ExitCode:
    """Run the loop until the user leaves or a signal ends the chat; the turn under way is stored."""
    loop = asyncio.ensure_future(_run_loop(chat, editor))
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended:
            ended = True
            loop.cancel()

    with handle_signals(end, ENDING_SIGNALS):
        try:
            await loop
        except asyncio.CancelledError:
            if not ended:
                raise
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


async def _run_loop(chat: ChatContext, editor: LineEditor) -> None:
    while (text := await editor.read(chat.take_draft())) is not None:
        prompt = text[1:] if text.startswith("//") else text
        try:
            if is_command(text):
                await run_command(chat, text)
            else:
                await chat.ask(prompt)
        except Quit:
            return
        except MoaError as error:
            chat.say_error(error)
            if not is_command(text):
                chat.draft_prompt(prompt)


def how_to_resume(chat: ChatContext) -> str:
    """Return how to come back to the conversation that is left, "" when nothing of it is kept."""
    identifier = chat.session.conversation_id
    if identifier is None or chat.app.store is None or chat.app.store.read_only or not chat.turns():
        return ""
    # A conversation's models may be there only with the option that they were started with.
    given = (name for name in ("demo", "local", "starter") if chat.settings.value(name))
    options = "".join(f"--{name} " for name in given)
    return f"  To continue this conversation: moa-bot {options}--resume {identifier}"


def _greeting(chat: ChatContext) -> str:
    plan, settings = chat.session.mixture.plan, chat.settings
    slots = max((len(layer) for layer in plan.layers), default=0)
    aggregator = short_name(plan.aggregator.model)
    models = plural(slots, "model") + (f" × {len(plan.layers)}" if len(plan.layers) > 1 else "")
    mixture = f"{models} → {aggregator}" if slots else f"{aggregator} alone"
    lines = [f"moa-bot {__version__} · {settings.preset_label}: {mixture} · /help"]
    if settings.demo:
        lines.append("These are demonstration programs, not language models.")
    return "\n".join(lines)
