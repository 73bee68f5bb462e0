"""The keyboard while a turn runs: Ctrl-C, Ctrl-O, Ctrl-Z; all else is kept for the next prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bot.events import AggregatorStarted, Event, Notice, RoundStarted

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyPress

    from bot.method.mixture import CancelToken
    from bot.render.view import View
    from bot.repl.terminal import Terminal

NOT_WAITING = "Not waiting any longer: the reply is made from what is there."


class Keyboard:
    """Listens during one turn. A terminal without keys (a pipe) leaves only Ctrl-C's signal."""

    def __init__(self, terminal: Terminal, cancel_token: CancelToken, view: View) -> None:
        self._terminal, self._cancel_token, self._view = terminal, cancel_token, view
        self._typed: list[KeyPress] = []
        self._last_round = self._replying = self._over = False

    def follow(self, event: Event) -> None:
        """Learn how far the turn is: a Ctrl-C means something else once the aggregator was asked."""
        if isinstance(event, RoundStarted):
            self._last_round = event.round == event.rounds
        elif isinstance(event, AggregatorStarted):
            self._replying = True

    def interrupt(self) -> None:
        """Take a Ctrl-C: first stop waiting for references; then, or in the reply, stop the turn."""
        if self._replying or self._cancel_token.round_cut:
            self._cancel_token.stop()
            return
        self._cancel_token.cut_round()
        if self._last_round:
            # In a round before the last, the mixture says that it leaves out the others.
            self._view.handle_event(Notice(NOT_WAITING))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Read keys while the block runs; afterwards what was typed waits for the prompt."""
        keys = self._terminal.keys
        if keys is None:
            yield
            return
        from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead

        # What was typed ahead of this turn, while the prompt before was being taken in.
        self._take(get_typeahead(keys))
        try:
            with ExitStack() as stack:
                stack.enter_context(keys.raw_mode())
                stack.enter_context(self._terminal.pasting())
                stack.enter_context(keys.attach(self._read))
                yield
        finally:
            self._over = True
            self._read()
            self._take(keys.flush_keys())
            store_typeahead(keys, self._typed)

    def _read(self) -> None:
        keys = self._terminal.keys
        if keys is not None and not keys.closed:
            self._take(keys.read_keys())

    def _take(self, presses: list[KeyPress]) -> None:
        from prompt_toolkit.keys import Keys

        for press in presses:
            if self._over and press.key in {Keys.ControlC, Keys.ControlO, Keys.ControlZ}:
                continue  # meant for a turn that is over by now
            if press.key == Keys.ControlC:
                self.interrupt()
            elif press.key == Keys.ControlO:
                self._view.toggle_answers()
            elif press.key == Keys.ControlZ:
                self._view.clear_live_rows()
                self._terminal.suspend()
            elif press.key not in {Keys.CPRResponse, Keys.SIGINT, Keys.Ignore}:
                self._typed.append(press)
