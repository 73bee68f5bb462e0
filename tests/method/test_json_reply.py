"""--schema: the reply is JSON that has been checked, asked for once more, or marked as what it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_models import CutAfter, FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped

from bot.client.adapt import RequestAdapter
from bot.errors import Failure, FailureKind
from bot.events import CallFinished, Notice, ReplyDelta
from bot.messages import Agent, Completion, ToolCall, Usage
from bot.method.consult import CONSULT_PANEL
from bot.method.mixture import Mixture
from bot.settings.reply_schema import schema_of_fields
from bot.text.reply_format import format_of_schema

SCHEMA = schema_of_fields("name, age int")
FORM = format_of_schema(SCHEMA)
GOOD = '{"name": "Ada", "age": 36}'
WRONG = '{"name": "Ada", "age": "36"}'
PROSE = "Ada was 36."


def mixture(said: Any, *, models: FakeModels | None = None, **more: Any) -> tuple[Mixture, FakeAsk]:
    ask = FakeAsk({"a": PROSE, "b": "Ada, 36", "judge": said, "spare": GOOD})
    plan = make_plan(layers("a", "b"), reply_format=FORM, **more)
    return Mixture(plan, ask, models or FakeModels()), ask


@pytest.mark.parametrize(
    "reply",
    [GOOD, f"```json\n{GOOD}\n```", f"\n {GOOD} \n", f"```\n{GOOD}```", f"```json {GOOD} ```"],
    ids=["bare", "fence", "b", "f", "one-line"],
)
@pytest.mark.parametrize("rounds", [0, 1])
@looped
async def test_the_reply_is_json(reply: str, rounds: int) -> None:
    """References are asked for an answer, the aggregator for JSON; nothing else reaches the reply."""
    asked, ask = mixture(reply)
    if not rounds:
        asked = Mixture(make_plan((), reply_format=FORM, min_references=0), ask, FakeModels())
    events, result = await run_turn(asked)
    assert (result.status, result.reply, result.reply_object) == ("done", GOOD, {"name": "Ada", "age": 36})
    assert [event.text for event in events if isinstance(event, ReplyDelta) and event.text] == [GOOD]
    [request] = ask.to("judge")
    assert request.extra["response_format"] == FORM.field
    assert json.dumps(SCHEMA) in request.messages[-1].content
    for reference in ask.to("a"):
        assert "response_format" not in reference.extra
        assert "JSON" not in str(reference.messages)


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (WRONG, "at $.age: '36' is not of type 'integer'"),
        (PROSE, "it is not JSON"),
        ('{"name": "Ada"}', "at $: 'age' is a required property"),
        ('{"name": "Ada", "age": NaN}', "it is not JSON"),
        ('{"name": "Ada", "age": 1e999}', "it is not JSON"),
        ("[]", "at $: [] is not of type 'object'"),
        (GOOD + "\nI hope this helps!", "it is not JSON"),
    ],
)
@pytest.mark.parametrize("mode", ["moa", "fusion", "critique"])
@looped
async def test_a_wrong_reply_is_asked_for_again(first: str, problem: str, mode: Any) -> None:
    """Once, with the mistakes; what the rejected reply cost is counted."""
    asked, ask = mixture([first, GOOD], mode=mode, judge=Agent("b"), models=FakeModels(price=1.0))
    events, result = await run_turn(asked)
    assert (result.status, result.reply) == ("done", GOOD)
    second = ask.to("judge")[1].messages
    assert (second[-2].role, second[-2].content) == ("assistant", first)
    assert problem in second[-1].content
    rejected = next(c for c in result.calls if c.failure and c.failure.kind is FailureKind.INVALID_REPLY)
    assert rejected.completion is not None
    assert rejected.cost == rejected.completion.usage.completion_tokens
    assert result.cost == sum(call.cost or 0 for call in result.calls)
    assert any(problem in event.text for event in events if isinstance(event, Notice))
    assert first not in [event.text for event in events if isinstance(event, ReplyDelta)]
    slots = [event.call.slot for event in events if isinstance(event, CallFinished)]
    assert len(set(slots)) == len(slots)


@pytest.mark.parametrize("mode", ["moa", "critique"])
@looped
async def test_a_reply_that_stays_wrong(mode: Any) -> None:
    """It is kept as partial, with the reason, and not streamed; the model is asked twice and no more."""
    asked, ask = mixture([PROSE, WRONG], mode=mode)
    events, result = await run_turn(asked)
    assert (result.status, result.reply, result.reply_object) == ("partial", WRONG, None)
    assert result.writer is not None
    assert result.writer.completion is not None
    assert "not the JSON that was asked for: at $.age" in result.writer.completion.partial
    assert len(ask.to("judge")) == 2
    if mode == "moa":
        assert not [event for event in events if isinstance(event, ReplyDelta) and event.text]


@looped
async def test_another_aggregator_writes_the_json() -> None:
    """When the second request fails, and when the first does."""
    for said in ([PROSE, failed(FailureKind.SERVICE)], failed(FailureKind.SERVICE)):
        asked, ask = mixture(said, fallbacks=(Agent("spare"),))
        _, result = await run_turn(asked)
        assert (result.status, result.reply, result.model) == ("done", GOOD, "spare")
        assert ask.to("spare")[0].extra["response_format"] == FORM.field


@looped
async def test_json_that_broke_off() -> None:
    """The rest is asked for in words: a service that writes whole JSON only could not write it."""
    asked, ask = mixture([CutAfter(GOOD[:12]), GOOD[12:]])
    _, result = await run_turn(asked)
    assert (result.status, result.reply) == ("done", GOOD)
    assert "response_format" not in ask.to("judge")[1].extra


@looped
async def test_a_proposal_in_the_place_of_json_is_not_streamed() -> None:
    """Without any aggregator the reply is partial, as ever."""
    asked, _ = mixture(failed(FailureKind.SERVICE))
    events, result = await run_turn(asked)
    assert (result.status, result.reply) == ("partial", PROSE)
    assert not [event for event in events if isinstance(event, ReplyDelta) and event.text]


@looped
async def test_a_service_that_refuses_the_field() -> None:
    """It is asked without it, and the JSON is checked all the same."""

    def reply(request: Any) -> Failure | Completion:
        if "response_format" not in request.endpoint.rejects:
            return Failure(FailureKind.BAD_REQUEST, "no", status=400, refused="response_format")
        return Completion(GOOD, usage=Usage(1, 1), finish_reason="stop")

    ask = FakeAsk({"judge": reply})
    plan = make_plan(layers("a", "b"), reply_format=FORM)
    events, result = await run_turn(Mixture(plan, RequestAdapter(ask), FakeModels()))
    assert (result.status, result.reply) == ("done", GOOD)
    assert any("without response_format" in e.text for e in events if isinstance(e, Notice))


@looped
async def test_the_panel_is_consulted_before_the_json() -> None:
    """What the aggregator says before it consults the panel is no reply yet, and is not checked."""
    said = Completion(
        "I ask the panel.",
        tool_calls=(ToolCall("1", CONSULT_PANEL, '{"question": "Who?"}'),),
        usage=Usage(1, 1),
    )
    asked, ask = mixture([said, GOOD], on_demand=True)
    events, result = await run_turn(asked)
    assert (result.status, result.reply, result.reply_object) == ("done", GOOD, json.loads(GOOD))
    assert [event.text for event in events if isinstance(event, ReplyDelta) and event.text] == [GOOD]
    assert len(ask.to("a")) == 1
