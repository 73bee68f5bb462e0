"""Reads what the user types: one prompt at a time, of as many lines as it has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from bot.repl.key_bindings import key_bindings, unquote
from bot.settings import paths
from bot.text.sanitise import mend

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

DUMB = ("dumb", "unknown")
"""Values of $TERM for terminals that know no codes."""
CONTINUATION = "... "
HINT = "  Ctrl-D leaves."
STYLE = {
    "bottom-toolbar": "noreverse fg:default",
    "bottom-toolbar.text": "noreverse",
    "auto-suggestion": "fg:ansibrightblack italic",
    "prompt": "bold fg:ansicyan",
}


class Line:
    """The `>>>` prompt.

    `say` tells the user a line; `bar` returns the bottom bar; with `suggest` earlier prompts are
    suggested while one types. `keys` and `screen` are the process's
    own terminal unless given.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        completer: Completer | None = None,
        bar: Callable[[], StyleAndTextTuples] | None = None,
        suggest: bool = True,
        vi: bool = False,
        keys: Input | None = None,
        screen: Output | None = None,
    ) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
        from prompt_toolkit.enums import EditingMode
        from prompt_toolkit.styles import Style

        self._say = say
        self._session: PromptSession[str] = PromptSession(
            history=_history(),
            auto_suggest=AutoSuggestFromHistory() if suggest else None,
            completer=completer,
            complete_while_typing=False,
            key_bindings=key_bindings(),
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            enable_open_in_editor=True,
            enable_suspend=True,
            multiline=True,
            prompt_continuation=CONTINUATION,
            bottom_toolbar=bar,
            style=Style.from_dict(STYLE),
            reserve_space_for_menu=4 if completer else 0,
            tempfile_suffix=".md",
            input=keys,
            output=screen,
        )

    @property
    def keys(self) -> Input:
        """The keyboard."""
        return self._session.input

    @property
    def screen(self) -> Output:
        """The window."""
        return self._session.output

    async def read(self, draft: str = "") -> str | None:
        """Return the next prompt, None at the end of input. Blank lines are passed over.

        `draft` stands in the line to begin with.
        """
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
            # Bytes that are no UTF-8 come as lone surrogates, which nothing can write.
            text = unquote(mend(text))
            if text.strip():
                return text
            draft = ""


@contextmanager
def without_codes(out: TextIO) -> Iterator[None]:
    """Have prompts write plain text only while the block runs, where the terminal knows nothing else."""
    if os.environ.get("TERM", "").lower() not in DUMB:
        yield
        return
    from prompt_toolkit.application.current import create_app_session
    from prompt_toolkit.output.plain_text import PlainTextOutput

    with create_app_session(output=PlainTextOutput(out)):
        yield


def _history() -> History:
    """Return the history that all windows share; one in memory where no file can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class SharedHistory(FileHistory):
        """Read anew for each prompt, so that what another window asked is there too."""

        async def load(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - prompt_toolkit's own
            self._loaded = False
            async for text in super().load():
                yield text

        def load_history_strings(self) -> Iterable[str]:
            """Return the prompts, newest first; none when the file cannot be read."""
            try:
                return list(super().load_history_strings())
            except OSError:
                return []

        def store_string(self, string: str) -> None:
            """Keep a prompt; a full disk is no reason to stop."""
            with suppress(OSError):
                super().store_string(mend(string))

    file = paths.prompt_history_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return SharedHistory(str(file))
    return InMemoryHistory()
