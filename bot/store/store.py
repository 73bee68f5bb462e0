"""The store's public interface. Every method is one transaction, or one query.

Every method may raise StoreError: one sentence about the file, and what can be done about it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from bot.store import conversations, search, turns
from bot.store import images as store_images
from bot.store.conversion import sql_value, stored_call
from bot.store.database import TIMEOUT, Database
from bot.store.names import UNTITLED, clean_title
from bot.store.rows import Hit, StoredCall, StoredConversation, StoredTurn, Summary, TurnId, format_time, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from bot.messages import Image, Message
    from bot.turn_result import Call, TurnResult


class Store:
    """Conversations in one SQLite file. Make it with `Store.open`, use it as a context manager."""

    def __init__(
        self, database: Database, *, indexed: bool, report: Callable[[str], None] | None = None
    ) -> None:
        """Use an open database; `indexed` says whether it has a full-text index."""
        self._database = database
        self._indexed = indexed
        self._report = report
        self._reported: set[str] = set()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        timeout: float = TIMEOUT,
        full_text: bool = True,
        report: Callable[[str], None] | None = None,
    ) -> Self:
        """Open the store; file (0600) and folder (0700) are created if missing.

        `timeout` is how many seconds to wait for another program's write. `full_text=False` does
        without FTS5, as an SQLite that lacks it. `report` is called once with a sentence about each
        record that cannot be read, which is then left out. A file that cannot be written to is opened
        to be read. Raises StoreError, with nothing written, for a file that is no conversation store
        or was written by a newer moa-bot.
        """
        database = Database.open(path, timeout=timeout)
        try:
            with database.reading() as connection:
                indexed = search.ensure_index(connection, full_text=full_text, read_only=database.read_only)
        except BaseException:
            database.close()
            raise
        return cls(database, indexed=indexed, report=report)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written to the file: then every method that writes raises StoreError."""
        return self._database.read_only

    def _skip(self, problem: str) -> None:
        """Report, once, a record that is left out because it cannot be read."""
        if self._report is not None and problem not in self._reported:
            self._reported.add(problem)
            self._report(f"{problem}; it is left out.")

    def close(self) -> None:
        """Close the file. What was written is safe without it."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    # Writing, in the order of a conversation.

    def create_conversation(
        self, settings: Mapping[str, Any], system: str | None = None, title: str = UNTITLED
    ) -> StoredConversation:
        """Begin a conversation under a new id. `settings` must be JSON values."""
        moment = now()
        with self._database.writing() as connection:
            return conversations.insert(
                connection, StoredConversation("", title, moment, moment, settings, system)
            )

    def begin_turn(
        self, conversation_id: str, prompt: str, *, retry: bool = False, images: Sequence[Image] = ()
    ) -> TurnId:
        """Write the prompt as the conversation's next turn, before any model is asked.

        A `retry` of the last turn counts as undone until it is finished with status "done".
        """
        with self._database.writing() as connection:
            turn = turns.begin(connection, conversation_id, prompt, "undone" if retry else "open")
            store_images.insert(connection, turn, images)
            return turn

    def save_calls(self, turn: TurnId, *calls: Call) -> None:
        """Write finished calls; one whose slot has a call already replaces it."""
        with self._database.writing() as connection:
            rows = [stored_call(turn.number, call) for call in calls]
            turns.insert_calls(connection, turn.conversation, rows, replace=True)

    def finish_turn(self, turn: TurnId, result: TurnResult, *, retry: bool = False) -> None:
        """Complete a turn, and write the calls in `result` that `save_calls` was not given.

        A `retry` that is done replaces the last turn that has a reply, which becomes undone; one that
        is not stays undone itself.
        """
        replaces = retry and result.status == "done"
        with self._database.writing() as connection:
            if replaces:
                turns.mark_undone(connection, turn.conversation)
            turns.finish(connection, turn, result, "undone" if retry and not replaces else result.status)

    def change_reply(self, conversation_id: str, result: TurnResult) -> None:
        """Give the last turn that was not undone the reply, model and notices of `result`, as done."""
        with self._database.writing() as connection:
            turns.change_reply(connection, conversation_id, result)

    def undo_turn(self, conversation_id: str) -> None:
        """Mark the last turn that has a reply as undone: it is kept, and left out of `messages`."""
        with self._database.writing() as connection:
            turns.mark_undone(connection, conversation_id)

    def update_settings(self, conversation_id: str, settings: Mapping[str, Any], system: str | None) -> None:
        """Replace the settings and system prompt with which the conversation is resumed."""
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE conversations SET settings = ?, system = ? WHERE id = ?",
                (sql_value(settings), sql_value(system), conversation_id),
            ).rowcount
            conversations.require_conversation(changed, conversation_id)

    def rename(self, id_or_prefix: str, title: str) -> StoredConversation:
        """Give a conversation another title; returns the conversation with it."""
        with self._database.writing() as connection:
            found = conversations.resolve(connection, id_or_prefix)
            connection.execute(
                "UPDATE conversations SET title = ? WHERE id = ?", (sql_value(clean_title(title)), found.id)
            )
            return conversations.resolve(connection, found.id)

    def delete(self, id_or_prefix: str) -> StoredConversation:
        """Delete a conversation with its turns and calls; returns the deleted conversation."""
        with self._database.writing() as connection:
            return conversations.delete(connection, id_or_prefix)

    def delete_older_than(self, moment: datetime) -> int:
        """Delete the conversations that were last written to before `moment`; returns how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM conversations WHERE updated < ?", (format_time(moment),)
            ).rowcount

    def restore(
        self,
        conversation: StoredConversation,
        all_turns: Iterable[StoredTurn],
        all_calls: Iterable[StoredCall],
        *,
        images_of: str | None = None,
    ) -> StoredConversation:
        """Write a whole conversation as it is (an import, a copy), all of it or nothing.

        Its id is kept if it is valid and free, else it gets a new one: nothing is overwritten.
        The conversation's id in `all_turns` is ignored. `images_of` is the conversation whose images are
        copied.
        """
        with self._database.writing() as connection:
            restored = conversations.insert(connection, conversation)
            for turn in all_turns:
                turns.insert(connection, replace(turn, conversation=restored.id))
            turns.insert_calls(connection, restored.id, all_calls, replace=False)
            if images_of is not None:
                store_images.copy(connection, images_of, restored.id)
            return restored

    # Reading.

    def conversation(self, id_or_prefix: str) -> StoredConversation:
        """Return the conversation with that id, or the only one whose id begins with it.

        Raises StoreError where several ids begin with it, or none; UsageError for an empty id.
        """
        with self._database.reading() as connection:
            return conversations.resolve(connection, id_or_prefix)

    def latest(self) -> StoredConversation | None:
        """Return the conversation that was last written to, None in an empty store."""
        with self._database.reading() as connection:
            return conversations.latest(connection, self._skip)

    def turns(self, conversation_id: str) -> tuple[StoredTurn, ...]:
        """Return all turns, in order. The status of an unfinished one is "interrupted"."""
        with self._database.reading() as connection:
            return tuple(turns.list_turns(connection, conversation_id, self._skip))

    def count_turns(self, conversation_id: str) -> int:
        """Return how many turns a conversation has."""
        with self._database.reading() as connection:
            return turns.count(connection, conversation_id)

    def has_answered(self, endpoint: str, model: str) -> bool:
        """Return whether a call to this model was ever answered."""
        with self._database.reading() as connection:
            return turns.has_answered(connection, endpoint, model)

    def calls(self, turn: TurnId) -> tuple[StoredCall, ...]:
        """Return the calls of one turn, by round and slot."""
        with self._database.reading() as connection:
            return tuple(turns.list_calls(connection, turn.conversation, turn.number, self._skip))

    def all_calls(self, conversation_id: str) -> tuple[StoredCall, ...]:
        """Return the calls of all turns of a conversation, by turn, round and slot, in one query."""
        with self._database.reading() as connection:
            return tuple(turns.list_calls(connection, conversation_id, None, self._skip))

    def images(self, turn: TurnId) -> tuple[Image, ...]:
        """Return the images of a turn's prompt, without those that were too large to be kept."""
        with self._database.reading() as connection:
            number = turn.number
            found = store_images.by_turn(connection, turn.conversation, number, number, self._skip)
            return found.get(number, ())

    def messages(self, conversation_id: str, last: int | None = None) -> tuple[Message, ...]:
        """Return user and assistant messages of the turns that have a reply (done or partial), in order.

        `last` limits them to that many of the newest turns.
        """
        with self._database.reading() as connection:
            return turns.list_messages(connection, conversation_id, -1 if last is None else last, self._skip)

    def list_conversations(self, limit: int | None = None, offset: int = 0) -> tuple[Summary, ...]:
        """Return conversations with their number of turns and cost, the last written to first."""
        with self._database.reading() as connection:
            at_most = -1 if limit is None else limit
            return tuple(conversations.summaries(connection, at_most, offset, self._skip))

    def search(self, query: str, limit: int = 20) -> tuple[Hit, ...]:
        """Find the newest turns that hold every word of `query` in prompt or reply.

        There are no operators. Raises UsageError for an empty query.
        """
        with self._database.reading() as connection:
            return tuple(search.search(connection, query, limit, self._skip, indexed=self._indexed))
