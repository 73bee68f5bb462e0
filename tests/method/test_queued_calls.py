"""Models that wait for one another: each call's own time has the limit, to the second in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from fake_models import FakeModels, Script, ScriptedAsk, answer, make_plan
from virtual_time import run

from bot.client.retry import Retrier
from bot.errors import Failure, FailureKind
from bot.events import CallFinished, CallQueued, CallStarted, Event, RoundFinished, TurnFinished
from bot.messages import Agent, Delta, Endpoint
from bot.method.mixture import Mixture
from bot.method.round_timeout import MIN_WAIT_LOADING, RoundTimeout
from bot.render.progress_row import ProgressRow
from bot.turn_result import TurnResult

RAMBLES: Script = [(0.5, Delta("word " * 50)), *[(0.5, Delta("more "))] * 20_000]
HANGS: Script = [(3600.0, Delta())]


@dataclass
class OneAtATime(FakeModels):
    """The endpoint "here" has one call at a time, "elsewhere" any number."""

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(name, f"http://{name}/v1", parallel=1 if name == "here" else None)


def play(
    round_timeout: RoundTimeout, here: Sequence[Script], elsewhere: Sequence[Script] = ()
) -> tuple[list[tuple[float, Event]], TurnResult]:
    """Run a turn of one round; its models are h0, h1, … and e0, e1, …."""

    async def turn() -> tuple[list[tuple[float, Event]], TurnResult]:
        loop = asyncio.get_running_loop()
        scripts = {
            f"{where}{i}": [s] for where, all_ in (("h", here), ("e", elsewhere)) for i, s in enumerate(all_)
        }
        agents = [Agent(name, "here" if name[0] == "h" else "elsewhere") for name in scripts]
        asked = ScriptedAsk({**scripts, "judge": [answer(1.0)]})
        plan = make_plan((tuple(agents),), round_timeout=round_timeout)
        mixture = Mixture(plan, Retrier(asked, clock=loop.time), OneAtATime())
        started = loop.time()
        events = [(loop.time() - started, event) async for event in mixture.run([], "question")]
        last = events[-1][1]
        assert isinstance(last, TurnFinished)
        return events, last.result

    return run(turn())


@pytest.mark.parametrize(
    ("round_timeout", "here", "elsewhere", "answered", "seconds"),
    [
        # Each has its two seconds, one after the other.
        (RoundTimeout(deadline=2), [answer(1.5), answer(1.75), answer(1.0)], [], "h0 h1 h2", 4.25),
        (RoundTimeout(deadline=2), [HANGS, answer(1.75), HANGS, answer(1.0)], [], "h1 h3", 6.75),
        # What has come by then is used, and the next one is asked.
        (RoundTimeout(deadline=2), [RAMBLES, answer(1.0)], [], "h0 h1", 3.0),
        # The limit of one is not the limit of another elsewhere.
        (RoundTimeout(deadline=2), [answer(1.5), answer(1.5)], [answer(1.0), HANGS], "h0 h1 e0", 3.0),
        # A quorum counts answers, whoever waits, and ends the round.
        (RoundTimeout(quorum=2, grace=1), [answer(3.0), answer(3.0), answer(3.0)], [], "h0 h1", 7.0),
        (RoundTimeout(quorum=1, grace=3.5), [answer(3.0), answer(3.0), answer(3.0)], [], "h0 h1", 6.5),
        (RoundTimeout(quorum=1, grace=1, deadline=2), [HANGS, answer(1.0), answer(9.0)], [], "h1", 4.0),
        # Stragglers: twice the median of their own times; at least a minute where models are loaded.
        (RoundTimeout(), [answer(20.0)] * 4, [], "h0 h1 h2 h3", 80.0),
        (RoundTimeout(), [answer(40.0), answer(40.0), HANGS, answer(40.0)], [], "h0 h1 h3", 200.0),
        (RoundTimeout(), [answer(1.0), answer(1.0), HANGS], [], "h0 h1", 2.0 + MIN_WAIT_LOADING),
        (RoundTimeout(), [answer(1.0), answer(1.0), RAMBLES], [], "h0 h1 h2", 2.0 + MIN_WAIT_LOADING),
        (RoundTimeout(), [answer(30.0), answer(30.0)], [answer(1.0), answer(1.0)], "h0 h1 e0 e1", 60.0),
        (RoundTimeout(), [answer(1.0)], [answer(1.0), HANGS], "h0 e0", 10.0),
    ],
)
def test_each_has_its_own_time(
    round_timeout: RoundTimeout, here: list[Script], elsewhere: list[Script], answered: str, seconds: float
) -> None:
    """Deadline and the limit of stragglers count a call's own time, not its wait; a quorum counts answers."""
    events, result = play(round_timeout, here, elsewhere)
    assert [call.slot.agent.model for call in result.rounds[0] if call.answer] == answered.split()
    [round_finished] = [event for _, event in events if isinstance(event, RoundFinished)]
    assert round_finished.seconds == seconds
    late = {call.failure.kind for call in result.rounds[0] if call.failure}
    assert late <= {FailureKind.TOO_SLOW}


def test_the_message_names_the_call_s_own_time() -> None:
    """The notice of a call that was cut off says how long it had, not how long the round took."""
    _, result = play(RoundTimeout(deadline=2), [answer(1.0), HANGS, answer(1.0)])
    failure = result.rounds[0][1].failure
    assert isinstance(failure, Failure)
    assert failure.message == "cut off by the deadline after 2 s"


def test_a_waiting_call_is_shown_as_that() -> None:
    """Its row says that it is queued, and its time begins when its request is sent."""
    events, _ = play(RoundTimeout(), [answer(3.0), answer(4.0)])
    row, shown = ProgressRow("h1"), []
    for at, event in events:
        slot = event.call.slot if isinstance(event, CallFinished) else getattr(event, "slot", None)
        if slot and slot.role == "reference" and slot.index == 1:
            row.update(event, at)
            shown.append((at, type(event), row.state, row.cells(at + 1.0)[:2]))
    assert shown[:3] == [
        (0.0, CallStarted, "waiting", ("waiting", "1.0 s")),
        (0.0, CallQueued, "queued", ("queued", "")),
        (3.0, CallStarted, "waiting", ("waiting", "1.0 s")),
    ]
    assert shown[-1][0] == 7.0


def test_a_call_that_is_asked_again_keeps_the_time_it_has_used() -> None:
    """Its own time goes on from where it was, without the wait in between."""
    down: Script = [(1.5, Failure(FailureKind.SERVICE, "HTTP 500", "h0"))]

    async def turn() -> TurnResult:
        loop = asyncio.get_running_loop()
        asked = ScriptedAsk({"h0": [down, answer(1.0)], "h1": [answer(1.75)], "judge": [answer(1.0)]})
        plan = make_plan(
            ((Agent("h0", "here"), Agent("h1", "here")),), round_timeout=RoundTimeout(deadline=2)
        )
        retrier = Retrier(asked, clock=loop.time, jitter=lambda: 0.0)
        *_, last = [event async for event in Mixture(plan, retrier, OneAtATime()).run([], "question")]
        assert isinstance(last, TurnFinished)
        return last.result

    assert [bool(call.answer) for call in run(turn()).rounds[0]] == [False, True]
