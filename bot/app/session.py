"""One conversation and its policy: which history is sent, when a turn is stored, what an interruption leaves.

Stands between the mixture, which knows nothing of conversations, and the store, which knows
nothing of models. A turn is written before its first call is made and completed afterwards, so
that nothing typed is lost; when the store fails, the turn goes on without being saved.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bot.app.turn_budget import TurnBudget, estimate_turn
from bot.errors import Failure, FailureKind, StoreError
from bot.events import (
    AggregatorStarted,
    CallFinished,
    DraftDelta,
    Event,
    JudgeStarted,
    Notice,
    ReplyDelta,
    RoundStarted,
    TurnFinished,
)
from bot.messages import Attachment, Image, Message, images_of
from bot.method.context import MESSAGE_TOKENS, message_tokens
from bot.method.mixture import CancelToken, Mixture
from bot.turn_result import Call, Slot, TurnResult, TurnStatus

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.store import Store, StoredConversation, StoredTurn, TurnId

Run = Callable[[], AsyncGenerator[Event, None]]
"""A way to begin a turn of the mixture."""


class Session:
    """A conversation with a mixture.

    `store` is None when nothing is to be kept; nothing is written to one that can only be read. With
    `multi_turn` off every prompt starts a fresh conversation. `conversation` is a stored one to continue.
    `max_cost` is in US dollars, for all turns of the session and of the conversation that it continues.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        store: Store | None = None,
        multi_turn: bool = True,
        settings: Mapping[str, object] | None = None,
        conversation: StoredConversation | None = None,
        max_cost: float | None = None,
    ) -> None:
        self.mixture = mixture
        self.budget = TurnBudget(max_cost)
        self.multi_turn = multi_turn
        self.history: list[Message] = []
        self.turns = 0
        self._store = None if store is None or store.read_only else store
        self._settings = dict(settings or {})
        self.conversation = conversation
        if conversation is not None and store is not None:
            self.history = list(store.messages(conversation.id))
            self.turns = store.count_turns(conversation.id)
            self.budget.spent = self._spent_before(store.turns(conversation.id))

    @property
    def conversation_id(self) -> str | None:
        """The stored conversation's id, None when there is none (yet)."""
        return self.conversation.id if self.conversation else None

    def clear(self) -> None:
        """Start a new conversation with the next prompt."""
        self.history.clear()
        self.turns = 0
        self.conversation = None

    def change_mixture(self, mixture: Mixture, settings: Settings) -> None:
        """Use another mixture from the next prompt on; its settings are stored with the conversation."""
        self.mixture = mixture
        self.multi_turn = settings.multi_turn
        self.budget.cap = settings.max_cost
        self._settings = settings.stored_options()
        if self._store is not None and self.conversation is not None:
            self._store.update_settings(self.conversation.id, self._settings, mixture.plan.system)

    def undo_turn(self) -> str | None:
        """Remove the last prompt and its reply from the conversation; returns the prompt.

        The store keeps the turn, marked as undone. None when the conversation is empty.
        """
        if not self.history:
            return None
        *self.history, prompt, _ = self.history
        if self._store is not None and self.conversation is not None:
            self._store.undo_turn(self.conversation.id)
        return prompt.content

    def take(
        self, prompt: str, result: TurnResult, *, replace_reply: bool, images: Sequence[Image] = ()
    ) -> None:
        """Make the reply of `result` that of the last turn, in the history and in the store.

        `replace_reply`: the history ends with the prompt, its images and another reply; without it, these
        are the prompt's `images`. Raises StoreError.
        """
        if self._store is not None and self.conversation is not None:
            self._store.change_reply(self.conversation.id, result)
        if replace_reply:
            images = self.history[-2].images
        before = self.history[:-2] if replace_reply else self.history
        self._set_history(before, prompt, result.reply, images)

    async def turn(
        self,
        prompt: str,
        cancel_token: CancelToken | None = None,
        *,
        retry: bool = False,
        references: Sequence[Call] = (),
        attachments: Sequence[Attachment] = (),
    ) -> AsyncGenerator[Event, None]:
        """Answer one prompt; yields the mixture's events, and notices where the store fails.

        A reply that was cut off stays in the history: the user has read it, and may refer to it.
        A turn without a reply is kept in the store, but not in the history.

        With `retry` the turn replaces the last one of the history, once it is done: until then, and
        when it fails or is stopped, the conversation ends with that one.

        The reply is made from `references`, where there are any, without asking reference models. The text
        of the `attachments` is in the prompt already.

        Raises BudgetError, and asks and stores nothing, when the turn may cost more than is left.
        """
        if not (self.multi_turn or retry):
            self.clear()
        history = self.history[: len(self.history) - (2 if retry else 0)]
        mixture = self.mixture
        images = images_of(attachments)
        reserved = self.budget.reserve(mixture.plan, history, prompt, mixture.models.cost, images)
        run = partial(mixture.run, history, prompt, cancel_token, references=references, images=images)
        result: TurnResult | None = None
        try:
            async with aclosing(self._turn(run, history, prompt, images, retry=retry)) as events:
                async for event in events:
                    if isinstance(event, TurnFinished):
                        result = replace(event.result, attachments=tuple(attachments))
                        event = TurnFinished(result)  # noqa: PLW2901 - the same event, completed
                    yield event
        finally:
            self.budget.settle(reserved, result.cost if result else None)

    async def _turn(
        self, run: Run, history: list[Message], prompt: str, images: tuple[Image, ...], *, retry: bool
    ) -> AsyncGenerator[Event, None]:
        recorder = TurnRecorder(
            self._store,
            self.conversation,
            Message("user", prompt, images=images),
            self.mixture.plan.system,
            self._settings,
            retry=retry,
        )
        recorder.begin()
        self.conversation = recorder.conversation
        for notice in recorder.pop_notices():
            yield notice
        self.turns += 1
        result: TurnResult | None = None
        try:
            async with aclosing(run()) as events:
                async for event in events:
                    recorder.record(event)
                    if isinstance(event, TurnFinished):
                        result = event.result
                        # Before the event is passed on: its reader may ask the next prompt at once.
                        if result.status == "done" or not retry:
                            self._set_history(history, prompt, result.reply, images)
                        self.conversation = recorder.conversation
                    for notice in recorder.pop_notices():
                        yield notice
                    yield event
        finally:
            if result is None:
                reply = recorder.interrupt(self.mixture.plan.aggregator.model)
                if not retry:
                    self._set_history(history, prompt, reply, images)
                self.conversation = recorder.conversation

    def _spent_before(self, turns: Sequence[StoredTurn]) -> float:
        """Return US dollars of stored turns, those that were undone too.

        A turn of unknown cost counts as much as it may cost, as it does while the session lasts.
        """
        plan, cost = self.mixture.plan, self.mixture.models.cost
        spent, tokens = 0.0, message_tokens(Message("system", plan.system or ""))
        for turn in turns:
            known = turn.cost
            spent += estimate_turn(plan, tokens, turn.prompt, cost).dollars if known is None else known
            if turn.reply and turn.status != "undone":
                tokens += message_tokens(Message("user", turn.prompt + turn.reply)) + MESSAGE_TOKENS
        return spent

    def _set_history(
        self, before: list[Message], prompt: str, reply: str, images: Sequence[Image] = ()
    ) -> None:
        if reply:
            asked = Message("user", prompt, images=tuple(images))
            self.history = [*before, asked, Message("assistant", reply)]


