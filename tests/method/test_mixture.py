"""The loop of rounds and aggregator, with models in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fake_models import CutAfter, FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from virtual_time import run

from bot.errors import Failure, FailureKind
from bot.events import CallFinished, Notice, ReplyDelta, RoundFinished, RoundStarted, TurnFinished
from bot.messages import Agent, CallUpdate, Completion, Delta, Message, Request, Usage
from bot.method.mixture import CancelToken, Mixture
from bot.method.plan import Plan
from bot.method.round_timeout import RoundTimeout
from bot.turn_result import Slot, TurnResult


def turn(
    plan: Plan, ask: FakeAsk, models: FakeModels | None = None, **more: Any
) -> tuple[list[Any], TurnResult]:
    mixture = Mixture(plan, ask, models or FakeModels())
    return run(run_turn(mixture, **more))


def sent(request: Request) -> str:
    return "\n\n".join(message.content for message in request.messages)


def test_rounds_then_aggregator() -> None:
    """Round 1 sees no answers, round 2 all of round 1, the aggregator all of round 2."""
    ask = FakeAsk({"a": ["a1", "a2"], "b": ["b1", "b2"], "judge": "the reply"})
    events, result = turn(make_plan(layers("a", "b", rounds=2)), ask)
    first, second = ask.to("a")
    assert first.messages == (Message("user", "question"),)
    for request in (second, ask.to("b")[1]):
        assert "a1" in sent(request)
        assert "b1" in sent(request)
    judged = sent(ask.to("judge")[0])
    assert "a2" in judged
    assert "b2" in judged
    assert "a1" not in judged
    assert "INSTRUCTION" in judged
    assert result.reply == "the reply"
    assert [type(event) for event in events if isinstance(event, RoundStarted | RoundFinished)] == [
        RoundStarted,
        RoundFinished,
        RoundStarted,
        RoundFinished,
    ]
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == "the reply"


def test_layers_of_their_own() -> None:
    """Each layer asks its own models with their own parameters."""
    plan = make_plan(
        ((Agent("a", temperature=0.2, max_tokens=7),), (Agent("b", system="be b"),)), seed=40, system="S"
    )
    ask = FakeAsk({})
    turn(plan, ask)
    a, b, judge = ask.requests
    assert (a.model, b.model, judge.model) == ("a", "b", "judge")
    assert (a.temperature, a.max_tokens, b.temperature, b.max_tokens) == (0.2, 7, 0.7, 2048)
    assert a.messages[0] == Message("system", "S")
    assert b.messages[0] == Message("system", "S\n\nbe b")
    assert b.messages[1].content.startswith("question\n\n<answer 1 of 1")
    assert a.seed == judge.seed == 40


def test_seeds_count_the_calls_of_a_round() -> None:
    """Call i of a round is sent seed + i, also when the same model is listed several times."""
    ask = FakeAsk({})
    turn(make_plan(layers("a", "a", "a"), seed=5), ask)
    assert sorted(request.seed or 0 for request in ask.to("a")) == [5, 6, 7]


def test_a_temperature_near_zero_is_zero() -> None:
    """Below 1e-4 a temperature is sent as 0."""
    ask = FakeAsk({})
    turn(make_plan(layers("a"), temperature=0.00009), ask)
    assert {request.temperature for request in ask.requests} == {0.0}


def test_failed_and_empty_answers_are_left_out() -> None:
    """Numbers have no gaps, nothing says None, and the events say who failed and why."""
    ask = FakeAsk({"a": "good", "b": failed(), "c": "  ", "d": "fine"})
    events, result = turn(make_plan(layers("a", "b", "c", "d")), ask)
    judged = sent(ask.to("judge")[0])
    assert "answer 1 of 2" in judged
    assert "answer 2 of 2" in judged
    assert "None" not in judged
    kinds = [call.failure.kind if call.failure else None for call in result.rounds[0]]
    assert kinds == [None, FailureKind.SERVICE, FailureKind.EMPTY, None]
    assert sum(isinstance(event, CallFinished) for event in events) == 5


def test_out_of_tokens_while_thinking_is_called_that() -> None:
    """An answer that is empty because thinking ate its tokens is reported as just that, with its cost."""
    thought = Completion("", "so many thoughts", Usage(5, 100), "length")
    ask = FakeAsk({"a": thought, "b": "fine"})
    _, result = turn(make_plan(layers("a", "b")), ask, FakeModels(price=1.0))
    call = result.rounds[0][0]
    assert call.failure
    assert call.failure.kind is FailureKind.OUT_OF_TOKENS
    assert "100 tokens" in str(call.failure)
    assert call.cost == 100
    assert "so many thoughts" not in sent(ask.to("judge")[0])


def test_an_aggregator_that_only_thinks_gives_no_reply() -> None:
    """With nothing to fall back on the turn fails, and nothing is said about the end of a reply."""
    thought = Completion("", "so many thoughts", Usage(5, 100), "length")
    _, result = turn(make_plan((), min_references=0), FakeAsk({"judge": thought}))
    assert (result.status, result.reply, result.notices) == ("failed", "", ())
    assert result.failure
    assert result.failure.kind is FailureKind.OUT_OF_TOKENS


def test_a_reply_at_its_limit_says_so() -> None:
    """A reply that ends because its tokens ran out gets a notice with their number."""
    cut = Completion("half a sen", usage=Usage(5, 100), finish_reason="length")
    _, result = turn(make_plan(layers("a"), max_tokens=100), FakeAsk({"judge": cut}))
    assert (result.status, result.finish_reason) == ("done", "length")
    assert result.notices == ("The reply ended at its limit of tokens (100): see --max_tokens.",)


@pytest.mark.parametrize(("tokens", "at_limit"), [(None, True), (99, True), (98, False), (1, False)], ids=str)
def test_a_reply_that_the_context_ended(tokens: int | None, at_limit: bool) -> None:  # noqa: FBT001 - a row of the table
    """With fewer tokens than were asked for, a larger --max_tokens is no remedy, and none is named."""
    cut = Completion("half a sen", usage=Usage(5, tokens), finish_reason="length")
    models = FakeModels(contexts={"judge": 4096})
    _, result = turn(make_plan(layers("a"), max_tokens=100), FakeAsk({"judge": cut}), models=models)
    [notice] = result.notices
    assert notice.startswith("The reply ended at its limit") is at_limit
    if not at_limit:
        assert f"ended after {tokens} tokens, before --max_tokens" in notice
        assert "judge (4,096 tokens) is full" in notice


def test_what_is_asked_of_references_and_aggregator() -> None:
    """References are collected and may be asked again after a part; the reply streams as it comes, once."""
    ask = FakeAsk({})
    turn(make_plan(layers("a"), max_tokens=99, reference_max_tokens=77), ask)
    asked = [(request.delta_interval, request.retry_partial, request.max_tokens) for request in ask.requests]
    assert asked == [(0.05, True, 77), (0.0, False, 99)]


def test_what_a_content_filter_stopped_is_not_used() -> None:
    """A failure is kept as it is, with its hint; of a reference that was filtered no part is used."""
    filtered = Failure(FailureKind.CONTENT_FILTER, "stopped by the filter", "a", 400, hint="ask differently")

    async def ask(request: Request) -> AsyncGenerator[CallUpdate, None]:
        if request.model == "a":
            yield Delta("word " * 100)
            yield filtered
        else:
            yield Failure(FailureKind.SERVICE, "down", request.model, 500, hint="wait")

    _, result = run(run_turn(Mixture(make_plan(layers("a", "b")), ask, FakeModels())))
    assert [call.failure and call.failure.hint for call in result.calls] == ["ask differently", "wait"]
    # What was streamed before the failure cost something, and nobody knows what.
    assert [call.cost for call in result.calls] == [None, 0.0]


@pytest.mark.parametrize(("characters", "answers"), [(199, 1), (200, 2)])
def test_the_least_part_of_a_reference_that_is_used(characters: int, answers: int) -> None:
    """A reference that is cut off is used from 200 characters on; white space around it does not count."""
    plan = make_plan(layers("a", "b"), round_timeout=RoundTimeout(deadline=1))
    ask = FakeAsk({"a": "\n" + "x" * characters + "\n"}, hold=["a"])
    _, result = turn(plan, ask)
    assert sum(bool(call.answer) for call in result.rounds[0]) == answers


@pytest.mark.parametrize(("needed", "status"), [(1, "done"), (2, "done"), (3, "failed")])
def test_the_least_number_of_references(needed: int, status: str) -> None:
    """The turn goes on with as many answers as asked for, else it fails and says why."""
    ask = FakeAsk({"b": failed(message="HTTP 500: out of order", model="b")})
    events, result = turn(make_plan(layers("a", "b", "c"), min_references=needed), ask)
    assert result.status == status
    assert [event.used for event in events if isinstance(event, RoundFinished)] == [status == "done"]
    if status == "failed":
        assert result.failure
        assert result.failure.kind is FailureKind.TOO_FEW
        assert "2 of 3" in result.failure.message
        assert "out of order" in result.failure.message
        assert not ask.to("judge")


def test_no_references_needed() -> None:
    """With min_references 0 the aggregator answers alone, without an instruction about answers."""
    ask = FakeAsk({"a": failed()})
    _, result = turn(make_plan(layers("a"), min_references=0), ask)
    assert result.status == "done"
    assert ask.to("judge")[0].messages == (Message("user", "question"),)


def test_a_later_round_that_fails_leaves_the_last_good_one() -> None:
    """Too few answers in round 2: the reply is made from round 1, and it says so."""
    ask = FakeAsk({"a": ["a1", failed()], "b": ["b1", failed()]})
    events, result = turn(make_plan(layers("a", "b", rounds=3)), ask)
    assert result.status == "done"
    assert len(result.rounds) == 2
    assert "a1" in sent(ask.to("judge")[0])
    assert any(isinstance(event, Notice) and "round 1" in event.text for event in events)
    assert "round 1" in result.notices[0]
    assert [event.used for event in events if isinstance(event, RoundFinished)] == [True, False]


def test_a_later_round_with_just_enough_answers_is_used() -> None:
    """As many answers as are needed make the reply, also in a later round."""
    ask = FakeAsk({"a": ["a1", failed()], "b": ["b1", "b2"]})
    events, result = turn(make_plan(layers("a", "b", rounds=2)), ask)
    assert "b2" in sent(ask.to("judge")[0])
    assert "b1" not in sent(ask.to("judge")[0])
    assert [event.used for event in events if isinstance(event, RoundFinished)] == [True, True]
    assert result.notices == ()


def test_one_cause_for_all_is_the_news() -> None:
    """When all fail alike, the turn's failure is of that kind: a refused key ends with its own exit code."""
    refused = Failure(FailureKind.KEY_REFUSED, "Invalid API key", "a", 401)
    _, result = turn(make_plan(layers("a", "b")), FakeAsk({"a": refused, "b": refused}))
    assert result.failure
    assert result.failure.kind is FailureKind.KEY_REFUSED
    assert result.failure.message == "all 2 reference models failed: Invalid API key"
    assert turn(make_plan(layers("a")), FakeAsk({"a": refused}))[1].failure == refused


