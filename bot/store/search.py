"""Finding turns by their words: an FTS5 index over prompts and replies, or a scan without one.

The index is no part of the migrations because it depends on the SQLite that opens the file: a
build without FTS5 cannot even write to a table whose triggers feed one. So the triggers say
whether the index is up to date: `ensure_index` drops them where FTS5 is missing; where FTS5 is
there and they are not, it makes them and rebuilds the index.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.store.conversion import UnreadableRecordError, column, readable, storable
from bot.store.database import transaction
from bot.store.rows import Hit, parse_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

MAX_TERMS = 32
MAX_TERM_LENGTH = 200
_MIN_PREFIX = 3  # a word of this many letters also finds the words that begin with it
_BEFORE, _AFTER = 32, 72  # characters around the first found word

_TRIGGERS = {
    "turns_words_insert": """
        CREATE TRIGGER turns_words_insert AFTER INSERT ON turns BEGIN
            INSERT INTO turns_words (rowid, prompt, reply) VALUES (new.id, new.prompt, new.reply);
        END
        """,
    "turns_words_delete": """
        CREATE TRIGGER turns_words_delete AFTER DELETE ON turns BEGIN
            INSERT INTO turns_words (turns_words, rowid, prompt, reply)
                VALUES ('delete', old.id, old.prompt, old.reply);
        END
        """,
    "turns_words_update": """
        CREATE TRIGGER turns_words_update AFTER UPDATE OF prompt, reply ON turns BEGIN
            INSERT INTO turns_words (turns_words, rowid, prompt, reply)
                VALUES ('delete', old.id, old.prompt, old.reply);
            INSERT INTO turns_words (rowid, prompt, reply) VALUES (new.id, new.prompt, new.reply);
        END
        """,
}

# Thai, Lao, Myanmar, Khmer, kana, Han: written without spaces, so the index takes a whole
# sentence for one word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def ensure_index(connection: sqlite3.Connection, *, full_text: bool, read_only: bool = False) -> bool:
    """Make the index, or stop it where this SQLite or `full_text` says no; returns whether there is one.

    With `read_only` nothing is changed.
    """
    wanted = full_text and bool(
        connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]
    )
    if read_only:
        return wanted and _has_index(connection)
    if _has_index(connection) != wanted:
        with transaction(connection):
            if _has_index(connection) == wanted:
                return wanted
            if wanted:
                connection.execute(
                    """
                    CREATE VIRTUAL TABLE IF NOT EXISTS turns_words USING fts5 (
                        prompt, reply, content='turns', content_rowid='id',
                        tokenize='unicode61 remove_diacritics 2'
                    )
                    """
                )
                for trigger in _TRIGGERS.values():
                    connection.execute(trigger)
                connection.execute("INSERT INTO turns_words (turns_words) VALUES ('rebuild')")
            else:
                for name in _TRIGGERS:
                    connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    return wanted


def _has_index(connection: sqlite3.Connection) -> bool:
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = 'turns_words_insert'"
    ).fetchone()
    return found is not None


def parse_terms(query: str) -> tuple[str, ...]:
    """Return the words of a query. Raises UsageError where there are none."""
    words = storable(query).replace("\0", " ").split()
    if not words:
        raise UsageError("nothing to search for", "give one or more words")
    return tuple(word[:MAX_TERM_LENGTH] for word in words[:MAX_TERMS])


def search(
    connection: sqlite3.Connection, query: str, limit: int, skip: Callable[[str], None], *, indexed: bool
) -> list[Hit]:
    """Find the newest `limit` turns that hold every word of `query` in prompt or reply.

    A word of three letters or more also finds the words that begin with it. Words without
    letters or digits, and words in scripts without spaces, are found anywhere in the texts. `skip` is
    called with a sentence about each found turn that cannot be read.
    """
    terms = parse_terms(query)
    if indexed and all(_is_indexable(term) for term in terms):
        rows = connection.execute(
            """
            SELECT conversation, number, turns.created, turns.prompt, turns.reply, title
            FROM turns_words
            JOIN turns ON turns.id = turns_words.rowid
            JOIN conversations ON conversations.id = turns.conversation
            WHERE turns_words MATCH ? ORDER BY turns_words.rowid DESC LIMIT ?
            """,
            (" ".join(_quoted(term) for term in terms), limit),
        )
        return readable(rows, lambda row: _hit(row, terms, at_words=True), skip)
    # A function of ours rather than LIKE, which folds the case of ASCII letters only and breaks
    # on long patterns.
    folded = [term.casefold() for term in terms]

    def holds_all(prompt: str, reply: str) -> bool:
        text = f"{prompt}\n{reply}".casefold()
        return all(term in text for term in folded)

    connection.create_function("holds_all", 2, holds_all)
    rows = connection.execute(
        """
        SELECT conversation, number, turns.created, turns.prompt, turns.reply, title
        FROM turns JOIN conversations ON conversations.id = turns.conversation
        WHERE holds_all(turns.prompt, turns.reply) ORDER BY turns.id DESC LIMIT ?
        """,
        (limit,),
    )
    return readable(rows, lambda row: _hit(row, terms, at_words=False), skip)


def _is_indexable(term: str) -> bool:
    return any(character.isalnum() for character in term) and not _UNSPACED.search(term)


def _quoted(term: str) -> str:
    """Return the term as an FTS5 string, in which no character is an operator."""
    letters = sum(character.isalnum() for character in term)
    return '"' + term.replace('"', '""') + '"' + ("*" if letters >= _MIN_PREFIX else "")


def _hit(row: sqlite3.Row, terms: tuple[str, ...], *, at_words: bool) -> Hit:
    where = f"turn {row['number']} of conversation {row['conversation']}"
    if not all(isinstance(row[name], str) for name in ("prompt", "reply", "title", "conversation")):
        raise UnreadableRecordError(f"{where} cannot be read: wrong prompt, reply or title")
    words = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{words})" if at_words else words, re.IGNORECASE)
    snippet, marks = _snippet(row["prompt"], row["reply"], pattern)
    return Hit(
        conversation=row["conversation"],
        title=row["title"],
        turn=row["number"],
        created=column(row, "created", parse_time, where),
        snippet=snippet,
        marks=marks,
    )


def _snippet(prompt: str, reply: str, pattern: re.Pattern[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text around the first found word on one line, and the spans of the words in it."""
    text, found = prompt, pattern.search(prompt)
    if not found and (found := pattern.search(reply)):
        text = reply
    # The index ignores accents, this search does not: where it finds nothing, show the beginning.
    first = found.start() if found else 0
    start = max(0, first - _BEFORE)
    end = first + _AFTER
    if start:
        # Begin at a word, if one begins before the found one.
        start = text.find(" ", start, first) + 1 or start
    snippet = " ".join(text[start:end].split())
    snippet = ("…" if start else "") + snippet + ("…" if end < len(text) else "")
    return snippet, tuple(match.span() for match in pattern.finditer(snippet))
