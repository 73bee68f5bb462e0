"""A draft on a terminal: it streams at once, and the revision takes its place."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    CallStarted,
    DraftAccepted,
    DraftDelta,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    TurnFinished,
)
from bot.messages import Agent, Completion, Usage
from bot.render.reply import PipeView
from bot.render.terminal_view import TerminalView
from bot.turn_result import Call, Slot, TurnResult

MakeScreen = Callable[..., Any]

AUTHOR = Agent("Qwen/Qwen3.7-Max")
DRAFT_SLOT, REVISION_SLOT = Slot(1, 0, AUTHOR, "draft"), Slot(3, 0, AUTHOR, "aggregator")
REVIEWERS = tuple(
    Slot(2, index, Agent(model), "review") for index, model in enumerate(("zai/GLM-5.3", "moon/Kimi-K3"))
)
DRAFT, REVISED = "The capital is *Sydney*.\n\nIt lies on the coast.", "The capital is **Canberra**."


def answered(slot: Slot, text: str) -> Call:
    return Call(slot, Completion(text, usage=Usage(10, 5), seconds=1.0), cost=0.001)


def turn(*, draft: str = DRAFT, revised: str = REVISED) -> Iterator[Event]:
    """Yield a turn; without a revision the draft is accepted."""
    yield AggregatorStarted(DRAFT_SLOT, 0)
    yield CallStarted(DRAFT_SLOT)
    yield from (DraftDelta(text=draft[at : at + 7]) for at in range(0, len(draft), 7))
    yield CallFinished(answered(DRAFT_SLOT, draft))
    yield RoundStarted(1, 1, REVIEWERS)
    yield from (CallStarted(slot) for slot in REVIEWERS)
    yield CallDelta(REVIEWERS[0], "- It is")
    reviews = tuple(answered(slot, "- It is Canberra." if revised else "nothing") for slot in REVIEWERS)
    yield from (CallFinished(call) for call in reviews)
    yield RoundFinished(1, 1, reviews, 2.0)
    calls = (answered(DRAFT_SLOT, draft), *reviews)
    if revised:
        yield AggregatorStarted(REVISION_SLOT, 2)
        yield CallStarted(REVISION_SLOT)
        yield from (ReplyDelta(text=revised[at : at + 7]) for at in range(0, len(revised), 7))
        yield CallFinished(answered(REVISION_SLOT, revised))
        calls += (answered(REVISION_SLOT, revised),)
    else:
        yield Notice("2 reviewers found nothing to change: the reply is the draft.")
        yield DraftAccepted()
        yield ReplyDelta(draft)
    yield TurnFinished(TurnResult("done", revised or draft, "", AUTHOR.model, calls, None, 0.5, 4.0))


def play(view: TerminalView, events: Iterator[Event], until: type[Event] | None = None) -> None:
    """Show events, as far as the first one of a type."""
    for event in events:
        view.handle_event(event)
        view.refresh()
        if until is not None and isinstance(event, until):
            return
    view.close()


SUMMARY = "  Qwen3.7-Max ← 2 reviewers · first word 0.5 s · 4.0 s · 60 tokens · $0.004"


def test_the_draft_stands_while_it_is_reviewed(make_screen: MakeScreen) -> None:
    """Its words are there at once, named as a draft, with the reviewers below."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console), turn(), until=CallDelta)
    rows = [row for row in screen.rows() if row]
    assert rows[:3] == ["  draft · Qwen3.7-Max", "The capital is Sydney.", "It lies on the coast."]
    assert rows[3].startswith("  review")
    assert "GLM-5.3" in rows[4]


