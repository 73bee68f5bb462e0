"""The conversation store: every conversation, turn and call, in one SQLite file.

It decides nothing about a conversation (that is `bot.app.session`) and prints nothing (that is
`bot.history`).

    Store (store.py)          the whole public interface
     ├── database.py          the file: mode 0600, pragmas, locks, transactions, plain errors
     │    └── schema.py       the append-only list of migrations
     ├── conversations.py     SQL about conversations
     ├── turns.py             SQL about turns and calls
     ├── search.py            the full-text index, and the search without one
     ├── rows.py              the rows as frozen dataclasses
     ├── conversion.py        rows to and from SQL values
     └── names.py             ids short enough to type, and titles
    results.py                a stored turn as a `TurnResult`
"""

from __future__ import annotations

from bot.store.names import title_from
from bot.store.rows import Hit, StoredCall, StoredConversation, StoredStatus, StoredTurn, Summary, TurnId
from bot.store.store import Store

__all__ = [
    "Hit",
    "Store",
    "StoredCall",
    "StoredConversation",
    "StoredStatus",
    "StoredTurn",
    "Summary",
    "TurnId",
    "title_from",
]
