"""--when auto: the aggregator answers alone, or consults the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from fake_tools import FakeTools, calls
from virtual_time import run

from bot.client.adapt import Adaptation, RequestAdapter
from bot.errors import Failure, FailureKind
from bot.events import Event, Notice, ReplyDelta, RoundFinished, RoundStarted, ToolStarted
from bot.messages import Agent, Ask
from bot.method.mixture import Mixture
from bot.turn_result import ALONE, TurnResult

ASKS = calls(("consult_panel", {"question": "Do cats purr?"}))
CANNOT = "judge cannot call tools, so it cannot decide whether to consult the panel: it always does."


def turns(
    replies: dict[str, Any],
    count: int = 1,
    *,
    models: FakeModels | None = None,
    tools: FakeTools | None = None,
    wrap: Any = None,
    run_options: dict[str, Any] | None = None,
    rounds: int = 1,
    tools_of_plan: tuple[str, ...] = (),
    **plan: Any,
) -> tuple[FakeAsk, list[tuple[list[Event], TurnResult]]]:
    """Run turns of one mixture of a, b and the aggregator "judge"; returns the way to ask, and each turn."""
    fake = FakeAsk(replies)
    ask: Ask = wrap(fake) if wrap else fake
    texts = {"consult": "ASK A PANEL", **plan.pop("instructions", {})}
    made = make_plan(
        layers("a", "b", rounds=rounds), on_demand=True, instructions=texts, tools=tools_of_plan, **plan
    )
    mixture = Mixture(made, ask, models or FakeModels(price=1.0), tools=tools)

    async def work() -> list[tuple[list[Event], TurnResult]]:
        return [await run_turn(mixture, "question", **run_options or {}) for _ in range(count)]

    return fake, run(work())


def asked(fake: FakeAsk) -> list[str]:
    return [request.model for request in fake.requests]


def offered(fake: FakeAsk, number: int) -> list[str]:
    tools: Any = fake.requests[number].extra.get("tools", [])
    return [each["function"]["name"] for each in tools]


def shown(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReplyDelta))


def test_the_aggregator_answers_alone() -> None:
    """One call, which is offered the panel; its answer is the reply."""
    fake, [(events, result)] = turns({"judge": "Hello!"})
    assert (asked(fake), offered(fake, 0)) == (["judge"], ["consult_panel"])
    assert "ASK A PANEL" in str(fake.requests[0].extra["tools"])
    assert (result.reply, result.status, result.rounds, result.panel) == ("Hello!", "done", (), None)
    assert result.aggregator
    assert (result.aggregator.slot.round, result.consultation, result.attempts) == (ALONE, None, ())
    assert not [event for event in events if isinstance(event, RoundStarted)]


@pytest.mark.parametrize(
    ("call", "question"),
    [
        (ASKS, "Answer this question: Do cats purr?"),
        (calls(("consult_panel", {"question": " question "})), ""),
        (calls(("consult_panel", {})), ""),
        (calls(("consult_panel", {"question": ["x"]})), ""),
        (calls(("consult_panel", "{not json")), ""),
        (calls(("consult_panel", "null")), ""),
        (calls(("consult_panel", {"question": "x" * 9_000})), "Answer this question: " + "x" * 4_000),
        (calls(("consult_panel", {"question": "1"}), ("consult_panel", {"question": "2"})),
         "Answer this question: 1"),
    ],
)  # fmt: skip
def test_the_aggregator_consults_the_panel(call: Any, question: str) -> None:
    """The rounds run once, shown and paid like any; the reference models are offered no panel."""
    fake, [(events, result)] = turns({"judge": [call, "They do."], "a": "yes", "b": "no"}, rounds=2)
    assert asked(fake) == ["judge", "a", "b", "a", "b", "judge"]
    assert [offered(fake, number) for number in range(6)] == [["consult_panel"], [], [], [], [], []]
    assert fake.to("a")[0].messages[-1].content == "\n\n".join(filter(None, ["question", question]))
    assert fake.to("a")[1].messages[-1].content.endswith(question)
    last = fake.requests[-1].messages[-1].content
    assert "yes" in last
    assert "no" in last
    assert "INSTRUCTION" in last
    assert [event.round for event in events if isinstance(event, RoundFinished)] == [1, 2]
    assert [event.name for event in events if isinstance(event, ToolStarted)] == ["consult_panel"]
    assert (result.reply, shown(events), result.status) == ("They do.", "They do.", "done")
    assert result.consultation
    assert [each.name for each in result.consultation.tool_runs] == ["consult_panel"]
    assert (len(result.calls), len(result.rounds), result.attempts) == (6, 2, ())
    assert result.cost == 3 + 4 * 1 + 2


def test_what_was_written_before_begins_the_reply() -> None:
    """It has been streamed; the panel's reply goes on in a new paragraph."""
    before = calls(("consult_panel", {"question": "q"}), text="Let me ask.")
    fake, [(_events, result)] = turns({"judge": [before, "They do."]})
    assert result.reply == "Let me ask.\n\nThey do."
    assert len(fake.requests) == 4


