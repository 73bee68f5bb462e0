"""The reference models' answers, one after the other and side by side."""

from __future__ import annotations

import io

from rich.console import Console

from bot.errors import Failure, FailureKind
from bot.messages import Agent, Completion, Usage
from bot.render.proposals import show_proposals
from bot.turn_result import Call, Slot

TABLE = "| purr | meaning |\n|---|---|\n| soft | content |\n| loud | **hungry** |\n"


def shown(width: int, *calls: Call, terminal: bool = True) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=40, force_terminal=terminal, color_system=None)
    show_proposals(console, calls, 1, 1)
    return [line.rstrip() for line in out.getvalue().split("\n")]


def call(index: int, text: str) -> Call:
    completion = Completion(text, usage=Usage(10, 412), first_token=0.5, seconds=3.6)
    return Call(Slot(1, index, Agent(f"maker/model-{index}")), completion)


def test_side_by_side_each_row_stands_once() -> None:
    """In a wide window two answers share the rows, and a table is not drawn twice."""
    lines = shown(130, call(0, TABLE), call(1, "plain words"))
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert text.count("content") == 1
    assert text.count("hungry") == 1
    head = next(line for line in lines if "model-0" in line)
    assert "model-1" in head
    assert "412 tok · first token 0.5 s · 3.6 s" in head
    assert any("purr" in line and "plain words" in line for line in lines)


def test_a_failed_one_says_why() -> None:
    """Who was left out stands there too, with the reason."""
    failed = Call(
        Slot(1, 1, Agent("maker/gone")), failure=Failure(FailureKind.NOT_FOUND, "HTTP 404", "maker/gone")
    )
    lines = shown(130, call(0, "words"), failed)
    assert any("gone" in line and "left out" in line for line in lines)
    assert any("no such model: HTTP 404" in line for line in lines)


def test_rules_end_where_the_window_does() -> None:
    """Under each other in a narrow window, every rule is as wide as the window."""
    lines = shown(70, call(0, "words"), call(1, "words"), terminal=False)
    rules = [line for line in lines if line.startswith("── ")]
    assert [len(rule) for rule in rules] == [70, 70]
