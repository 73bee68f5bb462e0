"""`--early_stop shadow`: the turn takes all its rounds, and keeps what early stop would have made of it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_models import FakeAsk, FakeModels, failed, layers, make_plan, run_turn
from looped import looped

from bot.app.session import Session
from bot.app.turn_budget import estimate_turn
from bot.events import ReplyDelta, TurnFinished
from bot.messages import Agent
from bot.method.early_stop import EarlyStop
from bot.method.fan_out import CancelToken
from bot.method.mixture import Mixture
from bot.render.reply import turn_json
from bot.serve.chat_json import moa_json
from bot.store import Store
from bot.store.results import turn_result
from bot.turn_result import Shadow, stored_shadow

if TYPE_CHECKING:
    from pathlib import Path

    from bot.messages import Request

SAME = "a button is sewn on with a needle and thread"
LATER = {"a": "cats purr", "b": "seven is prime", "c": "the moon is far"}
SHADOW = EarlyStop(early_stop="shadow")


def writer(request: Request) -> str:
    """Say which answers the request has."""
    text = request.messages[-1].content
    return "from round 2" if "cats purr" in text else "from round 1" if SAME in text else "from none"


def replies(first: str = SAME, **more: Any) -> dict[str, Any]:
    return {**{name: [first, later] for name, later in LATER.items()}, "judge": writer, **more}


def mixture(ask: FakeAsk, rounds: int = 2, **changes: Any) -> Mixture:
    changes = {"early_stop": SHADOW, "instructions": {"rank": "RANK"}, **changes}
    return Mixture(make_plan(layers("a", "b", "c", rounds=rounds), **changes), ask, FakeModels(price=1.0))


@looped
async def test_both_replies_are_kept() -> None:
    """The reply is made from all rounds; the other one from the round that it would have stopped after."""
    ask = FakeAsk(replies())
    events, result = await run_turn(mixture(ask))
    assert (result.status, result.reply, len(result.rounds)) == ("done", "from round 2", 2)
    assert result.shadow == Shadow(
        1,
        pytest.approx(1.0),  # type: ignore[arg-type]
        0.75,
        "The answers of round 1 agree (similarity 1.00, 0.75 is enough)",
        "from round 1",
        "judge",
    )
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == "from round 2"
    [notice] = result.notices
    assert notice.startswith(result.shadow.reason)
    assert notice.endswith(": a second reply, made without round 2, is kept for `moa-bot eval depth`.")
    roles = [(call.slot.round, call.slot.index, call.slot.role) for call in result.calls]
    assert roles == [
        *((1, index, "reference") for index in range(3)),
        (1, 3, "shadow"),
        *((2, index, "reference") for index in range(3)),
        (3, 0, "aggregator"),
    ]
    assert result.aggregator is not None
    assert result.aggregator.answer == "from round 2"
    assert result.cost == sum(call.cost or 0 for call in result.calls)
    assert len(ask.to("judge")) == 2


@pytest.mark.parametrize(
    ("first", "rounds", "changes", "shadow"),
    [
        ("x y {model}", 2, {"early_stop": EarlyStop("shadow", agreement=0.99)}, "differ"),
        (SAME, 1, {}, None),
        (SAME, 2, {"early_stop": EarlyStop()}, None),
    ],
    ids=["the answers differ", "one round", "not asked for"],
)
@looped
async def test_without_a_stop_there_is_one_reply(
    first: str, rounds: int, changes: dict[str, Any], shadow: str | None
) -> None:
    """Nothing more is asked; that the answers differ is kept, for it is an outcome too."""
    ask = FakeAsk(replies(first) | {"a": first.format(model="a"), "b": "other words"})
    _, result = await run_turn(mixture(ask, rounds, **changes))
    assert len(ask.to("judge")) == 1
    assert [call for call in result.calls if call.slot.role == "shadow"] == []
    assert result.notices == ()
    if shadow is None:
        assert result.shadow is None
    else:
        assert result.shadow is not None
        assert (result.shadow.stop_after, result.shadow.reply) == (None, "")
        assert shadow in result.shadow.reason


@looped
async def test_it_stops_once_in_a_turn() -> None:
    """The first round that agrees is the one; the rounds after it would not exist."""
    ask = FakeAsk(replies() | dict.fromkeys("abc", SAME))
    _, result = await run_turn(mixture(ask, rounds=4))
    assert result.shadow is not None
    assert (result.shadow.stop_after, len(result.rounds), len(ask.to("judge"))) == (1, 4, 2)
    assert "made without rounds 2 to 4" in result.notices[0]


VOTES = {name: [f"{SAME}\nANSWER: 1", "ANSWER: 2"] for name in "abc"}


@pytest.mark.parametrize(
    ("mode", "said", "asked", "both"),
    [
        ("rank", {"judge": lambda _: "2"}, ["judge"], (SAME, "seven is prime")),
        ("fusion", {}, ["comparer", "judge"], ("from round 1", "from round 2")),
        ("vote", VOTES, [], ("1", "2")),
        ("compare", {}, ["comparer"], (SAME, "cats purr")),
    ],
)
@looped
async def test_the_mode_of_the_turn_makes_both(
    mode: str, said: dict[str, Any], asked: list[str], both: tuple[str, str]
) -> None:
    """The second reply comes from the same last layer, with all calls that it needs."""
    compared = json.dumps({"consensus": [{"claim": "x", "answers": [1, 2, 3]}]})
    ask = FakeAsk(replies(comparer=compared) | said)
    instructions = {name: name for name in ("rank", "compare", "fuse", *(["vote"] if mode == "vote" else []))}
    _, result = await run_turn(mixture(ask, mode=mode, judge=Agent("comparer"), instructions=instructions))
    assert [call.slot.agent.model for call in result.calls if call.slot.role == "shadow"] == asked
    assert result.shadow is not None
    assert both[0] in result.shadow.reply
    assert both[1] in result.reply
    assert both[0] not in result.reply
    assert result.shadow.error == ""


@pytest.mark.parametrize("rounds", [1, 2])
@looped
async def test_with_adaptive_the_light_aggregator_writes_the_second(rounds: int) -> None:
    """What adaptive would have done is what is noted, also where only the aggregator would be another."""
    ask = FakeAsk(replies(light="from the light one"))
    stop = EarlyStop("shadow", adaptive=True)
    _, result = await run_turn(mixture(ask, rounds, early_stop=stop, light_aggregator=Agent("light")))
    assert (result.model, result.reply) == ("judge", f"from round {rounds}")
    assert result.shadow is not None
    assert (result.shadow.model, result.shadow.reply) == ("light", "from the light one")


@looped
async def test_a_second_reply_that_fails_costs_the_turn_nothing() -> None:
    """The reply stands; why there is no other is kept."""

    def judge(request: Request) -> Any:
        said = writer(request)
        return failed() if said == "from round 1" else said

    _, result = await run_turn(mixture(FakeAsk(replies(judge=judge))))
    assert (result.status, result.reply) == ("done", "from round 2")
    assert result.shadow is not None
    assert "no aggregator answered" in result.shadow.error


@looped
async def test_stopping_gives_the_second_reply_up() -> None:
    """Nobody waits for it against their will: the call is cancelled, and its cost is unknown."""
    ask = FakeAsk(replies(), hold=["judge"])
    token = CancelToken()
    running = asyncio.ensure_future(run_turn(mixture(ask), cancel_token=token))
    while len(ask.to("judge")) < 2:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    token.stop()
    _, result = await running
    assert (result.status, result.reply) == ("partial", "from round")
    assert result.shadow is not None
    assert (result.shadow.reply, result.shadow.error) == ("", "stopped")
    assert result.cost is None
    assert ask.cancelled == ["judge", "judge"]


@looped
async def test_a_whole_reply_stays_whole() -> None:
    """Stopping after its end only means not to wait for the other one."""
    ask = FakeAsk(replies(light="from the light one"), hold=["light"])
    stop, token = EarlyStop("shadow", adaptive=True), CancelToken()
    plan = {"early_stop": stop, "light_aggregator": Agent("light")}
    running = asyncio.ensure_future(run_turn(mixture(ask, **plan), cancel_token=token))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not running.done()
    token.cut_round()
    _, result = await running
    assert (result.status, result.reply) == ("done", "from round 2")
    assert result.shadow is not None
    assert result.shadow.error == "stopped"
    assert ask.cancelled == ["light"]


@looped
async def test_leaving_the_turn_cancels_both() -> None:
    """Closing the iterator leaves no call behind."""
    ask = FakeAsk(replies(), hold=["judge"])
    events = mixture(ask).run((), "question")
    async for _ in events:
        if len(ask.to("judge")) == 2:
            break
    await events.aclose()
    assert ask.cancelled == ["judge", "judge"]


@looped
async def test_the_store_and_json_have_both(tmp_path: Path) -> None:
    """A stored turn comes back with its decision and the calls behind the second reply."""
    with Store.open(tmp_path / "store.db") as store:
        session = Session(mixture(FakeAsk(replies())), store=store)
        *_, end = [event async for event in session.turn("question")]
        assert isinstance(end, TurnFinished)
        live = end.result
        assert session.conversation_id is not None
        [turn] = store.turns(session.conversation_id)
        again = turn_result(turn, store.calls(turn.id))
    assert (again.shadow, again.reply) == (live.shadow, "from round 2")
    assert [call.slot.role for call in again.calls] == [call.slot.role for call in live.calls]
    assert session.history[-1].content == "from round 2"
    shadow = turn_json(again, conversation_id=None, turn=None)["shadow"]
    assert (shadow["stop_after"], shadow["reply"], len(shadow["calls"])) == (1, "from round 1", 1)
    served: Any = SimpleNamespace(result=again)
    assert moa_json(served, references=True)["shadow"] == shadow
    assert "shadow" not in moa_json(served, references=False)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"stop_after": 1}, {"stop_after": "1", "similarity": 0.5, "agreement": 0.5},
     {"stop_after": 0, "similarity": 0.5, "agreement": 0.5},
     {"stop_after": 1, "similarity": 7, "agreement": 1},
     {"stop_after": 1, "similarity": float("nan"), "agreement": 1},
     {"stop_after": 1, "similarity": 0.5, "agreement": 0.5, "reply": 5}],
)  # fmt: skip
def test_a_stored_value_that_is_no_decision(value: object) -> None:
    """It is left out."""
    assert stored_shadow(value) is None


@pytest.mark.parametrize(
    ("early_stop", "replies_"), [(SHADOW, 2), (EarlyStop(early_stop=True), 1), (EarlyStop(), 1)]
)
def test_the_budget_expects_a_second_reply(early_stop: EarlyStop, replies_: int) -> None:
    """What a turn may cost at most includes it."""
    plan = make_plan(layers("a", rounds=2), early_stop=early_stop)
    cost = estimate_turn(plan, 0, "x", lambda agent, _: 1.0 if agent.model == "judge" else 0.0).dollars
    assert cost == replies_