class TurnRecorder:
    """Writes one turn into the store, as far as the store allows.

    What fails is written once more at the end of the turn, when another program's lock may be
    gone. `conversation` is the stored one, None while there is none. A `retry` is stored as an
    undone turn until it is done; then the turn that it replaces is the undone one.
    """

    def __init__(
        self,
        store: Store | None,
        conversation: StoredConversation | None,
        prompt: Message,
        system: str | None,
        settings: Mapping[str, object],
        *,
        retry: bool = False,
    ) -> None:
        self.conversation = conversation
        self._retry = retry
        self._store = store
        self._prompt, self._system, self._settings = prompt, system, settings
        self._turn_id: TurnId | None = None
        self._reply = self._draft = ""
        self._calls: dict[Slot, Call] = {}
        self._failed = False
        self._notices: list[Notice] = []

    def begin(self) -> None:
        """Write the prompt, in a new conversation if there is none."""
        with self._reporting():
            if self._store is not None:
                self._begin(self._store)

    def record(self, event: Event) -> None:
        """Note what the event says, and write what it finishes."""
        match event:
            case ReplyDelta(text=text):
                self._reply += text
            case DraftDelta(text=text):
                self._draft += text
            case RoundStarted(slots=slots):
                self._calls |= {slot: _interrupted(slot) for slot in slots}
            case AggregatorStarted(slot=slot) | JudgeStarted(slot=slot):
                self._draft = "" if slot.role == "draft" else self._draft
                self._calls[slot] = _interrupted(slot)
            case CallFinished(call):
                self._calls[call.slot] = call
                with self._reporting():
                    if self._store is not None and self._turn_id is not None and not self._failed:
                        self._store.save_calls(self._turn_id, call)
            case TurnFinished(result):
                self._finish(result)

    def interrupt(self, model: str) -> str:
        """Complete a turn whose events are no longer read; returns the part of the reply that came."""
        # A draft that the user has read stays, as the beginning of a reply does.
        self._reply = self._reply or self._draft
        failure = None if self._reply else Failure(FailureKind.CANCELLED, "interrupted", model)
        status: TurnStatus = "partial" if self._reply else "failed"
        self._finish(TurnResult(status, self._reply, "", model, tuple(self._calls.values()), failure))
        return self._reply

    def pop_notices(self) -> list[Notice]:
        """Return what the user should know since the last time."""
        notices, self._notices = self._notices, []
        return notices

    def _finish(self, result: TurnResult) -> None:
        """Complete the turn in the store, with those of its calls that are not there yet."""
        with self._reporting():
            if self._store is not None:
                turn_id = self._turn_id or self._begin(self._store)
                self._store.finish_turn(turn_id, result, retry=self._retry)
                if self._failed:
                    self._notices.append(Notice("This turn is saved after all."))

    def _begin(self, store: Store) -> TurnId:
        if self.conversation is None:
            self.conversation = store.create_conversation(self._settings, self._system, self._prompt.content)
        self._turn_id = store.begin_turn(
            self.conversation.id, self._prompt.content, retry=self._retry, images=self._prompt.images
        )
        return self._turn_id

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Tell the user once when the store fails inside the block."""
        try:
            yield
        except StoreError as error:
            if not self._failed:
                self._notices.append(Notice(f"This turn is not saved: {error.message}"))
            self._failed = True


def _interrupted(slot: Slot) -> Call:
    """Return the call of a slot that a turn was interrupted in; what it cost is unknown."""
    return Call(slot, failure=Failure(FailureKind.CANCELLED, "interrupted", slot.agent.model))
