"""The terminal during a chat: its mode, its size, and what was typed before the first prompt.

Between two prompts the terminal would echo what is typed into the middle of a reply, turn Enter into
Ctrl-J, and end the program at Ctrl-C. So the chat keeps it in another mode all the time, and restores
the original one for the editor and the shell. What the keys do is in `key_bindings` (at the prompt)
and in `turn_keyboard` (during a turn).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from select import select
from types import TracebackType
from typing import Any, Self

from prompt_toolkit.input import Input
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.utils import is_dumb_terminal

from bot.render.window import (
    FOCUS_IN,
    FOCUS_OUT,
    KEEP_TITLE,
    NO_FOCUS_REPORTS,
    REPORT_FOCUS,
    RESTORE_TITLE,
    has_window,
    set_title,
)
from bot.repl.background import QUESTION, Background, BackgroundQuestion

try:
    import termios
except ImportError:  # Windows: its console has no such modes
    termios = None  # type: ignore[assignment]  # there is no stub for "not there"

Mode = list[Any]
"""The attributes of termios: [iflag, oflag, cflag, lflag, …]."""

# Without this, the reports would be read as Escape and two letters. At the prompt they are ignored.
for _report in (FOCUS_IN, FOCUS_OUT):
    ANSI_SEQUENCES.setdefault(_report, Keys.Ignore)

_INPUT, _LOCAL = 0, 3
_WIDTH = 80


class Terminal:
    """Sets the mode of the terminal at `descriptor` for a block; does nothing if that is no terminal.

    `input` and `output` are set by `attach`.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._original_mode: Mode | None = None
        self._typed_early = ""
        self._titled = False
        self._question: BackgroundQuestion | None = None
        self.input: Input | None = None
        self.output: Output | None = None
        self.in_front = True
        """Whether the user looks at this window, as far as the terminal reports it during turns."""
        self.typed_ahead = False
        """Whether the next prompt was typed during the last turn."""

    def __enter__(self) -> Self:
        """Switch off echo and line editing; Ctrl-C remains a signal until `attach`."""
        self._original_mode = self._get_mode()
        if self._original_mode is not None:
            self._set_mode(_raw_mode(self._original_mode, signals=True))
            self._typed_early = self._read_typed_early()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the original mode and the title; what the terminal was asked does not reach the shell."""
        if self._question is not None:
            self._read_answers(self._question)
        if self._titled:
            self.send(RESTORE_TITLE)
        self._set_mode(self._original_mode)

    def attach(self, input_: Input, output: Output) -> None:
        """Make Ctrl-C a key like others, and begin the first prompt with what was typed before it."""
        self.input, self.output = input_, output
        if self._original_mode is not None:
            self._set_mode(_raw_mode(self._original_mode, signals=False))
        self._put_before_prompt(self._typed_early)
        self._typed_early = ""

    @property
    def width(self) -> int:
        """The window's width in cells."""
        return self.output.get_size().columns if self.output else _WIDTH

    @property
    def is_dumb(self) -> bool:
        """Whether it understands no escape sequences."""
        return self.output is None or is_dumb_terminal()

    def clear(self) -> None:
        """Clear the window."""
        if self.output is not None and not self.is_dumb:
            self.output.erase_screen()
            self.output.cursor_goto(0, 0)
            self.output.flush()

    def send(self, sequence: str) -> None:
        """Write an escape sequence, or a bell."""
        if self.output is not None:
            with suppress(OSError):  # the window is gone
                self.output.write_raw(sequence)
                self.output.flush()

    def ask_background(self, answered: Callable[[Background], None], *, wait: bool) -> None:
        """Ask whether the background is light; `answered` is called when the answer has come.

        That is at the prompt; with `wait` now, if it comes in a moment. To be called after `attach`.
        """
        parser = getattr(self.input, "vt100_parser", None)
        if parser is None or not has_window() or self.is_dumb:
            return
        self._question = question = BackgroundQuestion(answered)
        feed, flush = parser.feed, parser.flush
        parser.feed = lambda data: feed(question.feed(data))

        def flush_all() -> None:
            feed(question.release())
            flush()

        parser.flush = flush_all
        self.send(QUESTION)
        if wait:
            self._put_before_prompt(self._read_answers(question))

    def _read_answers(self, question: BackgroundQuestion) -> str:
        """Read until the terminal has answered, or the time is over; returns what else was typed."""
        typed = ""
        while self._descriptor is not None and (left := question.seconds_left):
            if not select([self._descriptor], [], [], left)[0]:
                break
            with suppress(OSError):
                if data := os.read(self._descriptor, 4096):
                    typed += question.feed(data.decode(errors="replace"))
                    continue
            break
        return typed

    def set_title(self, text: str) -> None:
        """Give the window a title, until the chat ends."""
        if has_window() and not self.is_dumb:
            self.send(("" if self._titled else KEEP_TITLE) + set_title(text))
            self._titled = True

    @contextmanager
    def turn_modes(self) -> Iterator[None]:
        """Receive pastes in one piece, and reports of the window's focus, while the block runs."""
        if self.output is None or self.is_dumb:
            yield
            return
        self._set_turn_modes(on=True)
        try:
            yield
        finally:
            self._set_turn_modes(on=False)

    def _set_turn_modes(self, *, on: bool) -> None:
        if self.output is None or self.is_dumb:
            return
        if on:
            self.output.enable_bracketed_paste()
        else:
            self.output.disable_bracketed_paste()
        if has_window():
            self.output.write_raw(REPORT_FOCUS if on else NO_FOCUS_REPORTS)
        self.output.flush()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Restore the original mode while the block runs."""
        before = self._get_mode()
        self._set_mode(self._original_mode)
        try:
            yield
        finally:
            self._set_mode(before)

    def suspend(self) -> None:
        """Stop the program and its workers until the shell's `fg`; does nothing without job control."""
        stop = getattr(signal, "SIGTSTP", None)
        if stop is None or self._original_mode is None:
            return
        with self.released():
            self._set_turn_modes(on=False)
            os.kill(0, stop)
            self._set_turn_modes(on=True)

    def _get_mode(self) -> Mode | None:
        if termios is None or self._descriptor is None:
            return None
        try:
            return termios.tcgetattr(self._descriptor)
        except termios.error:
            return None

    def _set_mode(self, mode: Mode | None) -> None:
        if mode is None or self._descriptor is None:
            return
        with suppress(termios.error):  # the window is gone
            termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def _read_typed_early(self) -> str:
        """Return what was typed before the mode was set.

        It has been through the terminal's line editing, which turns Enter into Ctrl-J, and Ctrl-D into
        an end of file that is read as a NUL.
        """
        typed = b""
        with suppress(OSError):
            while self._descriptor is not None and select([self._descriptor], [], [], 0)[0]:
                chunk = os.read(self._descriptor, 4096)
                typed += chunk
                if not chunk:
                    break
        return typed.decode(errors="replace").replace("\n", "\r").replace("\0", "\x04")

    def _put_before_prompt(self, typed: str) -> None:
        """Put what was typed into the first prompt."""
        if not typed or self.input is None:
            return
        presses: list[KeyPress] = []
        parser = Vt100Parser(presses.append)
        parser.feed(typed)
        parser.flush()
        store_typeahead(self.input, presses)


def _raw_mode(original: Mode, *, signals: bool) -> Mode:
    """Return a mode without echo and line editing, in which Enter does not become Ctrl-J."""
    mode = [*original[:-1], list(original[-1])]
    off = termios.ECHO | termios.ICANON | termios.IEXTEN | (0 if signals else termios.ISIG)
    mode[_LOCAL] &= ~off
    mode[_INPUT] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
    mode[-1][termios.VMIN], mode[-1][termios.VTIME] = 1, 0
    return mode