def test_the_aggregator_fails() -> None:
    """With no aggregator left, the proposal most like the others is the reply, shown as what it is."""
    ask = FakeAsk(
        {
            "a": "cats purr when content",
            "b": "cats purr when they are content",
            "c": "no idea",
            "judge": failed(),
        }
    )
    events, result = turn(make_plan(layers("a", "b", "c")), ask, FakeModels(price=1.0))
    # The proposal's tokens count once.
    assert (result.usage, result.cost) == (Usage(30, 12, 0), 12.0)
    assert result.status == "partial"
    assert result.reply in {"cats purr when content", "cats purr when they are content"}
    assert result.model in {"a", "b"}
    assert result.attempts[0].slot.agent.model == "judge"
    assert "HTTP 500" in result.notices[0]
    assert f"the answer of {result.model}" in result.notices[1]
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == result.reply


def test_the_proposal_that_is_most_like_the_others() -> None:
    """It need not be the first; where there is only one, no similarity is claimed."""
    proposals = {"a": "no idea", "b": "cats purr when content", "c": "cats purr when content too"}
    _, result = turn(make_plan(layers("a", "b", "c")), FakeAsk({**proposals, "judge": failed()}))
    assert result.model in {"b", "c"}
    _, result = turn(make_plan(layers("a")), FakeAsk({**proposals, "judge": failed()}))
    assert result.notices[1] == "No aggregator answered. The reply is the answer of a."


