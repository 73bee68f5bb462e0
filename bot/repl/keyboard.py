"""The keyboard while a turn runs: Ctrl-C, Ctrl-O, Ctrl-Z; all else is kept for the next prompt.

The terminal is in raw mode meanwhile, so that what is typed does not mix with the reply, and is
there, unchanged, when the prompt comes back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bot.events import AggregatorStarted

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyPress

    from bot.mixture import Control
    from bot.render.view import View


class Keyboard:
    """Listens during one turn. Without `terminal_in` (a test, a pipe) there is only Ctrl-C's signal."""

    def __init__(self, terminal_in: Input | None, control: Control, view: View) -> None:
        self._input, self._control, self._view = terminal_in, control, view
        self._typed: list[KeyPress] = []
        self._replying = False

    def follow(self, event: object) -> None:
        """Learn how far the turn is: a Ctrl-C means something else once the aggregator was asked."""
        if isinstance(event, AggregatorStarted):
            self._replying = True

    def interrupt(self) -> None:
        """Take a Ctrl-C: first stop waiting for references; then, or in the reply, stop the turn."""
        if self._replying or self._control.hurried:
            self._control.stop()
        else:
            self._control.hurry()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Read keys while the block runs; afterwards what was typed waits for the prompt."""
        if self._input is None:
            yield
            return
        from prompt_toolkit.input.typeahead import store_typeahead

        try:
            with ExitStack() as stack:
                stack.enter_context(self._input.raw_mode())
                stack.enter_context(self._input.attach(self._read))
                yield
        finally:
            self._read()
            self._take(self._input.flush_keys())
            store_typeahead(self._input, self._typed)

    def _read(self) -> None:
        if self._input is not None and not self._input.closed:
            self._take(self._input.read_keys())

    def _take(self, presses: list[KeyPress]) -> None:
        from prompt_toolkit.keys import Keys

        for press in presses:
            if press.key == Keys.ControlC:
                self.interrupt()
            elif press.key == Keys.ControlO:
                self._view.expand()
            elif press.key == Keys.ControlZ:
                self._suspend()
            elif press.key not in {Keys.CPRResponse, Keys.SIGINT, Keys.Ignore}:
                self._typed.append(press)

    def _suspend(self) -> None:
        """Stop until the shell's `fg`; the models' answers wait in their pipes."""
        stop = getattr(signal, "SIGTSTP", None)
        if stop is None or self._input is None:
            return
        with self._input.cooked_mode():
            os.kill(0, stop)