def test_the_revision_takes_the_place_of_the_draft(make_screen: MakeScreen) -> None:
    """Nothing of the draft is left on the screen."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console), turn())
    assert [row for row in screen.rows() if row] == [
        "  review   2 of 2   2.0 s   slowest Kimi-K3",
        "The capital is Canberra.",
        SUMMARY,
    ]
    screen.assert_in_order()


@pytest.mark.parametrize("height", [4, 6, 8, 10, 12, 13, 14, 15, 16, 18])
def test_a_draft_longer_than_the_screen_stays(make_screen: MakeScreen, height: int) -> None:
    """What has left the screen cannot be taken back: a rule says where the revision begins."""
    draft = "\n\n".join(f"Paragraph {number}." for number in range(5))  # 9 rows, 2 above, 1 below
    screen = make_screen(80, height)
    play(TerminalView(screen.console, screen.console), turn(draft=draft))
    rows = [row for row in screen.rows() if row]
    assert rows[-2:] == ["The capital is Canberra.", SUMMARY]
    if "Paragraph 0." not in rows:
        assert rows[0] == "  review   2 of 2   2.0 s   slowest Kimi-K3"
        assert height >= 12
    else:
        assert rows[:6] == ["  draft · Qwen3.7-Max", *(f"Paragraph {number}." for number in range(5))]
        assert rows[6].startswith("  ── revised ──")
        assert rows[7].startswith("  review   2 of 2")
    assert sum("Paragraph" in row for row in rows) in {0, 5}


def test_lines_printed_by_others_below_the_draft_keep_it(make_screen: MakeScreen) -> None:
    """The log, or a suspended chat: the draft is not counted on to be where it was."""
    screen = make_screen(80, 24)
    view = TerminalView(screen.console, screen.console)
    events = turn()
    play(view, events, until=CallDelta)
    view.clear_live_rows()
    screen.console.file.write("a line of the log\n")
    play(view, events)
    rows = [row for row in screen.rows() if row]
    assert rows[:4] == [
        "  draft · Qwen3.7-Max",
        "The capital is Sydney.",
        "It lies on the coast.",
        "a line of the log",
    ]
    assert rows[4].startswith("  ── revised ──")


def test_an_accepted_draft_stays_and_is_not_repeated(make_screen: MakeScreen) -> None:
    """It has become the reply."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console), turn(revised=""))
    assert [row for row in screen.rows() if row] == [
        "  draft · Qwen3.7-Max",
        "The capital is Sydney.",
        "It lies on the coast.",
        "  review   2 of 2   2.0 s   slowest Kimi-K3",
        "  2 reviewers found nothing to change: the reply is the draft.",
        "  Qwen3.7-Max ← 2 reviewers · first word 0.5 s · 4.0 s · 45 tokens · $0.003",
    ]
    screen.assert_in_order()


def test_answers_shown_as_they_come_keep_the_draft(make_screen: MakeScreen) -> None:
    """Ctrl-O shows the reviews below it."""
    screen = make_screen(80, 40)
    view = TerminalView(screen.console, screen.console)
    view.toggle_answers()
    play(view, turn())
    text = "\n".join(screen.rows())
    assert text.count("── GLM-5.3, review") == 1
    assert text.index("It lies on the coast.") < text.index("GLM-5.3, review") < text.index("── revised")


@pytest.mark.parametrize("revised", ["", REVISED])
@pytest.mark.parametrize("more", [{"keep": False}, {"plain": True}, {"stream": False}])
def test_where_only_the_reply_is_to_stay_the_draft_is_not_written(
    make_screen: MakeScreen, more: dict[str, bool], revised: str
) -> None:
    """One question, a plain terminal, no streaming: the reply comes once, and is the last text."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console, **more), turn(revised=revised))
    text = "\n".join(screen.rows())
    assert text.count("The capital is") == 1
    assert "draft ·" not in text


@pytest.mark.parametrize(("revised", "written"), [(REVISED, REVISED), ("", DRAFT)])
@pytest.mark.parametrize("stream", [True, False])
def test_a_pipe_gets_the_final_text_alone(*, revised: str, written: str, stream: bool) -> None:
    """A script never reads a draft."""
    out = io.StringIO()
    view = PipeView(out, io.StringIO(), stream=stream)
    for event in turn(revised=revised):
        view.handle_event(event)
    view.close()
    assert out.getvalue() == written + "\n"