def test_the_aggregator_fails_and_there_is_nothing_else() -> None:
    """Without a proposal to give, the turn fails and says why."""
    _, result = turn(make_plan((), min_references=0), FakeAsk({"judge": failed(message="HTTP 500: broken")}))
    assert (result.status, result.reply) == ("failed", "")
    assert result.failure
    assert "broken" in result.failure.message


def test_fallback_aggregators_in_their_order() -> None:
    """The first fallback that answers writes the reply, and a notice says so for each that failed."""
    plan = make_plan(layers("a"), fallbacks=(Agent("second"), Agent("third")))
    ask = FakeAsk({"judge": failed(), "second": failed(FailureKind.NOT_FOUND, "gone"), "third": "the reply"})
    _, result = turn(plan, ask, FakeModels(price=1.0))
    assert (result.status, result.reply, result.model) == ("done", "the reply", "third")
    assert [(call.slot.round, call.slot.index, call.slot.agent.model) for call in result.calls] == [
        (1, 0, "a"),
        (2, 0, "judge"),
        (2, 1, "second"),
        (2, 2, "third"),
    ]
    assert [call.slot.agent.model for call in result.attempts] == ["judge", "second"]
    assert len(result.notices) == 2
    assert "second writes the reply instead" in result.notices[0]
    assert "answer of a" in sent(ask.to("third")[0])


