"""The store's file: private, migrated once, never overwritten, and clear about what is wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from running import LIMIT

from bot.errors import StoreError
from bot.store import Store
from bot.store.database import Database
from bot.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that takes nothing away, so that only the program's own care counts."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@posix
@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_can_read(path: Path) -> None:
    """Folder 0700; database, write-ahead log and shared memory 0600, whatever the umask."""
    with Store.open(path) as store:
        store.create_conversation({}, None, "t")
        files = sorted(path.parent.iterdir())
        assert [file.name.removeprefix(path.name) for file in files] == ["", "-shm", "-wal"]
        assert [mode(file) for file in files] == [0o600] * 3
    assert mode(path.parent) == 0o700


@posix
def test_a_readable_file_is_tightened(path: Path) -> None:
    """A store that others could read (a restored copy, say) is made private; the folder is the user's."""
    Store.open(path).close()
    path.chmod(0o644)
    path.parent.chmod(0o755)
    Store.open(path).close()
    assert (mode(path), mode(path.parent)) == (0o600, 0o755)


def test_pragmas(path: Path) -> None:
    """The connection uses write-ahead logging, NORMAL syncing, foreign keys and a busy timeout."""
    with Store.open(path, timeout=3) as store, store._database.reading() as connection:
        names = (
            "journal_mode",
            "synchronous",
            "foreign_keys",
            "busy_timeout",
            "application_id",
            "user_version",
        )
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert values == ["wal", 1, 1, 3000, APPLICATION_ID, len(MIGRATIONS)]


