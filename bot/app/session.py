"""One conversation and its policy: which history is sent, when a turn is stored, what an interruption leaves.

Stands between the mixture, which knows nothing of conversations, and the store, which knows
nothing of models. A turn is written before its first call is made and completed afterwards, so
that nothing typed is lost; when the store fails, the turn goes on without being saved.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bot.app.attachments import words_of
from bot.app.turn_budget import TurnBudget, estimate_turn
from bot.app.turn_recorder import TurnRecorder
from bot.events import (
    Event,
    TurnFinished,
)
from bot.messages import Attachment, Image, Message, images_of
from bot.method.context import MESSAGE_TOKENS, message_tokens
from bot.method.mixture import CancelToken, Mixture
from bot.turn_result import Call, TurnResult

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.store import Store, StoredConversation, StoredTurn

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
            async with aclosing(self._turn(run, history, prompt, attachments, retry=retry)) as events:
                async for event in events:
                    if isinstance(event, TurnFinished):
                        result = replace(event.result, attachments=tuple(attachments))
                        event = TurnFinished(result)  # noqa: PLW2901 - the same event, completed
                    yield event
        finally:
            self.budget.settle(reserved, result.cost if result else None)

    async def _turn(
        self, run: Run, history: list[Message], prompt: str, attachments: Sequence[Attachment], *, retry: bool
    ) -> AsyncGenerator[Event, None]:
        images = images_of(attachments)
        recorder = TurnRecorder(
            self._store,
            self.conversation,
            Message("user", prompt, images=images),
            self.mixture.plan.system,
            self._settings,
            title=words_of(prompt, attachments),
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
