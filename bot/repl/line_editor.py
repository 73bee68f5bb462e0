"""The `>>>` prompt: reads one prompt at a time, which may have several lines."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import create_app_session
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.output import Output
from prompt_toolkit.output.plain_text import PlainTextOutput
from prompt_toolkit.styles import Style

from bot.repl.command_menu import ROWS, align_menu, close_menu_soon, is_typing_command
from bot.repl.command_menu import STYLE as MENU_STYLE
from bot.repl.command_syntax import bare_command
from bot.repl.key_bindings import key_bindings, strip_quotes
from bot.repl.pastes import PasteProcessor, Pastes
from bot.settings import paths
from bot.text.sanitise import mend

DUMB_TERMINALS = ("dumb", "unknown")
"""Values of $TERM for terminals that understand no escape sequences."""
CONTINUATION = "... "
TAB = 8
"""Columns from one tab stop to the next, as terminals have them."""
HINT = "  Ctrl-D leaves."
STYLE = {
    "bottom-toolbar": "noreverse fg:default",
    "bottom-toolbar.text": "noreverse",
    "auto-suggestion": "fg:ansibrightblack italic",
    "prompt": "bold fg:ansicyan",
    "paste": "fg:ansicyan",
    **MENU_STYLE,
}


class LineEditor:
    """The `>>>` prompt.

    `say` shows the user a line; `bar` returns the bottom bar; with `suggest`, earlier prompts are
    suggested while the user types, and with `menu` a command's completions are listed. Without `save`
    nothing that is typed is written to the history. `terminal_in` and `terminal_out` replace the
    process's terminal.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        completer: Completer | None = None,
        bar: Callable[[], StyleAndTextTuples] | None = None,
        suggest: bool = True,
        menu: bool = True,
        save: bool = True,
        vi: bool = False,
        terminal_in: Input | None = None,
        terminal_out: Output | None = None,
    ) -> None:
        self._say = say
        self._pastes = Pastes()
        self._session: PromptSession[str] = PromptSession(
            history=open_history(self._pastes, save=save),
            auto_suggest=AutoSuggestFromHistory() if suggest else None,
            completer=completer,
            complete_while_typing=is_typing_command if menu else False,
            key_bindings=key_bindings(self._pastes),
            # A tab is shown as ^I by default.
            input_processors=[
                TabsProcessor(tabstop=TAB, char1=" ", char2=" ", style=""),
                PasteProcessor(self._pastes),
            ],
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            enable_open_in_editor=True,
            enable_suspend=True,
            multiline=True,
            prompt_continuation=CONTINUATION,
            bottom_toolbar=bar,
            style=Style.from_dict(STYLE),
            reserve_space_for_menu=ROWS if completer else 0,
            tempfile_suffix=".md",
            input=terminal_in,
            output=terminal_out,
        )
        align_menu(self._session)
        close_menu_soon(self._session)

    @property
    def input(self) -> Input:
        """The keyboard."""
        return self._session.input

    @property
    def output(self) -> Output:
        """The window."""
        return self._session.output

    async def read(self, draft: str = "") -> str | None:
        """Return the next prompt or command that is not blank, None at the end of input.

        `draft` is in the line to begin with.
        """
        draft = self._pastes.refold(draft)
        while True:
            try:
                text = await self._session.prompt_async(
                    [("class:prompt", ">>> ")], default=draft, handle_sigint=False
                )
            except EOFError:
                return None
            except KeyboardInterrupt:
                self._say(HINT)
                draft = ""
                continue
            # Bytes that are not UTF-8 come as lone surrogates, which cannot be written anywhere.
            text = mend(self._pastes.unfold_prompt(text))
            text = bare_command(text) or strip_quotes(text)
            if text.strip():
                return text
            draft = ""


@contextmanager
def plain_output_on_dumb_terminal(out: TextIO) -> Iterator[None]:
    """Have prompts write plain text in this block, if the terminal understands nothing else."""
    if os.environ.get("TERM", "").lower() not in DUMB_TERMINALS:
        yield
        return
    with create_app_session(output=PlainTextOutput(out)):
        yield


class _SharedHistory(FileHistory):
    """The file of prompts that all windows share, read again for each prompt."""

    def __init__(self, filename: str, pastes: Pastes) -> None:
        super().__init__(filename)
        self._pastes = pastes
        self._newest_first: list[str] = []

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield the prompts as lines, newest first, those of other windows among them."""
        self._newest_first = list(self.load_history_strings())
        for string in self._newest_first:
            yield self._pastes.fold(self._pastes.refold(string))

    def get_strings(self) -> list[str]:
        """Return the prompts, oldest first."""
        return self._newest_first[::-1]

    def append_string(self, string: str) -> None:
        """Add a prompt."""
        string = self._pastes.unfold(string)
        self._newest_first.insert(0, string)
        self.store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Return the prompts, newest first; none when the file cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Write a prompt to the file, if that is possible: the disk may be full."""
        with suppress(OSError):
            super().store_string(mend(string))


class _OwnHistory(InMemoryHistory):
    """The prompts of this chat only, in memory."""

    def __init__(self, pastes: Pastes) -> None:
        super().__init__()
        self._pastes = pastes

    def append_string(self, string: str) -> None:
        """Add a prompt."""
        super().append_string(self._pastes.unfold(string))

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield the prompts as lines, newest first."""
        async for string in super().load():
            yield self._pastes.fold(self._pastes.refold(string))


def open_history(pastes: Pastes, *, save: bool) -> History:
    """Return the history of all windows; one in memory when its file cannot be written, or not `save`."""
    if not save:
        return _OwnHistory(pastes)
    file = paths.prompt_history_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return _SharedHistory(str(file), pastes)
    return _OwnHistory(pastes)