def test_other_tools_of_an_aggregator_that_answers_alone() -> None:
    """With --tools_for all it may use them before it decides; each is used as usual."""
    search = calls(("web_search", {"query": "cats"}))
    tools = FakeTools()
    fake, [(_, result)] = turns(
        {"judge": [search, ASKS, "They do."]}, tools=tools, tools_for_all=True, tools_of_plan=("web",)
    )
    assert result.reply == "They do."
    assert offered(fake, 0) == ["consult_panel", "web_search", "web_fetch"]
    assert tools.ran == [("web_search", {"query": "cats"})]
    assert result.consultation
    assert [each.name for each in result.consultation.tool_runs] == ["web_search", "consult_panel"]
    assert result.consultation.completion
    assert result.consultation.completion.usage.completion_tokens == 6


def test_a_panel_model_cannot_consult_the_panel() -> None:
    """A reference model that calls the tool all the same is told that there is none."""
    tools = FakeTools()
    fake, [(_, result)] = turns(
        {"judge": [ASKS, "They do."], "a": [ASKS, "yes"]}, tools=tools, tools_of_plan=("web",)
    )
    assert "there is no tool of that name" in str(fake.to("a")[1].messages[-1].content)
    assert (len(result.rounds), result.reply) == (1, "They do.")


@pytest.mark.parametrize("mode", ["moa", "fusion", "critique", "vote", "compare", "rank"])
def test_every_mode(mode: str) -> None:
    """The last layer is that of the mode; a turn that is answered alone is the same in all of them."""
    names = ("rank", "compare", "fuse", "review", "revise", "vote")
    texts = {name: f"{name} this" for name in names if name != "vote" or mode == "vote"}
    [(_, alone)] = turns({"judge": "Hello!"}, mode=mode, instructions=texts)[1]
    assert (alone.reply, len(alone.calls)) == ("Hello!", 1)
    replies = {"judge": [ASKS, "1", "1", "1"], "a": "yes", "b": "yes"}
    _fake, [(events, result)] = turns(replies, mode=mode, instructions=texts)
    assert result.reply
    assert result.status == "done"
    assert result.consultation is result.calls[0]
    assert [event.round for event in events if isinstance(event, RoundStarted)] == [1]
    assert all(call.slot.round > ALONE for call in result.attempts)


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_that_is_known_to_call_no_tools(count: int) -> None:
    """The panel is asked always, which is said once."""
    models = FakeModels(price=1.0, without_tools=frozenset({"judge"}))
    fake, done = turns({}, count, models=models)
    assert asked(fake) == ["a", "b", "judge"] * count
    assert [[each.text for each in events if isinstance(each, Notice)] for events, _ in done] == [
        [CANNOT], [], [],
    ][:count]  # fmt: skip


@pytest.mark.parametrize("adapted", [False, True])
def test_a_model_whose_service_refuses_the_tools(*, adapted: bool) -> None:
    """It is not asked without the tool: it could not decide then. Later turns do not try again."""
    no = Failure(FailureKind.BAD_REQUEST, "no tools", "judge", refused="tools")

    def wrap(fake: Ask) -> Ask:
        return RequestAdapter(
            fake, lambda _endpoint, _model: Adaptation(("tools",)) if adapted else Adaptation()
        )

    fake, done = turns({"judge": "They do." if adapted else [no, "They do."]}, 2, wrap=wrap)
    assert asked(fake) == [*([] if adapted else ["judge"]), *["a", "b", "judge"] * 2]
    for place, (events, result) in enumerate(done):
        assert (result.reply, result.status, result.attempts) == ("They do.", "done", ())
        notices = [each.text for each in events if isinstance(each, Notice)]
        assert notices == ([CANNOT] if place == 0 else [])


@pytest.mark.parametrize("plan", [{"reply_fields": {"tools": [{}]}}, {}])
def test_where_the_aggregator_cannot_be_asked_first(plan: dict[str, Any]) -> None:
    """With a client's tools, and where a reply is continued, the panel is asked always."""
    options = {} if plan else {"prefill": "They"}
    fake, _ = turns({"judge": "They do."}, run_options=options, **plan)
    assert asked(fake) == ["a", "b", "judge"]


def test_a_fallback_answers_alone() -> None:
    """An aggregator that fails before the rounds is followed by its fallbacks, which may consult too."""
    replies = {"judge": failed(), "second": [ASKS, "They do."]}
    fake, [(_, result)] = turns(replies, fallbacks=(Agent("second"),))
    assert asked(fake) == ["judge", "second", "a", "b", "second"]
    assert len(result.notices) == len(set(result.notices))
    assert result.consultation
    assert (result.reply, result.consultation.slot.agent.model) == ("They do.", "second")
    assert [call.slot.agent.model for call in result.attempts] == ["judge"]


def test_all_fail_alone() -> None:
    """The turn fails as that of a lone model."""
    fake, [(_, result)] = turns({"judge": failed()})
    assert (result.status, asked(fake), result.consultation) == ("failed", ["judge"], None)


def test_the_panel_fails() -> None:
    """The turn fails as any turn whose first round gave no answers; no aggregator was asked after it."""
    _fake, [(_, result)] = turns({"judge": ASKS, "a": failed(), "b": failed()})
    assert (result.status, result.aggregator, len(result.calls)) == ("failed", None, 3)
    assert result.consultation