def test_a_reply_that_breaks_off_is_continued() -> None:
    """The rest is asked for, what the model repeats is left out, and the person sees one clean reply."""
    whole = "The quick brown fox jumps over the lazy dog, and then it sleeps."
    ask = FakeAsk({"judge": [CutAfter(whole[:40]), "jumps over the lazy dog, and then it sleeps."]})
    events, result = turn(make_plan(layers("a")), ask)
    assert result.reply == whole
    assert result.status == "done"
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == whole
    second = ask.to("judge")[1].messages
    assert second[-2] == Message("assistant", whole[:40])
    assert second[-1].role == "user"
    assert "broke off" in result.notices[0]
    assert sum(isinstance(event, CallFinished) for event in events) == 2


def test_a_reply_that_keeps_breaking_off_stays_partial() -> None:
    """What came is kept and marked; no other text is put behind it."""
    ask = FakeAsk({"judge": [CutAfter("one two "), CutAfter("three "), CutAfter("four")]})
    _, result = turn(make_plan(layers("a")), ask)
    assert result.status == "partial"
    assert result.reply == "one two three "
    assert len(ask.to("judge")) == 2


def looping(kept: str) -> Completion:
    """The completion of an answer that was cut off because it repeats itself after `kept`."""
    return Completion(kept, partial="endless answer: it repeats itself", truncation_kind=FailureKind.ENDLESS)


LONG = "A useful beginning of an answer. " * 7


def test_a_reference_that_repeats_itself() -> None:
    """Its text up to the first repetition counts when it is long enough, and nothing of it otherwise."""
    ask = FakeAsk({"a": looping(LONG), "b": looping("Too short.")})
    _, result = turn(make_plan(layers("a", "b", "c")), ask)
    a, b, c = result.rounds[0]
    assert (a.answer, c.answer) == (LONG, "answer of c")
    assert b.failure
    assert (b.failure.kind, b.failure.message) == (FailureKind.ENDLESS, "it repeats itself")
    assert (result.status, result.reply) == ("done", "answer of judge")


def test_an_aggregator_that_repeats_itself() -> None:
    """Its text up to the first repetition is the reply when it is long enough; else a fallback writes it."""
    _, result = turn(make_plan(layers("a"), fallbacks=(Agent("second"),)), FakeAsk({"judge": looping(LONG)}))
    assert (result.status, result.reply, result.model) == ("partial", LONG, "judge")
    ask = FakeAsk({"judge": looping("no "), "second": looping("no, no "), "a": "the proposal"})
    plan = make_plan(layers("a"), fallbacks=(Agent("second"), Agent("third")))
    _, result = turn(plan, ask)
    assert (result.status, result.reply, result.model) == ("done", "answer of third", "third")
    assert "judge failed: endless answer: it repeats itself. second writes the reply" in result.notices[0]
    _, result = turn(make_plan(layers("a")), ask)
    assert (result.status, result.reply) == ("partial", "the proposal")


