"""Asks questions on the terminal, one at a time; each can be cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.history import DummyHistory

from bot.text.nearest import nearest_name

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.streams import Streams


class UserCancelledError(Exception):
    """The user cancelled: Ctrl-D, Ctrl-C, or an empty answer where there is no default."""


class Questions:
    """A user at a terminal. `terminal_in` and `terminal_out` are for tests without one."""

    def __init__(
        self, streams: Streams, terminal_in: Input | None = None, terminal_out: Output | None = None
    ) -> None:
        self.say = streams.say
        # No history, because an answer may be a key.
        self._session: PromptSession[str] = PromptSession(
            history=DummyHistory(), input=terminal_in, output=terminal_out
        )

    def ask(self, question: str, *, secret: bool = False) -> str:
        """Return the answer, stripped. UserCancelledError on Ctrl-D and Ctrl-C."""
        try:
            return self._session.prompt(f"{question} ", is_password=secret).strip()
        except (EOFError, KeyboardInterrupt):
            raise UserCancelledError from None

    def choose(self, question: str, choices: Sequence[tuple[str, str]], default: str = "") -> str:
        """Return the name of one of the choices (name, description), chosen by number or by name.

        An empty answer is the default; without one, UserCancelledError is raised.
        """
        for number, (_, description) in enumerate(choices, start=1):
            self.say(f"  {number}  {description}")
        names = [name for name, _ in choices]
        shown = f" [{names.index(default) + 1}]" if default else ""
        while True:
            answer = self.ask(f"{question}{shown}")
            if not answer and not default:
                raise UserCancelledError
            if not answer:
                return default
            if answer.isdecimal() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            if answer in names or (answer := nearest_name(answer, names)):
                return answer
            self.say(f"Please enter a number from 1 to {len(names)} (Ctrl-D quits).")
