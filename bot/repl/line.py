"""Reads what the user types: one prompt at a time, of as many lines as it has."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bot.settings import paths

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output

    from bot.cli.streams import Streams

QUOTES = '"""'
CONTINUATION = "... "


class Line:
    """The `>>>` prompt. `terminal_in` and `terminal_out` are for tests without a terminal."""

    def __init__(
        self, streams: Streams, terminal_in: Input | None = None, terminal_out: Output | None = None
    ) -> None:
        from prompt_toolkit import PromptSession

        self._streams = streams
        self._session: PromptSession[str] = PromptSession(
            history=_history(),
            key_bindings=_keys(),
            multiline=True,
            prompt_continuation=CONTINUATION,
            enable_history_search=False,
            input=terminal_in,
            output=terminal_out,
        )

    async def read(self) -> str | None:
        """Return the next prompt, None at the end of input. Blank lines are passed over."""
        while True:
            try:
                text = await self._session.prompt_async(">>> ", handle_sigint=False)
            except EOFError:
                return None
            except KeyboardInterrupt:
                self._streams.say("Ctrl-D leaves.")
                continue
            text = unquote(text)
            if text.strip():
                return text


def unquote(text: str) -> str:
    """Return the text without the three quotes around it, if they are there."""
    stripped = text.strip()
    if len(stripped) >= 2 * len(QUOTES) and stripped.startswith(QUOTES) and stripped.endswith(QUOTES):
        return stripped[len(QUOTES) : -len(QUOTES)].strip("\n")
    return text


def is_open(text: str) -> bool:
    """Tell whether three quotes have been opened and not closed."""
    stripped = text.strip()
    closed = len(stripped) >= 2 * len(QUOTES) and stripped.endswith(QUOTES)
    return stripped.startswith(QUOTES) and not closed


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys


def _history() -> History:
    """Return the history shared by all windows; one in memory where no file can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    file = paths.prompt_history_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return FileHistory(str(file))
    return InMemoryHistory()
