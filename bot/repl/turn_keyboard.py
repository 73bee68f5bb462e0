"""The keyboard while a turn runs: Ctrl-C, Ctrl-O, Ctrl-Z; other keys are kept for the next prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from bot.events import AggregatorStarted, Event, RoundStarted
from bot.render.window import FOCUS_IN, FOCUS_OUT
from bot.repl.permission_question import PermissionQuestion

if TYPE_CHECKING:
    from bot.method.mixture import CancelToken
    from bot.render.view import View
    from bot.repl.terminal import Terminal


class TurnKeyboard:
    """Reads keys during one turn; without a keyboard, Ctrl-C is only a signal.

    `question` asks whether tools may run; `say` prints a line of it.
    """

    def __init__(
        self, terminal: Terminal, cancel_token: CancelToken, view: View, say: Callable[[str], None] = print
    ) -> None:
        self._terminal, self._cancel_token, self._view = terminal, cancel_token, view
        self._typed: list[KeyPress] = []
        self.question = PermissionQuestion(say, self._typed.append)
        self._replying = self._over = False

    def handle_event(self, event: Event) -> None:
        """Note how far the turn is: Ctrl-C does something else once the reply, or a draft, is written."""
        if isinstance(event, AggregatorStarted):
            self._replying = True
        elif isinstance(event, RoundStarted):
            self._replying = False  # a review of the draft

    def interrupt(self) -> None:
        """Handle Ctrl-C: first stop waiting for references; then, or during the reply, stop the turn."""
        if self._replying or self._cancel_token.round_cut:
            self._cancel_token.stop()
        else:
            self._cancel_token.cut_round()

    @property
    def typed(self) -> bool:
        """Whether something was typed for the next prompt."""
        return bool(self._typed)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Read keys while the block runs; other typed keys are put into the next prompt."""
        keyboard = self._terminal.input
        if keyboard is None:
            yield
            return
        if not self._terminal.typed_ahead:
            self._terminal.in_front = True  # the prompt was typed just now
        # What was typed after the prompt and before this turn.
        self._handle_keys(get_typeahead(keyboard))
        try:
            with ExitStack() as stack:
                stack.enter_context(keyboard.raw_mode())
                stack.enter_context(self._terminal.turn_modes())
                stack.enter_context(keyboard.attach(self._read))
                yield
        finally:
            self._over = True
            self._read()
            self._handle_keys(keyboard.flush_keys())
            self._terminal.typed_ahead = any(press.key == Keys.Enter for press in self._typed)
            store_typeahead(keyboard, self._typed)

    def _read(self) -> None:
        keyboard = self._terminal.input
        if keyboard is not None and not keyboard.closed:
            self._handle_keys(keyboard.read_keys())

    def _handle_keys(self, presses: list[KeyPress]) -> None:
        for press in presses:
            if self._over and press.key in {Keys.ControlC, Keys.ControlO, Keys.ControlZ}:
                continue  # meant for a turn that has ended
            if press.key == Keys.ControlC:
                self.interrupt()
            elif press.key == Keys.ControlO:
                self._view.toggle_answers()
            elif press.key == Keys.ControlZ:
                self._view.clear_live_rows()
                self._terminal.suspend()
            elif press.data in {FOCUS_IN, FOCUS_OUT}:
                self._terminal.in_front = press.data == FOCUS_IN
            elif press.key in {Keys.CPRResponse, Keys.SIGINT, Keys.Ignore}:
                continue
            elif self._over:
                self._typed.append(press)
            else:
                self.question.press(press)
