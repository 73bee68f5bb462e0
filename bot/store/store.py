"""The store's public surface: one method per promise, each a transaction or a query of its own.

Every method may raise StoreError: one sentence about the file, and what can be done about it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from bot.store import conversations, search, turns
from bot.store.database import TIMEOUT, Database
from bot.store.names import UNTITLED, clean_title
from bot.store.rows import (
    Conversation,
    Hit,
    StoredCall,
    Summary,
    Turn,
    TurnId,
    bound,
    now,
    stamp,
    stored_call,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from bot.events import Call, TurnResult
    from bot.messages import Message


class Store:
    """Conversations in one SQLite file. Make it with `Store.open`, use it as a context manager."""

    def __init__(self, database: Database, *, indexed: bool) -> None:
        """Take over an open database; `indexed` says whether searching has an index to use."""
        self._database = database
        self._indexed = indexed

    @classmethod
    def open(cls, path: Path, *, timeout: float = TIMEOUT, full_text: bool = True) -> Self:
        """Open the store, making file (0600) and folder (0700) where there is none.

        `timeout` is how many seconds to wait for another program's write. `full_text=False`
        leaves FTS5 alone, as on an SQLite without it. Raises StoreError, with nothing written,
        for a file that is no conversation store or a newer program's.
        """
        database = Database.open(path, timeout=timeout)
        try:
            with database.reading() as connection:
                indexed = search.keep_index(connection, full_text=full_text)
        except BaseException:
            database.close()
            raise
        return cls(database, indexed=indexed)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

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
    ) -> Conversation:
        """Begin a conversation under a new id. `settings` must be ready for JSON."""
        moment = now()
        with self._database.writing() as connection:
            return conversations.insert(connection, Conversation("", title, moment, moment, settings, system))

    def begin_turn(self, conversation_id: str, prompt: str) -> TurnId:
        """Write the prompt down as the conversation's next turn, before any model is asked."""
        with self._database.writing() as connection:
            return turns.begin(connection, conversation_id, prompt)

    def save_calls(self, turn: TurnId, *calls: Call) -> None:
        """Write finished calls down; a later one of the same slot takes its place."""
        with self._database.writing() as connection:
            rows = [stored_call(turn.number, call) for call in calls]
            turns.insert_calls(connection, turn.conversation, rows, replace=True)

    def finish_turn(self, turn: TurnId, result: TurnResult) -> None:
        """Complete a turn. Calls in `result` that `save_calls` did not get are written down too."""
        with self._database.writing() as connection:
            turns.finish(connection, turn, result)

    def undo_turn(self, conversation_id: str) -> None:
        """Mark the last turn that has a reply as taken back: it is kept, and left out of `messages`."""
        with self._database.writing() as connection:
            turns.undo(connection, conversation_id)

    def update_settings(self, conversation_id: str, settings: Mapping[str, Any], system: str | None) -> None:
        """Keep the settings and system prompt that the conversation goes on with."""
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE conversations SET settings = ?, system = ? WHERE id = ?",
                (bound(settings), bound(system), conversation_id),
            ).rowcount
            conversations.require(changed, conversation_id)

    def rename(self, id_or_prefix: str, title: str) -> Conversation:
        """Give a conversation another title; returns it as it is then."""
        with self._database.writing() as connection:
            found = conversations.resolve(connection, id_or_prefix)
            connection.execute(
                "UPDATE conversations SET title = ? WHERE id = ?", (bound(clean_title(title)), found.id)
            )
            return conversations.resolve(connection, found.id)

    def delete(self, id_or_prefix: str) -> Conversation:
        """Delete a conversation with its turns and calls; returns what it was."""
        with self._database.writing() as connection:
            found = conversations.resolve(connection, id_or_prefix)
            connection.execute("DELETE FROM conversations WHERE id = ?", (found.id,))
            return found

    def delete_older_than(self, moment: datetime) -> int:
        """Delete the conversations that were last written to before `moment`; returns how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "DELETE FROM conversations WHERE updated < ?", (stamp(moment),)
            ).rowcount

    def restore(
        self, conversation: Conversation, its_turns: Iterable[Turn], its_calls: Iterable[StoredCall]
    ) -> Conversation:
        """Write a whole conversation as it is (an import, a copy); all of it or nothing.

        Its id is kept if it is free and of the usual form, else a new one is drawn: nothing is
        ever overwritten. Turns and calls follow it whatever id they carry.
        """
        with self._database.writing() as connection:
            made = conversations.insert(connection, conversation)
            for turn in its_turns:
                turns.insert(connection, replace(turn, conversation=made.id))
            turns.insert_calls(connection, made.id, its_calls, replace=False)
            return made

    # Reading.

    def conversation(self, id_or_prefix: str) -> Conversation:
        """Return the conversation with that id, or the only one whose id begins so.

        Raises StoreError naming the candidates where there are several, and saying how to find
        one where there is none; UsageError for an empty id.
        """
        with self._database.reading() as connection:
            return conversations.resolve(connection, id_or_prefix)

    def latest(self) -> Conversation | None:
        """Return the conversation that was last written to, None in an empty store."""
        with self._database.reading() as connection:
            return conversations.latest(connection)

    def turns(self, conversation_id: str) -> tuple[Turn, ...]:
        """Return all turns, in order. One that no program finished reads as "interrupted"."""
        with self._database.reading() as connection:
            return tuple(turns.of(connection, conversation_id))

    def count_turns(self, conversation_id: str) -> int:
        """Return how many turns a conversation has."""
        with self._database.reading() as connection:
            return turns.count(connection, conversation_id)

    def calls(self, turn: TurnId) -> tuple[StoredCall, ...]:
        """Return the calls of one turn, by round and slot."""
        with self._database.reading() as connection:
            return tuple(turns.calls_of(connection, turn.conversation, turn.number))

    def all_calls(self, conversation_id: str) -> tuple[StoredCall, ...]:
        """Return the calls of all turns of a conversation, by turn, round and slot, in one query."""
        with self._database.reading() as connection:
            return tuple(turns.calls_of(connection, conversation_id, None))

    def messages(self, conversation_id: str, last: int | None = None) -> tuple[Message, ...]:
        """Return user and assistant messages of the turns that have a reply (done or partial), in order.

        `last` asks for no more than that many turns, the newest.
        """
        with self._database.reading() as connection:
            return turns.messages_of(connection, conversation_id, -1 if last is None else last)

    def list_conversations(self, limit: int | None = None, offset: int = 0) -> tuple[Summary, ...]:
        """Return conversations with their number of turns and cost, the last written to first."""
        with self._database.reading() as connection:
            return tuple(conversations.summaries(connection, -1 if limit is None else limit, offset))

    def search(self, query: str, limit: int = 20) -> tuple[Hit, ...]:
        """Find the newest turns that hold every word of `query` in prompt or reply.

        The words mean themselves: no operators. Raises UsageError for an empty query.
        """
        with self._database.reading() as connection:
            return tuple(search.search(connection, query, limit, indexed=self._indexed))
