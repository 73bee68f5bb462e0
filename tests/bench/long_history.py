"""A history of 10,000 turns: opening, listing, searching and resuming it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from common import Row

from bot.store import Store
from bot.turn_result import TurnResult

CONVERSATIONS, TURNS = 500, 20
LIMIT = 50.0


def measure(*, short: bool) -> list[Row]:
    """Return the rows about a long history."""
    times = 5 if short else 15
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.db"
        with Store.open(path) as store:
            last = _fill(store)

        def opened() -> None:
            Store.open(path).close()

        with Store.open(path) as store:
            works: dict[str, Callable[[], object]] = {
                "open": opened,
                "list": lambda: store.list_conversations(30),
                "search": lambda: store.search("purring rivers 17", 20),
                "resume": lambda: (
                    store.conversation(last[:4]),
                    store.messages(last),
                    store.count_turns(last),
                ),
            }
            return [
                Row(f"10,000 turns: {name}", "ms", _milliseconds(work, times), None, LIMIT, "≤ 50 ms")
                for name, work in works.items()
            ]


def _fill(store: Store) -> str:
    identifier = ""
    for number in range(CONVERSATIONS):
        identifier = store.create_conversation({"preset": "default"}, None, f"conversation {number}").id
        for turn in range(TURNS):
            begun = store.begin_turn(
                identifier, f"prompt {turn} about rivers and purring, number {number % 40}"
            )
            reply = f"Rivers do not purr, cats do ({number}, {turn}). " * 20
            store.finish_turn(begun, TurnResult("done", reply, "", "judge"))
    return identifier


def _milliseconds(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.monotonic()
        work()
        taken.append((time.monotonic() - started) * 1000)
    return median(taken)


if __name__ == "__main__":
    for row in measure(short="--short" in sys.argv):
        print(json.dumps(row.__dict__, ensure_ascii=False))
