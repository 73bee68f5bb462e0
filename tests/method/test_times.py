"""Every time of a turn, to the second: a turn in virtual time has exact ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fake_models import FakeModels, Script, ScriptedAsk, answer, layers, make_plan
from virtual_time import run

from bot.errors import Failure, FailureKind
from bot.events import (
    CallFinished,
    DraftDelta,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    TurnFinished,
)
from bot.messages import Completion, Delta, Retrying, Usage
from bot.method.mixture import CancelToken, Mixture
from bot.method.round_timeout import RoundTimeout
from bot.turn_result import TurnResult

LONG = "word " * 50
HANGS = (3600.0, Delta())


def play(
    scripts: Mapping[str, Sequence[Script]],
    *,
    rounds: int = 1,
    cut_round_at: float | None = None,
    stop_at: float | None = None,
    **changes: Any,
) -> tuple[list[tuple[float, Event]], TurnResult]:
    """Run a turn of these scripts; returns all events with their times, and the result."""

    async def turn() -> tuple[list[tuple[float, Event]], TurnResult]:
        loop, cancel_token = asyncio.get_running_loop(), CancelToken()
        if cut_round_at is not None:
            loop.call_later(cut_round_at, cancel_token.cut_round)
        if stop_at is not None:
            loop.call_later(stop_at, cancel_token.stop)
        names = [name for name in scripts if len(name) == 1]
        plan = make_plan(layers(*names, rounds=rounds), **changes)
        mixture = Mixture(plan, ScriptedAsk(scripts), FakeModels())
        started = loop.time()
        running = mixture.run([], "question", cancel_token)
        events = [(loop.time() - started, event) async for event in running]
        last = events[-1][1]
        assert isinstance(last, TurnFinished)
        return events, last.result

    return run(turn())


def round_seconds(events: Sequence[tuple[float, Event]]) -> list[float]:
    return [event.seconds for _, event in events if isinstance(event, RoundFinished)]


def test_times_of_a_turn() -> None:
    """Rounds last as long as their slowest call; the first token and the end count from the prompt."""
    judge: Script = [
        (0.25, Delta(reasoning="hm")),
        (0.5, Delta("one")),
        (0.75, Delta(" two")),
        (0.125, Completion("one two", "hm", first_token=0.25, seconds=1.625)),
    ]
    events, result = play(
        {"a": [answer(0.5), answer(3.0)], "b": [answer(1.0), answer(2.0)], "judge": [judge]}, rounds=2
    )
    assert round_seconds(events) == [1.0, 3.0]
    assert [at for at, event in events if isinstance(event, RoundStarted)] == [0.0, 1.0]
    assert [at for at, event in events if isinstance(event, ReplyDelta)] == [4.25, 4.75, 5.5]
    # Thinking is not yet a word of the reply.
    assert (result.first_token, result.seconds) == (4.75, 5.625)
    assert result.aggregator
    assert result.aggregator.completion == judge[-1][1]


def test_the_first_word_of_a_draft_comes_as_soon_as_from_one_model() -> None:
    """In mode critique the turn's first word is the draft's: no reviewer is waited for."""
    draft: Script = [(0.5, Delta("one")), (1.0, Delta(" two")), (0.5, Completion("one two", seconds=2.0))]
    events, result = play(
        {"a": [answer(3.0, "- wrong")], "b": [answer(1.0, "nothing")], "judge": [draft, answer(1.0)]},
        mode="critique",
        instructions={"review": "REVIEW", "revise": "REVISE"},
    )
    assert [at for at, event in events if isinstance(event, DraftDelta)] == [0.5, 1.5]
    assert [at for at, event in events if isinstance(event, RoundStarted)] == [2.0]
    assert round_seconds(events) == [3.0]
    assert [at for at, event in events if isinstance(event, ReplyDelta)] == [6.0]
    assert (result.first_token, result.seconds) == (0.5, 6.0)


def test_a_turn_without_a_reply_has_no_first_token() -> None:
    """Its seconds count up to the failure."""
    refused = Failure(FailureKind.SERVICE, "HTTP 500", "a")
    _, result = play({"a": [[(1.5, refused)]]})
    assert (result.status, result.first_token, result.seconds) == ("failed", None, 1.5)


def test_times_of_a_call_that_is_cut_off() -> None:
    """Its first token and its seconds count from its own request, also in a later round."""
    slow: Script = [(0.5, Delta("thin")), (0.25, Delta(LONG)), HANGS]
    events, result = play(
        {"a": [answer(1.0), answer(0.5)], "b": [answer(2.0), slow], "judge": [answer(1.0)]},
        rounds=2,
        cut_round_at=5.0,
    )
    cut = result.rounds[1][1].completion
    assert cut
    assert (cut.first_token, cut.seconds, cut.partial) == (0.5, 3.0, "not waited for")
    assert round_seconds(events) == [2.0, 3.0]
    assert (result.first_token, result.seconds) == (6.0, 6.0)
    # No round was skipped.
    assert result.notices == ("Round 2 of 2: 2 of 2 answered; cut short: b (not waited for)",)


THIN: Script = [(0.25, Delta("thin")), HANGS]
HALF: Script = [(0.25, Delta(LONG)), HANGS]
SILENT: Script = [HANGS]
STRONGEST = "the slowest are often the strongest"


@pytest.mark.parametrize(
    ("slow", "changes", "notice"),
    [
        ([SILENT, SILENT], {"cut_round_at": 2.0}, "1 of 3 answered; left out: b, c (not waited for)"),
        (
            [SILENT, HALF],
            {"cut_round_at": 2.0},
            "2 of 3 answered; left out: b; cut short: c (not waited for)",
        ),
        (
            [THIN, HALF],
            {"round_timeout": RoundTimeout(deadline=8.0)},
            f"2 of 3 answered; left out: b; cut short: c (cut off by the deadline after 8.0 s; {STRONGEST})",
        ),
        (
            [SILENT, answer(2.0)],
            {"round_timeout": RoundTimeout(quorum=2, grace=3.0)},
            f"2 of 3 answered; left out: b (cut off by the quorum after 5.0 s; {STRONGEST})",
        ),
        (
            [answer(1.0), HALF],
            {"round_timeout": RoundTimeout()},
            f"3 of 3 answered; cut short: c (cut off after 10.0 s; {STRONGEST})",
        ),
        ([answer(1.0), answer(2.0)], {"round_timeout": RoundTimeout(deadline=8.0)}, ""),
    ],
)
def test_a_round_that_is_cut_names_those_who_were_cut(
    slow: list[Script], changes: dict[str, Any], notice: str
) -> None:
    """Before the reply, and in the result; not those that failed by themselves."""
    refused = Failure(FailureKind.SERVICE, "HTTP 500", "d")
    for more in ({}, {"d": [[(0.5, refused)]]}):
        scripts = {"a": [answer(0.5)], "b": [slow[0]], "c": [slow[1]], **more, "judge": [answer(1.0)]}
        events, result = play(scripts, **changes)
        expected = notice.replace("of 3", f"of {3 + len(more)}")
        assert result.notices == ((expected,) if notice else ())
        kinds = [type(event) for _, event in events if isinstance(event, Notice | ReplyDelta)]
        assert kinds == ([Notice, ReplyDelta] if notice else [ReplyDelta])


@pytest.mark.parametrize(
    "scripts",
    [
        {"a": [SILENT], "b": [THIN]},
        {"a": [SILENT], "b": [[(0.5, Failure(FailureKind.SERVICE, "HTTP 500", "b"))]]},
    ],
)
def test_a_round_cut_before_any_answer_is_a_stop(scripts: dict[str, list[Script]]) -> None:
    """The turn is stopped, not failed for want of answers, and nothing is said of who was left out."""
    events, result = play({**scripts, "judge": [answer(1.0)]}, cut_round_at=2.0)
    assert result.failure == Failure(FailureKind.CANCELLED, "stopped before the reply began")
    assert result.notices == ()
    assert [event.used for _, event in events if isinstance(event, RoundFinished)] == [False]


def test_the_first_token_of_a_try_that_is_void_does_not_count() -> None:
    """After a retry the first token is that of the new try; the seconds count from the first request."""
    failure = Failure(FailureKind.CUT, "cut", "a")
    script: Script = [(0.5, Delta("void")), (0.5, Retrying(failure, 1, 1.0)), (2.0, Delta(LONG)), HANGS]
    _, result = play({"a": [script], "judge": [answer(1.0)]}, cut_round_at=4.0)
    cut = result.rounds[0][0].completion
    assert cut
    assert (cut.text, cut.first_token, cut.seconds) == (LONG, 3.0, 4.0)


def test_times_of_a_reply_that_is_stopped() -> None:
    """The part of the reply has the first token of its call, and ends when it is stopped."""
    judge: Script = [(0.25, Delta("I")), HANGS]
    _, result = play({"a": [answer(1.0)], "judge": [judge]}, stop_at=2.0)
    assert result.aggregator
    part = result.aggregator.completion
    assert part
    assert (part.text, part.first_token, part.seconds) == ("I", 0.25, 1.0)
    assert (result.status, result.first_token, result.seconds) == ("partial", 1.25, 2.0)


BROKEN: Script = [
    (0.5, Delta("The beginning", "hm ")),
    (
        0.25,
        Completion(
            "The beginning", "hm ", Usage(5, 2), None, 0.5, 0.75, 1, "stream cut: gone", FailureKind.CUT
        ),
    ),
]


def test_times_of_a_continued_reply() -> None:
    """A joined reply has the first token of its first part, and the seconds and retries of both."""
    rest: Script = [
        (1.0, Delta(" and the end.", "ha")),
        (0.5, Completion(" and the end.", "ha", Usage(9, 3), "stop", 1.0, 1.5, 2)),
    ]
    events, result = play({"a": [answer(2.0)], "judge": [BROKEN, rest]})
    assert result.aggregator
    assert result.aggregator.completion == Completion(
        "The beginning and the end.", "hm ha", Usage(), "stop", 0.5, 2.25, 4
    )
    assert result.aggregator.cost is None
    # The rest is shown once it is certain that it repeats nothing: here, at its end.
    deltas = [(at, event.text) for at, event in events if isinstance(event, ReplyDelta) and event.text]
    assert deltas == [(2.5, "The beginning"), (4.25, " and the end.")]
    assert (result.first_token, result.seconds) == (2.5, 4.25)


def test_times_of_a_reply_whose_rest_fails() -> None:
    """The reply keeps the times of its part, with one retry more, and ends as it broke off."""
    down: Script = [(1.0, Failure(FailureKind.SERVICE, "HTTP 500", "judge"))]
    _, result = play({"a": [answer(2.0)], "judge": [BROKEN, down]})
    assert result.aggregator
    assert result.aggregator.completion == Completion(
        "The beginning",
        "hm ",
        first_token=0.5,
        seconds=0.75,
        retries=2,
        partial="service error: HTTP 500",
        truncation_kind=FailureKind.CUT,
    )
    assert (result.status, result.first_token, result.seconds) == ("partial", 2.5, 3.75)


def test_times_of_a_reply_that_a_ranker_chose() -> None:
    """Its first token is there when the ranker has chosen."""
    ranker: Script = [(0.25, Delta("1")), (0.5, Completion("1", seconds=0.75))]
    scripts = {"a": [answer(1.0)], "b": [answer(0.5)], "judge": [ranker]}
    _, result = play(scripts, mode="rank", instructions={"rank": "PICK ONE"})
    assert (result.reply, result.first_token, result.seconds) == ("an answer", 1.75, 1.75)


@pytest.mark.parametrize(
    ("round_timeout", "answers", "answered", "seconds"),
    [
        (RoundTimeout(deadline=2), [1.75, 2.25, 1.5], "a c", 2.0),
        (RoundTimeout(deadline=2), [1.75, 1.0, 1.5], "a b c", 1.75),
        (RoundTimeout(quorum=1, grace=0.5), [1.0, 1.25, 1.75], "a b", 1.5),
        (RoundTimeout(quorum=1, grace=0), [1.25, 1.0, 1.5], "b", 1.0),
        (RoundTimeout(quorum=0.5, grace=0.5), [1.0, 1.25, 1.8], "a b", 1.75),
        (RoundTimeout(quorum=2, grace=9, deadline=3), [1.0, 1.25, 3.25], "a b", 3.0),
        (RoundTimeout(), [4.0, 5.0, 10.25], "a b", 10.0),
        (RoundTimeout(), [4.0, 6.0, 11.75], "a b c", 11.75),
        (RoundTimeout(), [4.0, 6.0, 12.25], "a b", 12.0),
        (RoundTimeout(), [100.0], "a", 100.0),
    ],
)
def test_a_round_ends_to_the_second(
    round_timeout: RoundTimeout, answers: list[float], answered: str, seconds: float
) -> None:
    """Deadline, quorum with grace, or twice the median answer and ten seconds at least."""
    scripts: dict[str, Sequence[Script]] = {
        name: [answer(at)] for name, at in zip("abc", answers, strict=False)
    }
    events, result = play(scripts | {"judge": [answer(1.0)]}, round_timeout=round_timeout)
    assert [call.slot.agent.model for call in result.rounds[0] if call.answer] == answered.split()
    assert round_seconds(events) == [seconds]
    late = [call.failure for call in result.rounds[0] if call.failure]
    assert {failure.kind for failure in late} <= {FailureKind.TOO_SLOW}
    finished = [at for at, event in events if isinstance(event, CallFinished)][:-1]
    assert max(finished) == seconds


@pytest.mark.parametrize("quorum", [0.5, 2])
def test_a_quorum_is_of_the_calls_that_have_not_failed(quorum: float) -> None:
    """One of four fails: half of the other three are two, and the grace begins with the second answer."""
    down: Script = [(0.25, Failure(FailureKind.SERVICE, "HTTP 500", "a"))]
    events, result = play(
        {"a": [down], "b": [answer(1.0)], "c": [answer(2.0)], "d": [answer(5.0)], "judge": [answer(1.0)]},
        round_timeout=RoundTimeout(quorum=quorum, grace=0.5),
    )
    assert [bool(call.answer) for call in result.rounds[0]] == [False, True, True, False]
    assert round_seconds(events) == [2.5]
