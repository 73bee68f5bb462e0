"""Attaches the files of a prompt; Ctrl-C ends the wait for a page or a slow file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from bot.app.attachments import Prompt, attach
from bot.app.signals import handle_signals
from bot.errors import UsageError
from bot.repl.pastes import PASTED_AT

if TYPE_CHECKING:
    from pathlib import Path

    from bot.app.app import App
    from bot.messages import Image
    from bot.repl.terminal import Terminal


async def attach_files(
    app: App, terminal: Terminal, prompt: str, files: Sequence[Path], earlier: Sequence[Image]
) -> Prompt:
    """Return the prompt with its files. UsageError when one cannot be attached, and after Ctrl-C.

    Names in a folded paste attach nothing.
    """
    asked = await _attach(app, terminal, prompt, files, earlier)
    return replace(asked, text=asked.text.replace(PASTED_AT, "@"))


async def _attach(
    app: App, terminal: Terminal, prompt: str, files: Sequence[Path], earlier: Sequence[Image]
) -> Prompt:
    if "@" not in prompt and not files:
        return await attach(prompt, earlier=earlier)
    attaching = asyncio.ensure_future(attach(prompt, files, earlier=earlier, fetch=app.fetch_page))
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        attaching.cancel()

    with _interruptible(terminal, stop):
        try:
            return await attaching
        except asyncio.CancelledError:
            if not stopped.is_set():
                raise
    raise UsageError("Stopped: nothing was asked.")


@contextmanager
def _interruptible(terminal: Terminal, stop: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C call `stop` while the block runs; other typed keys are put into the next prompt."""
    keyboard = terminal.input
    typed: list[KeyPress] = []

    def read() -> None:
        for press in keyboard.read_keys() if keyboard else ():
            if press.key == Keys.ControlC:
                stop()
            else:
                typed.append(press)

    with handle_signals(stop, ("SIGINT",)), ExitStack() as stack:
        if keyboard is not None:
            stack.callback(lambda: store_typeahead(keyboard, typed))
            stack.enter_context(keyboard.raw_mode())
            stack.enter_context(keyboard.attach(read))
        yield
