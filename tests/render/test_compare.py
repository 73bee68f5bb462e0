"""Mode "compare": the answers as they are, with a judge's comparison only if one is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped

from bot.events import ReplyDelta, SideBySide
from bot.messages import Agent
from bot.method.mixture import Mixture
from bot.render.reply import PipeView
from bot.render.terminal_view import TerminalView

FOUND = json.dumps({"unique": [{"claim": "b knows it", "answer": 2}], "blind_spots": ["why not"]})
REPLIES = {"x/a": "One *thing*.", "x/b": "Another.", "c": failed(), "d": "A third.", "other": FOUND}
TEXT = "## 1 · a\n\nOne *thing*.\n\n## 2 · b\n\nAnother.\n\n## 3 · d\n\nA third."


def comparing(**more: Any) -> tuple[Mixture, FakeAsk]:
    ask = FakeAsk(REPLIES)
    plan = make_plan(layers("x/a", "x/b", "c", "d"), mode="compare", instructions={"compare": "C"}, **more)
    return Mixture(plan, ask, FakeModels(price=0.5)), ask


@looped
async def test_the_reply_is_the_answers_under_their_names() -> None:
    """Numbered without gaps; the aggregator is not asked, and without --judge no judge either."""
    mixture, ask = comparing()
    events, result = await run_turn(mixture)
    assert (result.status, result.reply, result.analysis) == ("done", TEXT, None)
    assert [event.text for event in events if isinstance(event, ReplyDelta)] == [TEXT]
    assert ask.to("judge") == []
    assert result.aggregator is None
    [shown] = [event for event in events if isinstance(event, SideBySide)]
    assert [call.slot.agent.model for call in shown.calls] == ["x/a", "x/b", "d"]


@looped
async def test_a_judge_that_is_named_compares() -> None:
    """Its comparison stands above the answers, with their numbers."""
    mixture, ask = comparing(judge=Agent("other"))
    _, result = await run_turn(mixture)
    assert result.analysis is not None
    assert result.reply.endswith(TEXT)
    assert result.reply.startswith("## Comparison\n\nOnly one answer says:\n- b knows it (answer 2)")
    assert len(ask.to("other")) == 1
    assert [call.slot.role for call in result.calls] == ["reference"] * 4 + ["judge"]


@looped
async def test_a_judge_that_fails_costs_only_the_comparison() -> None:
    """The answers are the reply all the same."""
    mixture, ask = comparing(judge=Agent("other"))
    ask.replies["other"] = [failed()]
    _, result = await run_turn(mixture)
    assert (result.status, result.reply) == ("done", TEXT)


@pytest.mark.parametrize(
    ("width", "row"),
    [(60, "One thing."), (90, "One thing." + " " * 36 + "Another."), (130, "One thing.")],
)
@looped
async def test_a_wide_terminal_has_them_side_by_side(
    make_screen: Callable[..., Any], width: int, row: str
) -> None:
    """One, two or three in a row; nothing is written twice."""
    events, _ = await run_turn(comparing(judge=Agent("other"))[0])
    screen = make_screen(width, 60)
    view = TerminalView(screen.console, screen.console)
    for event in events:
        view.handle_event(event)
    view.close()
    rows = screen.rows()
    [found] = [each for each in rows if "One thing." in each]
    assert found.startswith(row)
    assert ("A third." in found) is (width == 130)
    text = "\n".join(rows)
    assert text.count("A third.") == 1
    assert "3 · d" in text
    assert text.index("only b says") < text.index("1 · a")
    assert any(each.startswith("  4 models · ") for each in rows)


@pytest.mark.parametrize("stream", [True, False])
@looped
async def test_a_pipe_has_them_one_after_the_other(*, stream: bool) -> None:
    """Under headings."""
    events, _ = await run_turn(comparing()[0])
    out = io.StringIO()
    view = PipeView(out, io.StringIO(), stream=stream)
    for event in events:
        view.handle_event(event)
    view.close()
    assert out.getvalue() == TEXT + "\n"
