"""What slash commands act on: the open app, the session, what the next prompt takes along, the last turn.

It asks, and shows what comes. It does not read the keyboard at the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.attachments import Prompt
from bot.app.signals import handle_signals
from bot.app.turn import show, view_for
from bot.app.turn_budget import BudgetError, Spending
from bot.errors import FailureKind, MoaError, UsageError
from bot.messages import Attachment, image_attachment, images_of
from bot.method.mixture import CancelToken
from bot.render.live import console_on
from bot.repl.attaching import attach_files
from bot.repl.command_syntax import quote_prompt
from bot.repl.layout import print_wrapped, two_columns
from bot.repl.slow_models import explain_once
from bot.repl.turn_keyboard import TurnKeyboard
from bot.repl.turn_signals import TurnSignals

if TYPE_CHECKING:
    from rich.console import Console

    from bot.app.app import App
    from bot.app.session import Session
    from bot.app.streams import Streams
    from bot.events import Event
    from bot.method.mixture import Mixture
    from bot.render.log_sink import LogSink
    from bot.repl.terminal import Terminal
    from bot.settings.settings import Settings
    from bot.store import StoredTurn
    from bot.turn_result import Call, TurnResult


@dataclass(slots=True)
class ChatContext:
    """A chat in progress.

    `files` are attached to the next prompt; `draft` is in the line when the next prompt is typed.
    `prompt` is the last one of this conversation, with its `attachments`, and `result` its turn, None while
    that is not known; `prompt` is "" when the session's history ends with the last prompt and its reply.
    `expanded`: turns show the reference models' answers as they come. `explained` are slow models of which
    was said why.
    """

    app: App
    session: Session
    streams: Streams
    terminal: Terminal
    log_sink: LogSink
    files: list[Path] = field(default_factory=list)
    prompt: str = ""
    attachments: tuple[Attachment, ...] = ()
    result: TurnResult | None = None
    spent: Spending = field(default_factory=Spending)
    draft: str = ""
    expanded: bool = False
    explained: set[str] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.app.settings

    def say(self, text: str) -> None:
        """Print something that is not a reply, on stderr."""
        print_wrapped(text, self.streams, self.terminal)

    def say_list(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print a list of two columns."""
        self.say(two_columns(pairs, self.terminal.width))

    def console(self, *, messages: bool = False) -> Console:
        """Return a console for styled text and Markdown: on stdout, or on stderr for what is no reply."""
        streams = self.streams
        file = streams.stderr if messages else streams.stdout
        is_terminal = streams.stderr_is_terminal if messages else streams.stdout_is_terminal
        width = self.terminal.width if is_terminal else None
        return console_on(file, width)

    @property
    def can_pick(self) -> bool:
        """Whether a list to choose from can be shown."""
        shown = self.streams.stdout_is_terminal and self.streams.stderr_is_terminal
        return shown and not (self.settings.plain or self.terminal.is_dumb)

    async def pick(self, title: str, choices: Sequence[tuple[str, str]], current: str = "") -> str | None:
        """Have the user choose from a list of names; None when the user leaves it."""
        from bot.repl.picker import Picker  # noqa: PLC0415 - not on the way to the prompt

        terminal = self.terminal
        picker = Picker(
            title, choices, current=current, terminal_in=terminal.input, terminal_out=terminal.output
        )
        return await picker.choose()

    def recap(self, last: int, *, folded: bool = True) -> None:
        """Show the last turns of this conversation as they were seen; with `folded` a few rows of each."""
        from bot.repl.recap import show_turns  # noqa: PLC0415 - not on the way to the prompt

        store, turns = self.app.store, self.turns()[-last:]
        if store is not None and turns:
            shown = [(turn, store.calls(turn.id)) for turn in turns]
            show_turns(self.console(messages=True), shown, folded=folded, plain=self.settings.plain)

    def say_error(self, error: MoaError) -> None:
        """Print what went wrong and what can be done."""
        self.say(error.message)
        for hint in error.hint.splitlines():
            self.say(f"  {hint}")

    def change_options(self, changes: Mapping[str, object]) -> None:
        """Change options from the next prompt on; when UsageError is raised, nothing is changed."""
        self.app.change(changes)
        self.session.change_mixture(self.app.mixture(), self.settings)

    async def ask(
        self,
        prompt: str,
        *,
        mixture: Mixture | None = None,
        retry: bool = False,
        references: Sequence[Call] = (),
        typed: str = "",
        again: bool = False,
    ) -> None:
        """Ask a prompt with its files, and show the reply; `mixture` is for this prompt only.

        With `again` it is the last prompt, which has its files already. A `retry` replaces the last turn,
        once it is done. The reply is made from `references`, if there are any. `typed` is the line with its
        command, if the prompt is not all that was typed.
        """
        if again:
            asked, files = Prompt(prompt, self.last_attachments()), self.files
        else:
            earlier = images_of(self.attachments)
            try:
                asked = await attach_files(self.app, self.terminal, prompt, self.files, earlier)
            except MoaError:
                self.draft_prompt(prompt, typed)
                raise
            files, self.files = self.files, []
        for notice in asked.notices if not self.settings.quiet else ():
            self.say(f"  {notice}")
        usual = self.session.mixture
        self.session.mixture = mixture or usual
        try:
            untouched = await self._run_turn(asked, retry=retry, references=references)
        except BudgetError as error:
            untouched = True
            self.say_error(error)
        finally:
            self.session.mixture = usual
        if untouched and not retry:
            self.files = files
            self.draft_prompt(prompt, typed)

    def draft_prompt(self, prompt: str, typed: str = "") -> None:
        """Put a prompt into the next line, as it was `typed` with its command; there it can be changed."""
        self.draft = typed or quote_prompt(prompt)

    def take_draft(self) -> str:
        """Return the draft, and forget it."""
        draft, self.draft = self.draft, ""
        return draft

    def last_prompt(self) -> str:
        """Return the last prompt; UsageError when there is none."""
        asked = [message.content for message in self.session.history if message.role == "user"]
        if not (self.prompt or asked):
            raise UsageError("Nothing was asked yet.")
        return self.prompt or asked[-1]

    def last_attachments(self) -> tuple[Attachment, ...]:
        """Return the attachments of the last prompt; of one that was resumed, its images."""
        asked = [message for message in self.session.history if message.role == "user"]
        if self.prompt or not asked:
            return self.attachments
        return tuple(map(image_attachment, asked[-1].images))

    @property
    def answered(self) -> bool:
        """Whether the last prompt has a reply, with which the session's history ends."""
        return not self.prompt or (self.result is not None and bool(self.result.reply))

    def last_reply(self) -> str:
        """Return the last reply; UsageError when there is none."""
        replies = [message.content for message in self.session.history if message.role == "assistant"]
        if not replies:
            raise UsageError("There is no reply yet.")
        return replies[-1]

    def turns(self) -> Sequence[StoredTurn]:
        """Return the stored turns of this conversation, without those that were undone."""
        store, identifier = self.app.store, self.session.conversation_id
        if store is None or identifier is None:
            return ()
        return [turn for turn in store.turns(identifier) if turn.status != "undone"]

    def load_last_turn(self) -> None:
        """Set the last prompt of a resumed conversation; one without a reply can be retried."""
        last = next(reversed(self.turns()), None)
        self.result = None
        self.prompt = last.prompt if last is not None and not last.reply else ""
        store = self.app.store
        images = store.images(last.id) if store and last and self.prompt else ()
        self.attachments = tuple(map(image_attachment, images))

    async def _run_turn(self, asked: Prompt, *, retry: bool, references: Sequence[Call]) -> bool:
        """Run a turn and show it.

        Returns whether the user stopped it before the reply began, and has typed nothing since.
        """
        prompt = asked.text
        if not retry:
            self.prompt, self.result = prompt, None
        self.attachments = asked.attachments
        cancel_token = CancelToken()
        view = view_for(self.settings, self.streams, self.session, keep=True)
        if self.expanded:
            view.toggle_answers()
        if self.streams.stderr_is_terminal and not self.settings.quiet:
            self.say("")

        def say_above(text: str) -> None:
            view.clear_live_rows()
            self.say(text)

        keyboard = TurnKeyboard(self.terminal, cancel_token, view, say_above)
        if self.terminal.input is not None and self.streams.stderr_is_terminal:
            self.app.permitted.ask = keyboard.question.ask
        signals = TurnSignals(self.terminal, self.session, self.settings, prompt)

        def follow(event: Event) -> None:
            keyboard.handle_event(event)
            signals.handle_event(event)

        try:
            with handle_signals(keyboard.interrupt, ("SIGINT",)), keyboard.listening():
                result = await show(
                    self.session,
                    prompt,
                    view,
                    self.app.log,
                    cancel_token,
                    log_sink=self.log_sink,
                    follow=follow,
                    retry=retry,
                    references=references,
                    attachments=asked.attachments,
                )
        finally:
            self.app.permitted.ask = None
        signals.end(result)
        self.spent.add(result)
        if not self.settings.quiet and (why := explain_once(result, self.settings, self.explained)):
            self.say(f"  {why}")
        self._end_turn(prompt, result, retry=retry)
        unasked = {FailureKind.CANCELLED, FailureKind.ATTACHMENT}
        stopped = result.failure is not None and result.failure.kind in unasked
        return stopped and not keyboard.typed

    def _end_turn(self, prompt: str, result: TurnResult, *, retry: bool) -> None:
        """Make the result that of the last turn, say what is to be known of it, and draw the line below."""
        if retry and result.status != "done":
            self.say("  The earlier reply stays in the conversation.")
        else:
            self.prompt, self.result = prompt, result
        if result.failure is not None and result.failure.kind is FailureKind.KEY_REFUSED:
            self.say(
                "  `moa-bot config show` says where the key comes from; `moa-bot keys set` sets another."
            )
        stopped = result.failure is not None and result.failure.kind is FailureKind.CANCELLED
        quiet = stopped or self.settings.quiet or self.settings.plain
        if self.streams.stderr_is_terminal and not quiet:
            from bot.repl.recap import show_rule  # noqa: PLC0415 - not on the way to the prompt

            show_rule(self.console(messages=True))
