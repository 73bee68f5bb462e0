"""The terminal as a chat holds it from beginning to end: its mode, its size, what was typed early.

While no prompt is open nobody edits a line. Left alone, the terminal would then echo what is typed
into the middle of a reply, turn Enter into Ctrl-J, and end the program at Ctrl-C. So it is held in
a mode of ours all the time, and given back for the editor and the shell. What the keys mean is
`keys` (at the prompt) and `keyboard` (during a turn).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

try:
    import termios
except ImportError:  # Windows: its console has no such modes
    termios = None  # type: ignore[assignment]  # there is no stub for "not there"

Mode = list[Any]
"""What termios calls the attributes: [iflag, oflag, cflag, lflag, …]."""

_INPUT, _LOCAL = 0, 3
_WIDTH = 80


class Terminal:
    """Holds the terminal at `descriptor` as a context manager; None, or no terminal there: nothing to hold.

    `keys` and `screen` are there once `attach` has been called.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._found: Mode | None = None
        self._early = ""
        self.keys: Input | None = None
        self.screen: Output | None = None

    def __enter__(self) -> Self:
        """Switch off echo and line editing; Ctrl-C still is a signal while the program opens."""
        self._found = self._mode()
        if self._found is not None:
            self._take(_without_lines(self._found, signals=True))
            self._early = self._queued()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was found."""
        self._take(self._found)

    def attach(self, keys: Input, screen: Output) -> None:
        """Be ready for prompts: Ctrl-C is a key from now on; what was typed early begins the first."""
        self.keys, self.screen = keys, screen
        if self._found is not None:
            self._take(_without_lines(self._found, signals=False))
        self._keep(self._early)
        self._early = ""

    @property
    def width(self) -> int:
        """The window's width in cells."""
        return self.screen.get_size().columns if self.screen else _WIDTH

    @property
    def bare(self) -> bool:
        """Whether it understands no codes, so that none may be sent."""
        from prompt_toolkit.utils import is_dumb_terminal

        return self.screen is None or is_dumb_terminal()

    def clear(self) -> None:
        """Clear the window."""
        if self.screen is not None and not self.bare:
            self.screen.erase_screen()
            self.screen.cursor_goto(0, 0)
            self.screen.flush()

    @contextmanager
    def pasting(self) -> Iterator[None]:
        """Have pasted text come in one piece while the block runs, as at the prompt."""
        if self.screen is None or self.bare:
            yield
            return
        self.screen.enable_bracketed_paste()
        self.screen.flush()
        try:
            yield
        finally:
            self.screen.disable_bracketed_paste()
            self.screen.flush()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Give the terminal back as it was found while the block runs."""
        held = self._mode()
        self._take(self._found)
        try:
            yield
        finally:
            self._take(held)

    def suspend(self) -> None:
        """Stop the program and its workers until the shell's `fg`; nothing without job control."""
        stop = getattr(signal, "SIGTSTP", None)
        if stop is None or self._found is None:
            return
        with self.released():
            if self.screen is not None and not self.bare:
                self.screen.disable_bracketed_paste()
                self.screen.flush()
            os.kill(0, stop)
            if self.screen is not None and not self.bare:
                self.screen.enable_bracketed_paste()
                self.screen.flush()

    def _mode(self) -> Mode | None:
        if termios is None or self._descriptor is None:
            return None
        try:
            return termios.tcgetattr(self._descriptor)
        except termios.error:
            return None

    def _take(self, mode: Mode | None) -> None:
        if mode is None or self._descriptor is None:
            return
        with suppress(termios.error):  # the window is gone
            termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def _queued(self) -> str:
        """Return what was typed before the terminal was ours.

        It went through the terminal's own line editing, which made Ctrl-J of every Enter, and an
        end of file, kept as a NUL, of Ctrl-D.
        """
        from select import select

        typed = b""
        with suppress(OSError):
            while self._descriptor is not None and select([self._descriptor], [], [], 0)[0]:
                chunk = os.read(self._descriptor, 4096)
                typed += chunk
                if not chunk:
                    break
        return typed.decode(errors="replace").replace("\n", "\r").replace("\0", "\x04")

    def _keep(self, typed: str) -> None:
        """Have the first prompt begin with what was typed."""
        if not typed or self.keys is None:
            return
        from prompt_toolkit.input.typeahead import store_typeahead
        from prompt_toolkit.input.vt100_parser import Vt100Parser
        from prompt_toolkit.key_binding import KeyPress

        presses: list[KeyPress] = []
        parser = Vt100Parser(presses.append)
        parser.feed(typed)
        parser.flush()
        store_typeahead(self.keys, presses)


def _without_lines(found: Mode, *, signals: bool) -> Mode:
    """Return a mode without echo and line editing, in which Enter is not made Ctrl-J."""
    mode = [*found[:-1], list(found[-1])]
    off = termios.ECHO | termios.ICANON | termios.IEXTEN | (0 if signals else termios.ISIG)
    mode[_LOCAL] &= ~off
    mode[_INPUT] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
    mode[-1][termios.VMIN], mode[-1][termios.VTIME] = 1, 0
    return mode
