"""Writes a turn into the store as it goes on: the prompt before the first call, calls as they finish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
from bot.messages import Message
from bot.turn_result import Call, Slot, TurnResult, TurnStatus

if TYPE_CHECKING:
    from bot.store import Store, StoredConversation, TurnId


class TurnRecorder:
    """Writes one turn into the store, as far as the store allows.

    What fails is written once more at the end of the turn, when another program's lock may be
    gone. `conversation` is the stored one, None while there is none; `title` is that of a new one. A
    `retry` is stored as an undone turn until it is done; then the turn that it replaces is the undone one.
    """

    def __init__(
        self,
        store: Store | None,
        conversation: StoredConversation | None,
        prompt: Message,
        system: str | None,
        settings: Mapping[str, object],
        *,
        title: str,
        retry: bool = False,
    ) -> None:
        self.conversation = conversation
        self._retry, self._title = retry, title
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
            self.conversation = store.create_conversation(self._settings, self._system, self._title)
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
