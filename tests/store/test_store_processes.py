"""Several processes and one store: all of them succeed, and a killed one loses nothing it began."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from running import LIMIT

from bot.store import Store

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

WRITE = """
import sys
from pathlib import Path
from bot.turn_result import Call, Slot, TurnResult
from bot.messages import Agent, Completion
from bot.store import Store

path, name, shared = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
for part in range(3):  # opening and closing meets the others' opening and closing
    with Store.open(path, timeout=60) as store:
        for number in range(4):
            turn = store.begin_turn(shared, f"{name} {part} {number}")
            store.save_calls(turn, Call(Slot(1, 0, Agent(name)), Completion("answer " * 50)))
            store.finish_turn(turn, TurnResult("done", f"reply to {name}", "", name))
print("written", flush=True)
"""

OPEN = """
import sys
from pathlib import Path
from bot.store import Store

print("ready", flush=True)
sys.stdin.readline()
with Store.open(Path(sys.argv[1]), timeout=60) as store:
    store.create_conversation({}, None, sys.argv[2])
print("written", flush=True)
"""

BEGIN_AND_WAIT = """
import sys
from pathlib import Path
from bot.turn_result import Call, Slot
from bot.messages import Agent, Completion
from bot.store import Store

store = Store.open(Path(sys.argv[1]))
conversation = store.create_conversation({"rounds": 2}, None, "killed")
turn = store.begin_turn(conversation.id, "what I typed")
store.save_calls(turn, Call(Slot(1, 0, Agent("a")), Completion("an answer")))
store._database.connection.execute("BEGIN IMMEDIATE")  # killed in the middle of the next write
store._database.connection.execute("UPDATE turns SET prompt = 'half written'")
print("begun", flush=True)
sys.stdin.readline()
"""


@contextmanager
def running(source: str, *many: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """A Python process per tuple of arguments, and the proof that none of them is left."""
    children: list[subprocess.Popen[str]] = []
    try:
        for arguments in many:
            child = subprocess.Popen(
                [sys.executable, "-c", source, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            children.append(child)
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate()
        assert not any(psutil.pid_exists(child.pid) for child in children)


def go(children: list[subprocess.Popen[str]]) -> list[str]:
    """Let all of them start at once, and collect what they say and return."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [f"{child.communicate(timeout=LIMIT)[0].strip()} {child.returncode}" for child in children]


def test_ten_processes_write_at_once(tmp_path: Path) -> None:
    """Ten processes in one conversation all succeed; turn numbers are unique and without gaps."""
    path = tmp_path / "conversations.db"
    with Store.open(path) as store:
        shared = store.create_conversation({}, None, "shared")
    with running(WRITE, *((str(path), f"writer{n}", shared.id) for n in range(10))) as children:
        assert go(children) == ["written 0"] * 10
    with Store.open(path) as store:
        turns = store.turns(shared.id)
        assert [turn.number for turn in turns] == list(range(1, 121))
        assert {turn.status for turn in turns} == {"done"}
        assert Counter(turn.model for turn in turns) == {f"writer{n}": 12 for n in range(10)}
        assert all(turn.prompt.startswith(turn.model) for turn in turns)
        assert {call.turn: call.model for call in store.all_calls(shared.id)} == {
            turn.number: turn.model for turn in turns
        }
        assert len(store.search("writer3", limit=100)) == 12


def test_processes_make_a_new_store_at_once(tmp_path: Path) -> None:
    """Processes that find no file make it together, once, and nothing is left beside it."""
    path = tmp_path / "data" / "conversations.db"
    with running(OPEN, *((str(path), f"n{n}") for n in range(5))) as children:
        assert go(children) == ["written 0"] * 5
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Store.open(path) as store:
        assert {row.conversation.title for row in store.list_conversations()} == {f"n{n}" for n in range(5)}


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_begun_survives_kill(tmp_path: Path, times: int) -> None:
    """After a kill -9 in mid-write, prompt and finished calls are there, as an interrupted turn."""
    path = tmp_path / "conversations.db"
    for _ in range(times):
        with running(BEGIN_AND_WAIT, (str(path),)) as (child,):
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            child.kill()
            child.wait(LIMIT)
    with Store.open(path) as store:
        rows = store.list_conversations()
        assert len(rows) == times
        conversation = rows[0].conversation
        (turn,) = store.turns(conversation.id)
        assert (turn.prompt, turn.status) == ("what I typed", "interrupted")
        assert [call.text for call in store.calls(turn.id)] == ["an answer"]
        assert store.messages(conversation.id) == ()
        assert store.begin_turn(conversation.id, "again").number == 2