def test_the_rest_of_a_reply_repeats_itself() -> None:
    """The reply then ends before the repetition."""
    broken = "The quick brown fox " * 20
    ask = FakeAsk({"judge": [CutAfter(broken), looping("jumps over the lazy dog. " + LONG)]})
    _, result = turn(make_plan(layers("a")), ask)
    assert (result.status, result.reply) == ("partial", broken + "jumps over the lazy dog. " + LONG)


def test_a_straggler_is_cut_off_at_the_deadline() -> None:
    """When the round's time is over, open calls are cut off, and a part that is long enough is used."""
    plan = make_plan(layers("a", "b", "c"), round_timeout=RoundTimeout(deadline=0.2))
    ask = FakeAsk({"b": "word " * 200, "c": "short one"}, hold=["b", "c"])
    _, result = turn(plan, ask)
    a, b, c = result.rounds[0]
    assert a.answer
    assert b.completion
    assert b.completion.truncation_kind is FailureKind.TOO_SLOW
    assert b.answer.startswith("word word")
    assert c.failure
    assert c.failure.kind is FailureKind.TOO_SLOW
    assert "0.2 s" in c.failure.message
    assert sorted(ask.cancelled) == ["b", "c"]


def test_usage_and_cost_are_summed_and_never_guessed() -> None:
    """Tokens and dollars of all calls; one unknown price makes the whole unknown."""
    plan, ask = make_plan(layers("a", "b")), FakeAsk({"a": "one two", "b": failed(), "judge": "x"})
    assert turn(plan, ask, FakeModels(price=0.5))[1].cost == 1.5
    _, result = turn(plan, FakeAsk({"a": "one two"}), FakeModels())
    assert result.cost is None
    assert result.usage.prompt_tokens == 30


def test_a_context_too_long_is_tried_once_more_smaller() -> None:
    """The service names its limit: the next request is cut to fit, and it is remembered."""

    def short_of_memory(request: Request) -> str | Failure:
        size = sum(len(message.content) for message in request.messages)
        if size < 8000:
            return "fits"
        return Failure(FailureKind.CONTEXT_LENGTH, "too long", "a", 400, limit=4096)

    history = [Message("user" if i % 2 == 0 else "assistant", "word " * 200) for i in range(40)]
    ask = FakeAsk({"a": short_of_memory})
    models = FakeModels()
    events, result = turn(make_plan(layers("a")), ask, models, history=history)
    assert result.rounds[0][0].answer == "fits"
    assert len(ask.to("a")) == 2
    assert models.contexts == {"a": 4096}
    assert sum(isinstance(event, Notice) for event in events) == 1


@pytest.mark.parametrize(
    ("named", "known", "max_tokens"),
    [(1000, None, 750), (1000, 4000, 750), (None, 2500, 1875), (None, 2000, 1500), (None, None, 1554)],
)
def test_the_second_request_aims_at_three_quarters(
    named: int | None, known: int | None, max_tokens: int
) -> None:
    """Of the limit that the service named, else of the known one, else of what was refused."""
    too_long = Failure(FailureKind.CONTEXT_LENGTH, "too long", "a", 400, limit=named)
    ask = FakeAsk({"a": [too_long, "fits"]})
    models = FakeModels(contexts={} if known is None else {"a": known})
    turn(make_plan(layers("a")), ask, models, prompt="字" * 99)
    # The prompt takes 100 tokens, an empty system message 1, the template 16.
    assert ask.to("a")[1].max_tokens == min(2048, max_tokens - 117)
    assert models.contexts.get("a") == (named or known)


def test_a_context_that_stays_too_long_is_not_asked_for_ever() -> None:
    """A prompt that is too long by itself is asked twice at most."""
    too_long = Failure(FailureKind.CONTEXT_LENGTH, "too long", "a", 400, limit=100)
    ask = FakeAsk({"a": too_long})
    _, result = turn(make_plan(layers("a")), ask, prompt="word " * 1000)
    assert len(ask.to("a")) == 2
    assert result.failure
    assert result.failure.kind is FailureKind.CONTEXT_LENGTH


