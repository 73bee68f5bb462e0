"""What Ctrl-C does in each part of a turn."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from bot.events import AggregatorStarted, Event, RoundStarted
from bot.messages import Agent
from bot.method.mixture import CancelToken
from bot.render.view import View
from bot.repl.turn_keyboard import TurnKeyboard
from bot.turn_result import Slot

ROUND = RoundStarted(1, 1, (Slot(1, 0, Agent("a")),))
REVIEW = RoundStarted(1, 1, (Slot(2, 0, Agent("a"), "review"),))
DRAFT = AggregatorStarted(Slot(1, 0, Agent("b"), "draft"), 0)
REPLY = AggregatorStarted(Slot(2, 0, Agent("b"), "aggregator"), 1)


@pytest.mark.parametrize(
    ("events", "stops"),
    [
        ([], False),
        ([ROUND], False),
        ([ROUND, REPLY], True),
        ([DRAFT], True),
        ([DRAFT, REVIEW], False),
        ([DRAFT, REVIEW, REPLY], True),
    ],
)
def test_ctrl_c(events: list[Event], stops: Any) -> None:
    """While models answer or review it stops waiting for them; while one writes it stops the turn."""

    async def press() -> CancelToken:
        cancel_token = CancelToken()
        keyboard = TurnKeyboard(cast("Any", None), cancel_token, View())
        for event in events:
            keyboard.handle_event(event)
        keyboard.interrupt()
        return cancel_token

    cancel_token = asyncio.run(press())
    assert (cancel_token.stopped, cancel_token.round_cut) == (stops, not stops)