def test_a_store_is_opened_again(path: Path) -> None:
    """What was written is there at the next opening, and no copy is made of an up-to-date file."""
    with Store.open(path) as store:
        conversation = store.create_conversation({"a": [1]}, "s", "t")
    with Store.open(path) as store:
        assert store.latest() == conversation
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def add_mood(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE conversations ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (a)")
    connection.execute("CREATE TABLE nonsense (")


def test_migrating_keeps_a_copy(path: Path) -> None:
    """An older file is copied as it was, privately, and then brought to the newest version."""
    with Store.open(path) as store:
        store.create_conversation({}, None, "old")
    with closing(Database.open(path, migrations=(*MIGRATIONS, add_mood))) as database:
        row = database.connection.execute("SELECT title, mood FROM conversations").fetchone()
    assert tuple(row) == ("old", "calm")
    copy = path.with_name(path.name + f".v{len(MIGRATIONS)}")
    assert (version(path), version(copy)) == (len(MIGRATIONS) + 1, len(MIGRATIONS))
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT title FROM conversations").fetchall() == [("old",)]
    if os.name == "posix":
        assert mode(copy) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {path.name, copy.name}


def test_a_file_from_before_cached_tokens_and_comparisons(path: Path) -> None:
    """Its turns and calls are read as before; what was not stored then is not known."""
    with closing(Database.open(path, migrations=MIGRATIONS[:2])) as database:
        database.connection.executescript(
            """
            INSERT INTO conversations (id, created, updated, title, settings)
            VALUES ('abcdef', '2026-07-02T09:31:12.345Z', '2026-07-02T09:31:12.345Z', 'old', '{}');
            INSERT INTO turns (
                conversation, number, created, status, model, notices, prompt, reply, reasoning, prompt_tokens
            ) VALUES ('abcdef', 1, '2026-07-02T09:31:12.345Z', 'done', 'm', '[]', 'why?', 'so', '', 7);
            INSERT INTO calls (
                turn, round, slot, role, model, endpoint, status, retries, partial, text, reasoning
            ) VALUES (1, 1, 0, 'reference', 'm', 'together', 'done', 0, '', 'because', '');
            """
        )
    with Store.open(path) as store:
        [turn] = store.turns("abcdef")
        [call] = store.calls(turn.id)
    assert (turn.prompt_tokens, turn.cached_tokens) == (7, None)
    assert (turn.analysis, turn.panel) == (None, None)
    assert (call.text, call.cached_tokens) == ("because", None)


def test_a_failed_migration_changes_nothing(path: Path) -> None:
    """A migration that fails half-way leaves the file at the version before it, usable."""
    with Store.open(path) as store:
        store.create_conversation({}, None, "kept")
    with pytest.raises(StoreError, match="failed"):
        Database.open(path, migrations=(*MIGRATIONS, add_mood, fail_half_way))
    assert version(path) == len(MIGRATIONS) + 1
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "half" not in names
    assert {file.name for file in path.parent.iterdir()} == {
        path.name,
        *(f"{path.name}.v{len(MIGRATIONS) + more}" for more in (0, 1)),
    }


def test_a_newer_file_is_left_alone(path: Path) -> None:
    """A file of a newer version is refused by name and version, and stays as it was, byte for byte."""
    Database.open(path, migrations=(*MIGRATIONS, add_mood)).close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError,
        match=rf"newer moa-bot \(version {len(MIGRATIONS) + 1}, this one knows {len(MIGRATIONS)}\)",
    ) as refused:
        Store.open(path)
    assert str(path) in refused.value.message
    assert "update" in refused.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database, " * 100, b"x", b"y" * 511, b"SQLite format 3\0" + b"\xff" * 200]
)
def test_another_file_is_left_alone(path: Path, content: bytes) -> None:
    """A file that is no database is refused by name, and stays as it was."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is not a database|is damaged") as refused:
        Store.open(path)
    assert str(path) in refused.value.message
    assert path.read_bytes() == content


@pytest.mark.parametrize("their_version", [0, 7])
def test_another_programs_database_is_left_alone(path: Path, their_version: int) -> None:
    """No tables are put into a database that some other program made."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute(f"PRAGMA user_version={their_version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    """A folder where the file should be, or a file where the folder should be, is an error in words."""
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot be opened|cannot be used"):
        Store.open(path)
    blocked = path.parent / "file"
    blocked.touch()
    with pytest.raises(StoreError, match="cannot be used"):
        Store.open(blocked / "conversations.db")


def test_a_locked_file(path: Path) -> None:
    """While another program holds the file, writing fails in words after the timeout; reading goes on."""
    with (
        Store.open(path, timeout=0.05) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        conversation = store.create_conversation({}, None, "t")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program") as locked:
            store.begin_turn(conversation.id, "p")
        assert locked.value.hint
        assert store.turns(conversation.id) == ()
        other.execute("ROLLBACK")
        assert store.begin_turn(conversation.id, "p").number == 1


def test_a_full_disk(path: Path) -> None:
    """When the file cannot grow, that is said, nothing of the write stays, and reading goes on."""
    with Store.open(path) as store:
        conversation = store.create_conversation({}, None, "t")
        with store._database.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(StoreError, match="disk is full"):
            store.begin_turn(conversation.id, "p" * 100_000)
        assert store.turns(conversation.id) == ()
        assert store.begin_turn(conversation.id, "short").number == 1


def test_a_store_that_cannot_be_written(path: Path) -> None:
    """A read-only database is said to be one."""
    with Store.open(path) as store:
        with store._database.reading() as connection:
            connection.execute("PRAGMA query_only=ON")
        with pytest.raises(StoreError, match="cannot be written to"):
            store.create_conversation({}, None, "t")


def test_a_damaged_file(path: Path) -> None:
    """A damaged page is an error in words that names the file; a damaged record alone is left out."""
    with Store.open(path) as store:
        conversation = store.create_conversation({}, None, "t")
        turn = store.begin_turn(conversation.id, "p" * 100_000)
        with store._database.writing() as connection:
            connection.execute("UPDATE turns SET notices = 'no json'")
        assert store.turns(turn.conversation) == ()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StoreError, match="is damaged") as damaged, Store.open(path) as store:
        store.turns(conversation.id)
    assert str(path) in damaged.value.message


def test_a_closed_store(path: Path) -> None:
    """Using a closed store is a StoreError like any other; closing twice is nothing."""
    store = Store.open(path)
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.latest()


def test_threads_take_turns(path: Path) -> None:
    """One store can be used from several threads: every write happens, none is mixed with another."""
    with Store.open(path) as store:
        conversation = store.create_conversation({}, None, "t")
        failures: list[Exception] = []

        def write() -> None:
            try:
                for number in range(20):
                    store.begin_turn(conversation.id, f"p{number}")
            except StoreError as error:
                failures.append(error)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert not failures
        assert [turn.number for turn in store.turns(conversation.id)] == list(range(1, 81))
