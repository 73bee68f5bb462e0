"""The room a chat takes place in: what slash commands act on.

Holds the open program, the session, what is attached to the next prompt, and the last turn; asks,
and shows what comes. Commands decide what is asked; nothing here reads the keyboard at the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.attachments import attach
from bot.errors import FailureKind, MoaError, UsageError
from bot.mixture import Control
from bot.repl.keyboard import Keyboard
from bot.turn import interrupts, show, view_for

if TYPE_CHECKING:
    from prompt_toolkit.input import Input

    from bot.cli.streams import Streams
    from bot.events import TurnResult
    from bot.program import Program
    from bot.session import Session
    from bot.settings.settings import Settings


@dataclass(slots=True)
class Spent:
    """What this window has spent: dollars as far as they are known, tokens, turns without a price."""

    dollars: float = 0.0
    tokens: int = 0
    unpriced: int = 0

    def add(self, result: TurnResult) -> None:
        """Count a turn."""
        usage = result.usage
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        if result.cost is None:
            self.unpriced += 1
        else:
            self.dollars += result.cost


@dataclass(slots=True)
class Room:
    """A chat in progress. `terminal_in` is the keyboard, None where tests do without."""

    program: Program
    session: Session
    streams: Streams
    terminal_in: Input | None = None
    files: list[Path] = field(default_factory=list)
    prompt: str = ""
    result: TurnResult | None = None
    spent: Spent = field(default_factory=Spent)
    draft: str = ""
    expanded: bool = False

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.program.settings

    def say(self, text: str) -> None:
        """Tell the user something that is not a reply."""
        self.streams.say(text)

    def tell(self, error: MoaError) -> None:
        """Tell the user what went wrong and what can be done."""
        self.say(error.message)
        for hint in error.hint.splitlines():
            self.say(f"  {hint}")

    def change(self, changes: Mapping[str, object]) -> None:
        """Change options from the next prompt on; UsageError leaves all as it was."""
        self.program.change(changes)
        self.session.adapt(self.program.mixture(), self.settings)

    async def ask(self, prompt: str, *, aggregator: str | None = None) -> None:
        """Ask, with what is attached, and show the reply; `aggregator` writes this one reply only."""
        text = attach(prompt, self.files)
        self.files.clear()
        usual = self.session.mixture
        if aggregator is not None:
            self.session.mixture = self.program.mixture({"aggregator": aggregator})
        try:
            await self._turn(text)
        finally:
            if aggregator is not None:
                self.session.mixture = usual

    def last_prompt(self) -> str:
        """Return what was asked last; UsageError when nothing was."""
        if not self.prompt:
            raise UsageError("Nothing was asked yet.")
        return self.prompt

    def last_reply(self) -> str:
        """Return the last reply; UsageError when there is none."""
        replies = [message.content for message in self.session.history if message.role == "assistant"]
        if not replies:
            raise UsageError("There is no reply yet.")
        return replies[-1]

    async def _turn(self, prompt: str) -> None:
        self.prompt = prompt
        control = Control()
        view = view_for(self.settings, self.streams, self.session, keep=True)
        if self.expanded:
            view.expand()
        keyboard = Keyboard(self.terminal_in, control, view)
        with interrupts(keyboard.interrupt), keyboard.listening():
            self.result = await show(self.session, prompt, view, self.program.log, control, keyboard.follow)
        self.spent.add(self.result)
        if self.result.failure is not None and self.result.failure.kind is FailureKind.KEY_REFUSED:
            self.say(
                "  `moa-bot config show` says where the key comes from; `moa-bot keys set` takes another."
            )
