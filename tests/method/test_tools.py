"""Tool calls and their results in a turn, and replies that continue a given beginning."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, layers, make_plan

from bot.events import ReplyDelta
from bot.messages import Completion, Message, ToolCall, Usage
from bot.method.mixture import Mixture
from bot.method.prompts import CONTINUE, tools_as_text
from bot.turn_result import TurnResult

CALL = ToolCall("call_1", "weather", '{"city":"Oslo"}')
CALLED = Message("assistant", "", tool_calls=(CALL,))
RESULT = Message("tool", "rain", tool_call_id="call_1")
TOOLS = {"tools": [{"type": "function", "function": {"name": "weather"}}]}


def turn(
    replies: dict[str, Any], *, plan: dict[str, Any] | None = None, **run: Any
) -> tuple[FakeAsk, str, TurnResult]:
    """Run one turn; returns the way to ask, the streamed text, and the result."""
    ask = FakeAsk(replies)
    mixture = Mixture(make_plan(layers("a", rounds=2), **(plan or {})), ask, FakeModels())

    async def work() -> tuple[str, TurnResult]:
        history = run.pop("history", ())
        events = [event async for event in mixture.run(history, "How is it in Oslo?", **run)]
        return "".join(event.text for event in events if isinstance(event, ReplyDelta)), events[-1].result  # type: ignore[union-attr]  # the last is TurnFinished

    return ask, *asyncio.run(work())


def test_tools_are_offered_to_the_aggregator_alone() -> None:
    """Its calls end the turn: a reply without a word is no failure then."""
    calls = Completion("", usage=Usage(9, 3), finish_reason="tool_calls", tool_calls=(CALL,))
    ask, text, result = turn({"judge": calls}, plan={"reply_fields": TOOLS})
    assert [request.extra for request in ask.requests] == [{}, {}, TOOLS]
    assert (text, result.status, result.reply) == ("", "done", "")
    assert result.aggregator
    assert result.aggregator.completion == calls


def test_calls_that_nobody_asked_for() -> None:
    """A model that calls a tool without being offered one has not answered."""
    _, _, result = turn({"judge": Completion("", tool_calls=(CALL,))})
    assert result.aggregator
    assert result.reply == "answer of a"


@pytest.mark.parametrize("placement", ["prompt", "system"])
def test_a_conversation_with_tools(placement: str) -> None:
    """The aggregator reads tool messages in their own form, the references as text; answers come last."""
    earlier = (Message("user", "hi"), CALLED, RESULT, Message("assistant", "It rains."))
    ask, _, _ = turn({}, plan={"placement": placement}, history=earlier, after=(CALLED, RESULT))
    first, second, reply = (request.messages for request in ask.requests)
    said = ('[call of the tool weather: {"city":"Oslo"}]', "[result of the tool weather]\nrain")
    assert [message.content for message in first if message.role != "system"] == [
        "hi", *said, "It rains.", "How is it in Oslo?", *said
    ]  # fmt: skip
    roles = [message.role for message in second if message.role != "system"]
    assert roles == ["user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert not any(message.tool_calls or message.tool_call_id for message in (*first, *second))
    where = 0 if placement == "system" else -1
    assert "answer of a" in second[where].content
    assert "answer of a" in reply[where].content
    kept = [message for message in reply if message.role in ("assistant", "tool")]
    assert kept == [CALLED, RESULT, Message("assistant", "It rains."), CALLED, RESULT]
    assert reply[-1].role == ("tool" if placement == "system" else "user")


def test_results_of_calls_made_together() -> None:
    """Several results are one message of the user, also of a tool that is not known."""
    other = Message("tool", "snow", tool_call_id="lost")
    assert tools_as_text([CALLED, RESULT, other]) == (
        Message("assistant", '[call of the tool weather: {"city":"Oslo"}]'),
        Message("user", "[result of the tool weather]\nrain\n\n[result of a tool]\nsnow"),
    )


@pytest.mark.parametrize(
    "rest",
    [
        " green.",
        "The grass is green.",
        Completion(" green.", usage=Usage(1, 1)),
        Completion("The grass is green.", usage=Usage(1, 1)),
    ],
)
def test_a_given_beginning(rest: Any) -> None:
    """The aggregator is asked for the rest; what it repeats of the beginning is left out."""
    ask, text, result = turn({"judge": rest}, prefill="The grass is")
    assert result.reply == " green."
    assert text in ("", " green.")
    *_, beginning, instruction = ask.to("judge")[0].messages
    assert (beginning, instruction) == (Message("assistant", "The grass is"), Message("user", CONTINUE))
    assert all(message.content != "The grass is" for message in ask.to("a")[0].messages)


@pytest.mark.parametrize("given", ["{", '{"a":', "1"])
def test_a_short_beginning_that_is_repeated(given: str) -> None:
    """Of a beginning that is repeated as a whole no part is sent twice."""
    _, _, result = turn({"judge": f"{given} and more"}, prefill=given)
    assert result.reply == " and more"