def test_a_round_that_the_user_cuts() -> None:
    """Cutting a round cuts off its open calls; a part that is long enough is used, marked as cut."""

    async def scenario() -> tuple[FakeAsk, TurnResult]:
        ask = FakeAsk({"a": "quick", "b": "word " * 200, "c": "too short"}, hold=["b", "c"])
        cancel_token = CancelToken()
        mixture = Mixture(make_plan(layers("a", "b", "c", rounds=2)), ask, FakeModels())
        result = None
        async for event in mixture.run([], "question", cancel_token):
            if isinstance(event, CallFinished) and event.call.slot == Slot(1, 0, Agent("a")):
                asyncio.get_running_loop().call_later(1.0, cancel_token.cut_round)
            if isinstance(event, TurnFinished):
                result = event.result
        assert result
        return ask, result

    ask, result = run(scenario())
    a, b, c = result.rounds[0]
    assert (a.completion and a.completion.partial) == ""
    assert b.completion
    assert b.completion.partial == "not waited for"
    assert c.failure
    assert sorted(ask.cancelled) == ["b", "c"]
    assert len(result.rounds) == 1
    assert result.status == "done"


def test_stop_keeps_the_part_of_the_reply() -> None:
    """Stopped while the reply streams, the turn ends at once with what came, marked as partial."""

    async def scenario() -> tuple[FakeAsk, TurnResult]:
        ask = FakeAsk({"judge": "one two three four"}, hold=["judge"])
        cancel_token = CancelToken()
        mixture = Mixture(make_plan(layers("a")), ask, FakeModels())
        async for event in mixture.run([], "question", cancel_token):
            if isinstance(event, ReplyDelta) and "three" in event.text:
                cancel_token.stop()
            if isinstance(event, TurnFinished):
                return ask, event.result
        raise AssertionError

    ask, result = run(scenario())
    assert result.status == "partial"
    assert result.reply == "one two three"
    assert ask.cancelled == ["judge"]


def test_stop_before_the_reply_ends_the_turn() -> None:
    """Stopped while references think, no aggregator is asked and every call is cancelled."""

    async def scenario() -> tuple[FakeAsk, TurnResult]:
        ask = FakeAsk({"a": "one two three"}, hold=["a"])
        cancel_token = CancelToken()
        asyncio.get_running_loop().call_later(1.0, cancel_token.stop)
        return ask, (
            await run_turn(Mixture(make_plan(layers("a")), ask, FakeModels()), cancel_token=cancel_token)
        )[1]

    ask, result = run(scenario())
    assert result.status == "failed"
    assert result.failure
    assert result.failure.kind is FailureKind.CANCELLED
    assert not ask.to("judge")
    assert ask.cancelled == ["a"]


def test_closing_the_iterator_cancels_every_call() -> None:
    """A reader that stops reading leaves no call running."""

    async def scenario() -> FakeAsk:
        ask = FakeAsk({"a": "one two", "b": "one two"}, hold=["a", "b"])
        before = asyncio.all_tasks()
        events = Mixture(make_plan(layers("a", "b")), ask, FakeModels()).run([], "question")
        async for _ in events:
            if len(ask.requests) == 2:
                break
        await events.aclose()
        assert asyncio.all_tasks() == before
        return ask

    assert len(run(scenario()).requests) == 2


@pytest.mark.parametrize("where", ["asking", "reading"])
@pytest.mark.parametrize("struck", ["a", "judge"])
def test_an_exception_in_one_call_is_the_failure_of_that_call(where: str, struck: str) -> None:
    """Whatever goes wrong in a call, the others answer and there is a reply; the message names no detail."""

    def mistake(request: Request) -> str:
        raise ZeroDivisionError("secret detail")

    ask = FakeAsk({struck: mistake} if where == "asking" else {})
    models = FakeModels()
    if where == "reading":

        def cost(agent: Agent, usage: Usage) -> float | None:
            return 1 / (agent.model != struck)

        models.cost = cost  # type: ignore[method-assign]  # the mistake of this test
    events, result = turn(make_plan(layers("a", "b")), ask, models)
    assert result.reply == ("answer of judge" if struck == "a" or where == "reading" else "answer of a")
    said = [str(e.call.failure or e.call.completion) for e in events if isinstance(e, CallFinished)]
    assert any("internal error: a mistake in moa-bot: ZeroDivisionError" in text for text in said)
    assert "secret detail" not in str(events)
