"""One conversation and its policy: what goes along, when a turn is kept, what an interruption leaves.

Between the mixture, which knows nothing of conversations, and the store, which knows nothing of
models. A turn is written before its first call is made and completed afterwards, so that nothing
typed is lost; a store that fails costs the saving, never the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from bot.errors import Failure, FailureKind, StoreError
from bot.events import Call, CallFinished, Event, Notice, ReplyDelta, TurnFinished, TurnResult
from bot.messages import Message
from bot.method.mixture import CancelToken, Mixture

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.store import Conversation, Store, TurnId

SAVE_AFTER = 0.005
"""Seconds: calls that end together are written together, once the next round's requests are out."""


class Session:
    """A conversation with a mixture.

    `store` is None when nothing is to be kept. With `multi_turn` off every prompt starts a fresh
    conversation. `conversation` goes on with one that the store holds.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        store: Store | None = None,
        multi_turn: bool = True,
        settings: Mapping[str, object] | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self.mixture = mixture
        self.multi_turn = multi_turn
        self.history: list[Message] = []
        self.turns = 0
        self._store = store
        self._settings = dict(settings or {})
        self.conversation = conversation
        if conversation is not None and store is not None:
            self.history = list(store.messages(conversation.id))
            self.turns = store.count_turns(conversation.id)

    @property
    def conversation_id(self) -> str | None:
        """The stored conversation's id, None when there is none (yet)."""
        return self.conversation.id if self.conversation else None

    def clear(self) -> None:
        """Start a new conversation with the next prompt."""
        self.history.clear()
        self.turns = 0
        self.conversation = None

    def adapt(self, mixture: Mixture, settings: Settings) -> None:
        """Go on with another mixture; the store keeps what the conversation goes on with."""
        self.mixture = mixture
        self.multi_turn = settings.multi_turn
        self._settings = settings.kept()
        if self._store is not None and self.conversation is not None:
            self._store.update_settings(self.conversation.id, self._settings, mixture.plan.system)

    def undo(self) -> str | None:
        """Take the last prompt and its reply out of the conversation; returns the prompt.

        The store keeps the turn, marked as undone. None when there is nothing to take back.
        """
        if not self.history:
            return None
        *self.history, prompt, _ = self.history
        if self._store is not None and self.conversation is not None:
            self._store.undo_turn(self.conversation.id)
        return prompt.content

    async def turn(self, prompt: str, cancel_token: CancelToken | None = None) -> AsyncGenerator[Event, None]:
        """Answer one prompt; the events of the mixture, and notices of the store's troubles.

        A reply that was cut off stays in the history: the user has read it, and may refer to it.
        A turn without a reply leaves no trace in the history, but is kept in the store.
        """
        if not self.multi_turn:
            self.clear()
        record = _Record(self._store, self.conversation, prompt, self.mixture.plan.system, self._settings)
        record.begin()
        self.conversation = record.conversation
        for notice in record.troubles():
            yield notice
        self.turns += 1
        result: TurnResult | None = None
        try:
            async with aclosing(self.mixture.run(self.history, prompt, cancel_token)) as events:
                async for event in events:
                    record.take(event)
                    if isinstance(event, TurnFinished):
                        result = event.result
                        # Remembered before it is told: whoever hears of the end may ask at once.
                        self._remember(prompt, result.reply)
                        self.conversation = record.conversation
                    for notice in record.troubles():
                        yield notice
                    yield event
        finally:
            if result is None:
                self._remember(prompt, record.abandon(self.mixture.plan.aggregator.model))
                self.conversation = record.conversation

    def _remember(self, prompt: str, reply: str) -> None:
        if reply:
            self.history += [Message("user", prompt), Message("assistant", reply)]


class _Record:
    """Keeps one turn in the store, as far as the store can.

    What fails on the way is tried once more at the end of the turn: another program's lock may be
    gone by then. `conversation` is the stored one, None while there is none.
    """

    def __init__(
        self,
        store: Store | None,
        conversation: Conversation | None,
        prompt: str,
        system: str | None,
        settings: Mapping[str, object],
    ) -> None:
        self.conversation = conversation
        self._store = store
        self._prompt, self._system, self._settings = prompt, system, settings
        self._turn: TurnId | None = None
        self._reply: list[str] = []
        self._waiting: list[Call] = []
        self._saving: asyncio.TimerHandle | None = None
        self._failed = False
        self._troubles: list[Notice] = []

    def begin(self) -> None:
        """Write the prompt, in a new conversation if there is none."""
        if self._store is not None:
            try:
                self._begin(self._store)
            except StoreError as error:
                self._trouble(error)

    def take(self, event: Event) -> None:
        """Write what this event finishes."""
        if isinstance(event, ReplyDelta):
            self._reply.append(event.text)
        if self._store is None:
            return
        if isinstance(event, CallFinished):
            self._waiting.append(event.call)
            if self._saving is None:
                self._saving = asyncio.get_running_loop().call_later(SAVE_AFTER, self._save_waiting)
        elif isinstance(event, TurnFinished):
            self._save_waiting()
            try:
                # Writes the calls too that are not there yet.
                self._store.finish_turn(self._turn or self._begin(self._store), event.result)
                if self._failed:
                    self._troubles.append(Notice("This turn is saved after all."))
            except StoreError as error:
                self._trouble(error)

    def _save_waiting(self) -> None:
        """Write the calls that have finished since the last time."""
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        calls, self._waiting = self._waiting, []
        if not calls or self._store is None or self._turn is None or self._failed:
            return
        try:
            self._store.save_calls(self._turn, *calls)
        except StoreError as error:
            self._trouble(error)

    def abandon(self, model: str) -> str:
        """Complete a turn that nobody follows any more; returns the part of the reply that came."""
        reply = "".join(self._reply)
        failure = None if reply else Failure(FailureKind.CANCELLED, "interrupted", model)
        result = TurnResult("partial" if reply else "failed", reply, "", model, failure=failure)
        self.take(TurnFinished(result))
        return reply

    def troubles(self) -> list[Notice]:
        """Return what has to be said since the last time."""
        troubles, self._troubles = self._troubles, []
        return troubles

    def _begin(self, store: Store) -> TurnId:
        if self.conversation is None:
            self.conversation = store.create_conversation(self._settings, self._system, self._prompt)
        self._turn = store.begin_turn(self.conversation.id, self._prompt)
        return self._turn

    def _trouble(self, error: StoreError) -> None:
        if not self._failed:
            self._troubles.append(Notice(f"This turn is not saved: {error.message}"))
        self._failed = True
