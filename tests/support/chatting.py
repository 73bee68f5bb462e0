"""A chat in this process, its keys coming through a pipe, and the screen that a person would see.

Nothing waits for a fixed time: every wait is for a condition, and has a bound.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from time import monotonic
from typing import Any, cast
from unittest.mock import patch

from emulator import Emulator
from prompt_toolkit.application.current import AppSession, create_app_session, get_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from running import LIMIT

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.errors import ExitCode
from bot.repl import run_chat


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class Window(io.StringIO):
    """A text file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Screen(Vt100_Output):
    """A terminal's output that answers where its cursor is, and counts how often a prompt has come up."""

    prompts = 0
    locate: Callable[[], None] = staticmethod(lambda: None)

    def ask_for_cpr(self) -> None:
        self.locate()

    def enable_bracketed_paste(self) -> None:
        app = get_app_session().app
        # During a turn pasting is on as well; then there is no prompt.
        self.prompts += app is not None and app.is_running
        super().enable_bracketed_paste()


class Chat:
    """A chat in this process. `code` is what it ended with, once it has."""

    def __init__(self, session: AppSession, window: Window, output: Screen, emulator: Emulator) -> None:
        self._session, self._window, self._output, self._emulator = session, window, output, emulator
        self._fed = 0
        self.out: io.StringIO = window
        self.task: asyncio.Task[ExitCode] | None = None

    @property
    def written(self) -> str:
        """All that was written, codes and all."""
        return self._window.getvalue()

    @property
    def prompts(self) -> int:
        """How often the prompt has come up."""
        return self._output.prompts

    @property
    def idle(self) -> bool:
        """Whether a prompt is up."""
        return self._session.app is not None and self._session.app.is_running

    @property
    def screen(self) -> Emulator:
        """What is to be seen now."""
        new, self._fed = self.written[self._fed :], len(self.written)
        self._emulator.feed(new.replace("\r\n", "\n").replace("\n", "\r\n"))
        return self._emulator

    @property
    def text(self) -> str:
        """All rows, without the bar."""
        rows = self.screen.rows()
        if rows and "←" in rows[-1]:
            rows.pop()
        return "\n".join(rows).rstrip("\n")

    def type(self, keys: str | bytes) -> None:
        """Type, and wait for nothing."""
        pipe = cast("PipeInput", self._session.input)
        pipe.send_bytes(keys) if isinstance(keys, bytes) else pipe.send_text(keys)

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until the condition holds; the test fails with the screen if it does not come to that."""
        end = monotonic() + LIMIT
        while not condition():
            if monotonic() > end:
                raise AssertionError(f"waited in vain{f' for {what}' if what else ''}:\n{self.text}")
            if self.task is not None and self.task.done() and self.task.exception() is not None:
                self.task.result()
            await asyncio.sleep(0.005)

    async def shows(self, text: str) -> None:
        """Wait until the text is on the screen or above it."""
        await self.until(lambda: text in self.text, repr(text))

    async def enter(self, text: str) -> str:
        """Type a line and Enter, wait for the next prompt; returns the rows that came in between."""
        return await self.keys(f"{text}\r")

    async def keys(self, keys: str | bytes) -> str:
        """Type keys that end in a next prompt, wait for it; returns the rows that came in between."""
        before, above = self.prompts, len(self.text.split("\n"))
        self.type(keys)
        await self.until(lambda: self.prompts > before, f"the prompt after {keys!r}")
        rows = self.text.split("\n")[above:]
        return "\n".join(rows[:-1] if rows and rows[-1].startswith(">>>") else rows)

    async def bar(self) -> str:
        """Wait for the bar, which comes after the prompt; returns it."""
        await self.until(lambda: "←" in self.screen.last, "the bar")
        return self.screen.last

    def locate(self) -> None:
        """Answer where the cursor is, as terminals do."""
        self._output.flush()
        cursor = self.screen.screen.cursor
        self.type(f"\x1b[{cursor.y + 1};{cursor.x + 1}R")

    async def leave(self) -> ExitCode:
        """Leave with Ctrl-D; what stands in the line is dropped."""
        self.type("\x03\x04")
        return await self.end()

    async def end(self) -> ExitCode:
        """Wait for the end; returns the exit code."""
        assert self.task is not None
        return await asyncio.wait_for(asyncio.shield(self.task), LIMIT)


@asynccontextmanager
async def chatting(
    given: Mapping[str, object] | None = None, *, width: int = 80, height: int = 24, terminal: bool = True
) -> AsyncGenerator[Chat, None]:
    """Open a chat with these options and wait for its first prompt; it is closed at the end.

    Without `terminal` only the keyboard is one: what is said and replied goes into files.
    """
    window = Window()
    out = window if terminal else io.StringIO()
    streams = Streams(
        None, out, out, stdin_is_terminal=True, stdout_is_terminal=terminal, stderr_is_terminal=terminal
    )
    screen = Screen(window, lambda: Size(rows=height, columns=width), term="xterm")
    size = {"COLUMNS": str(width), "LINES": str(height)}
    with (
        patch.dict(os.environ, size),
        create_pipe_input() as keys,
        create_app_session(input=keys, output=screen) as session,
    ):
        talk = Chat(session, window, screen, Emulator(width, height))
        screen.locate = talk.locate
        talk.out = out
        talk.task = asyncio.ensure_future(
            run_chat(
                lambda changes: load_settings({**(given or {}), **changes}),
                streams,
                terminal_in=keys,
                terminal_out=screen,
            )
        )
        try:
            await talk.until(lambda: talk.prompts, "the first prompt")
            yield talk
            if not talk.task.done():
                assert await talk.leave() is ExitCode.DONE
        finally:
            if not talk.task.done():
                talk.task.cancel()
                await asyncio.wait([talk.task])
