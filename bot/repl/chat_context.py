"""The room a chat takes place in: what slash commands act on.

Holds the open program, the session, what is attached to the next prompt, and the last turn; asks,
and shows what comes. Commands decide what is asked; nothing here reads the keyboard at the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.attachments import attach
from bot.app.signals import handle_signals
from bot.app.turn import show, view_for
from bot.errors import FailureKind, MoaError, UsageError
from bot.method.mixture import CancelToken
from bot.repl.command_syntax import is_command
from bot.repl.layout import columns, fitted
from bot.repl.turn_keyboard import Keyboard

if TYPE_CHECKING:
    from rich.console import Console

    from bot.app.app import App
    from bot.app.session import Session
    from bot.app.streams import Streams
    from bot.events import TurnResult
    from bot.render.log_sink import LogSink
    from bot.repl.terminal import Terminal
    from bot.settings.settings import Settings
    from bot.store import Turn


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
class ChatContext:
    """A chat in progress.

    `aside` is where the log is shown, if it is. `prompt` is what was asked last in this
    conversation, "" when that is the end of the session's history; `result` is what came of it,
    None when that is not known (yet). `draft` is to stand in the next line.
    """

    app: App
    session: Session
    streams: Streams
    terminal: Terminal
    log_sink: LogSink
    files: list[Path] = field(default_factory=list)
    prompt: str = ""
    result: TurnResult | None = None
    spent: Spent = field(default_factory=Spent)
    draft: str = ""
    expanded: bool = False

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.app.settings

    def say(self, text: str) -> None:
        """Tell the user something that is not a reply."""
        say(text, self.streams, self.terminal)

    def say_list(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Tell the user a list of two columns."""
        self.say(columns(pairs, self.terminal.width))

    def console(self) -> Console:
        """Return a console on stdout, for what is styled or is Markdown."""
        from rich.console import Console

        width = self.terminal.width if self.streams.stdout_is_terminal else None
        return Console(file=self.streams.stdout, width=width, highlight=False, markup=False, emoji=False)

    def tell(self, error: MoaError) -> None:
        """Tell the user what went wrong and what can be done."""
        self.say(error.message)
        for hint in error.hint.splitlines():
            self.say(f"  {hint}")

    def change(self, changes: Mapping[str, object]) -> None:
        """Change options from the next prompt on; UsageError leaves all as it was."""
        self.app.change(changes)
        self.session.change_mixture(self.app.mixture(), self.settings)

    async def ask(self, prompt: str, *, aggregator: str | None = None) -> None:
        """Ask, with what is attached, and show the reply; `aggregator` writes this one reply only."""
        text = attach(prompt, self.files)
        self.files.clear()
        usual = self.session.mixture
        if aggregator is not None:
            self.session.mixture = self.app.mixture({"aggregator": aggregator})
        try:
            await self._turn(text)
        finally:
            if aggregator is not None:
                self.session.mixture = usual

    def offer(self, prompt: str) -> None:
        """Put a prompt into the next line, to be changed and asked by the user."""
        self.draft = "/" + prompt if is_command(prompt) or prompt.startswith("//") else prompt

    def last_prompt(self) -> str:
        """Return what was asked last; UsageError when nothing was."""
        asked = [message.content for message in self.session.history if message.role == "user"]
        if not (self.prompt or asked):
            raise UsageError("Nothing was asked yet.")
        return self.prompt or asked[-1]

    @property
    def answered(self) -> bool:
        """Whether what was asked last has a reply, which is the end of the session's history."""
        return not self.prompt or (self.result is not None and bool(self.result.reply))

    def last_reply(self) -> str:
        """Return the last reply; UsageError when there is none."""
        replies = [message.content for message in self.session.history if message.role == "assistant"]
        if not replies:
            raise UsageError("There is no reply yet.")
        return replies[-1]

    def turns(self) -> Sequence[Turn]:
        """Return the turns that are kept of this conversation, without those taken back."""
        store, identifier = self.app.store, self.session.conversation_id
        if store is None or identifier is None:
            return ()
        return [turn for turn in store.turns(identifier) if turn.status != "undone"]

    def recall(self) -> None:
        """Take up a kept conversation where it stopped: a last prompt without a reply can be retried."""
        last = next(reversed(self.turns()), None)
        self.result = None
        self.prompt = last.prompt if last is not None and not last.reply else ""

    async def _turn(self, prompt: str) -> None:
        self.prompt, self.result = prompt, None
        cancel_token = CancelToken()
        view = view_for(self.settings, self.streams, self.session, keep=True)
        if self.expanded:
            view.toggle_answers()
        if self.streams.stderr_is_terminal and not self.settings.quiet:
            self.say("")
        keyboard = Keyboard(self.terminal, cancel_token, view)
        with handle_signals(keyboard.interrupt, ("SIGINT",)), keyboard.listening():
            self.result = await show(
                self.session,
                prompt,
                view,
                self.app.log,
                cancel_token,
                log_sink=self.log_sink,
                follow=keyboard.follow,
            )
        self.spent.add(self.result)
        if self.result.failure is not None and self.result.failure.kind is FailureKind.KEY_REFUSED:
            self.say(
                "  `moa-bot config show` says where the key comes from; `moa-bot keys set` takes another."
            )


def say(text: str, streams: Streams, terminal: Terminal) -> None:
    """Write text to stderr, sanitised; on a terminal its lines are broken at words."""
    streams.say(fitted(text, terminal.width if streams.stderr_is_terminal else _NO_LIMIT))


_NO_LIMIT = 1 << 20
