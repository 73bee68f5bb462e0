"""What is seen of a turn from another window: the terminal's title, and a notification at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.events import AggregatorStarted, JudgeStarted, RoundStarted
from bot.render import window
from bot.render.turn_text import round_title
from bot.store.names import title_from
from bot.text.numbers import duration

if TYPE_CHECKING:
    from bot.app.session import Session
    from bot.events import Event
    from bot.repl.terminal import Terminal
    from bot.settings.settings import Settings
    from bot.turn_result import TurnResult

_PROGRAM = "moa-bot"


class TurnSignals:
    """Follows one turn of a session. With --quiet and --plain the title stays as it is."""

    def __init__(self, terminal: Terminal, session: Session, settings: Settings, prompt: str) -> None:
        self._terminal, self._session, self._settings = terminal, session, settings
        self._prompt = prompt

    def handle_event(self, event: Event) -> None:
        """Say in the title what goes on."""
        match event:
            case RoundStarted(number, rounds, slots):
                self._set_title(round_title(number, rounds, slots))
            case JudgeStarted():
                self._set_title("comparing")
            case AggregatorStarted():
                self._set_title("writing")

    def end(self, result: TurnResult) -> None:
        """Say in the title how the turn ended, and notify the user where that is wanted."""
        self._set_title("✓" if result.reply else "✗")
        wanted = self._settings.notify
        away = wanted == "always" or (wanted == "auto" and not self._terminal.in_front)
        if away and result.seconds > window.NOTIFY_AFTER:
            what = "reply" if result.reply else "no reply"
            self._terminal.send(
                window.notification(f"{what} after {duration(result.seconds)}: {self._conversation}")
            )

    @property
    def _conversation(self) -> str:
        conversation = self._session.conversation
        return conversation.title if conversation else title_from(self._prompt)

    def _set_title(self, state: str) -> None:
        if not (self._settings.quiet or self._settings.plain):
            separator = " " if len(state) == 1 else " · "
            self._terminal.set_title(f"{state}{separator}{self._conversation} · {_PROGRAM}")
