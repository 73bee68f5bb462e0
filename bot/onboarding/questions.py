"""Asks a person: one plain question at a time, on the terminal, with ways out at every one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.text.nearest import nearest_name

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from bot.app.streams import Streams


class Skipped(Exception):  # noqa: N818 - not an error: the person would rather not
    """The person goes out: Ctrl-D, Ctrl-C, or nothing typed where nothing is not an answer."""


class Questions:
    """A person at a terminal. `terminal_in` and `terminal_out` are for tests without one."""

    def __init__(
        self, streams: Streams, terminal_in: Input | None = None, terminal_out: Output | None = None
    ) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import DummyHistory

        self.say = streams.say
        # No history: what is typed here may be a key.
        self._session: PromptSession[str] = PromptSession(
            history=DummyHistory(), input=terminal_in, output=terminal_out
        )

    def ask(self, question: str, *, secret: bool = False) -> str:
        """Return what is typed, without the blanks around it. Skipped on Ctrl-D and Ctrl-C."""
        try:
            return self._session.prompt(f"{question} ", is_password=secret).strip()
        except (EOFError, KeyboardInterrupt):
            raise Skipped from None

    def choose(self, question: str, choices: Sequence[tuple[str, str]], default: str = "") -> str:
        """Return the name of one of the choices (name, description), by number or by name.

        Nothing typed is the default, and Skipped where there is none.
        """
        for number, (_, description) in enumerate(choices, start=1):
            self.say(f"  {number}  {description}")
        names = [name for name, _ in choices]
        shown = f" [{names.index(default) + 1}]" if default else ""
        while True:
            answer = self.ask(f"{question}{shown}")
            if not answer and not default:
                raise Skipped
            if not answer:
                return default
            if answer.isdecimal() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            if answer in names or (answer := nearest_name(answer, names)):
                return answer
            self.say(f"A number from 1 to {len(names)}, please; Ctrl-D leaves.")
