"""What each view shows of a turn: on a screen, in a pipe, as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import Failure, FailureKind
from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    CallRetrying,
    CallStarted,
    Event,
    Notice,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    TurnFinished,
)
from bot.messages import Agent, Completion, Usage
from bot.render.live import widest_row
from bot.render.reply import JsonView, PipeView, turn_json
from bot.render.terminal_view import TerminalView
from bot.turn_result import Call, Slot, TurnResult

MakeScreen = Callable[..., Any]

MODELS = [
    "zai/GLM-5.3",
    "openai/gpt-oss-120b",
    "deepseek-ai/DeepSeek-V4-Pro",
    "moon/Kimi-K3",
    "mm/MiniMax-M3",
]
LIMITED = Failure(FailureKind.RATE_LIMITED, "rate limited", model=MODELS[4], status=429)
AGGREGATOR = Slot(3, 0, Agent("Qwen/Qwen3.7-Max"), "aggregator")
REPLY = "Purring is a **self-regulating** behaviour.\n\n- one\n- two"


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def slots(round_: int) -> tuple[Slot, ...]:
    """Return the slots of a round."""
    return tuple(Slot(round_, index, Agent(model)) for index, model in enumerate(MODELS))


def calls(round_: int) -> tuple[Call, ...]:
    """Return a round's calls: four good ones, one that failed."""
    done = Completion("text", usage=Usage(10, 412), first_token=0.5, seconds=3.6)
    good = [Call(slot, done, cost=0.001) for slot in slots(round_)[:4]]
    return (*good, Call(slots(round_)[4], failure=LIMITED, cost=0.0))


def result(status: Any = "done", reply: str = REPLY, failure: Failure | None = None) -> TurnResult:
    """Return a turn of two rounds."""
    partial = "stopped" if status == "partial" else ""
    done = Completion(reply, usage=Usage(5824, 14), partial=partial)
    made = (*calls(1), *calls(2), Call(AGGREGATOR, done, cost=0.0103))
    return TurnResult(
        status, reply, "", AGGREGATOR.agent.model, made, failure, 11.1, 14.9, ("a notice",)
    )  # fmt: skip


def rounds() -> Iterator[Event]:
    """Yield two rounds and the aggregator's start."""
    for number in (1, 2):
        yield RoundStarted(number, 2, slots(number))
        yield from (CallStarted(slot) for slot in slots(number))
        yield CallDelta(slots(number)[2], text="words of a \x1b[2Jmodel ")
        yield CallRetrying(slots(number)[4], LIMITED, 1, 2.0)
        yield from (CallFinished(call) for call in calls(number))
        yield RoundFinished(number, 2, calls(number), 6.0)
    yield AggregatorStarted(AGGREGATOR, 4)


def turn(status: Any = "done") -> Iterator[Event]:
    """Yield a whole turn."""
    yield from rounds()
    if status == "failed":
        failure = Failure(FailureKind.TIMEOUT, "no answer for 120 s", "Qwen/Qwen3.7-Max", hint="try again")
        yield TurnFinished(result("failed", "", failure))
        return
    yield from (ReplyDelta(text=REPLY[at : at + 4]) for at in range(0, len(REPLY), 4))
    yield TurnFinished(result(status))


def play(view: Any, events: Iterator[Event], clock: Clock | None = None) -> None:
    """Tell a view events, with time going on between them."""
    for event in events:
        view.handle_event(event)
        if clock:
            clock.now += 0.25
        view.refresh()
    view.close()
    view.close()


FOLDED = [
    "  round 1   4 of 5   6.0 s   slowest gpt-oss-120b   MiniMax-M3 left out: rate limited",
    "  round 2   4 of 5   6.0 s   slowest gpt-oss-120b   MiniMax-M3 left out: rate limited",
]
SHOWN = ["Purring is a self-regulating behaviour.", "", " • one", " • two"]
LINE = "  5 models × 2 → Qwen3.7-Max · first word 11.1 s · 14.9 s · 9,214 tokens · $0.0183"


def test_a_whole_turn_on_a_terminal(make_screen: MakeScreen) -> None:
    """Folded rounds, the reply, and one line about it are all that stays."""
    screen, clock = make_screen(120, 30), Clock()
    play(TerminalView(screen.console, screen.console, clock=clock), turn(), clock)
    assert screen.rows() == [*FOLDED, "", *SHOWN, "", LINE + " · 2 of 10 left out"]
    screen.assert_in_order()


def test_while_the_models_think(make_screen: MakeScreen) -> None:
    """Each slot has its line: sign, name, state or tokens, seconds, rate, last words."""
    screen, clock = make_screen(80, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(RoundStarted(1, 2, slots(1)))
    for slot in slots(1)[:4]:
        view.handle_event(CallStarted(slot))
    view.handle_event(
        CallDelta(slots(1)[2], text="Cats purr by \x1b[2Jvibrations of the larynx\nat 25 to 150 Hz. " * 4)
    )
    view.handle_event(CallDelta(slots(1)[3], reasoning="hm"))
    view.handle_event(CallFinished(calls(1)[0]))
    view.handle_event(CallRetrying(slots(1)[4], LIMITED, 1, 4.0))
    clock.now += 2
    view.refresh()
    assert screen.rows() == [
        "  round 1 of 2   1 of 5                                                    2.0 s",
        "  ✓ GLM-5.3            412 tok   3.6 s  133/s",
        "  ∙ gpt-oss-120b       waiting   2.0 s",
        "  ▸ DeepSeek-V4-Pro    ~59 tok   2.0 s   30/s   … f the larynx at 25 to 150 Hz.",
        "  ∙ Kimi-K3           thinking   2.0 s          … hm",
        "  ↻ MiniMax-M3       rate limited, asking again in 2 s",
    ]
    view.close()
    assert screen.rows() == []
    screen.assert_in_order()


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (47, "  ▸ DeepSeek-V4-Pro    ~56 tok   2.0 s   28/s"),
        (40, "  ▸ DeepSeek-V4-Pro    ~56 tok   2.0 s"),
        (30, "  ▸ DeepSeek-V4-Pro   2.0 s"),
        (20, "  ▸ DeepSee…   2.0 s"),
    ],
)
def test_narrow_windows_drop_columns(make_screen: MakeScreen, width: int, expected: str) -> None:
    """The last words go first, then the rate, then the tokens; no row ever wraps."""
    screen, clock = make_screen(width, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(RoundStarted(1, 1, slots(1)))
    view.handle_event(CallStarted(slots(1)[2]))
    view.handle_event(CallDelta(slots(1)[2], text="漢字 word " * 28))
    clock.now += 2
    view.refresh()
    rows = screen.rows()
    assert len(rows) == 6
    assert rows[3] == expected
    view.close()


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_slots_of_one_model_look_different(make_screen: MakeScreen, width: int) -> None:
    """However much of a long name is cut off, its number stays."""
    screen = make_screen(width, 24)
    view = TerminalView(screen.console, screen.console, clock=Clock())
    same = tuple(Slot(1, index, Agent("a-long-name-of-a-model-" * 2)) for index in range(12))
    view.handle_event(RoundStarted(1, 1, same))
    view.refresh()
    assert [row.split()[2] for row in screen.rows()[1:]] == [f"#{number}" for number in range(1, 13)]
    view.close()


def test_times_past_a_minute_widen_their_column(make_screen: MakeScreen) -> None:
    """Minutes take more cells than seconds: the column grows, and the rows stay aligned."""
    screen, clock = make_screen(80, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(RoundStarted(1, 1, slots(1)))
    for slot in slots(1)[:2]:
        view.handle_event(CallStarted(slot))
    view.handle_event(CallFinished(calls(1)[0]))
    clock.now += 125
    view.refresh()
    assert screen.rows()[:3] == [
        "  round 1 of 1   1 of 5                                               2 min 05 s",
        "  ✓ GLM-5.3            412 tok       3.6 s  133/s",
        "  ∙ gpt-oss-120b       waiting  2 min 05 s",
    ]
    view.close()


def test_more_models_than_rows(make_screen: MakeScreen) -> None:
    """What does not fit the window is counted, and nothing scrolls away or stays."""
    screen = make_screen(60, 6)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(RoundStarted(1, 1, slots(1)))
    assert screen.rows()[-1] == "  … 3 more"
    view.close()
    assert screen.rows() == []


def test_nothing_is_written_while_nothing_changed(make_screen: MakeScreen) -> None:
    """Ticks without news or time write nothing, and redraws are at most ten a second."""
    screen, clock = make_screen(80, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(RoundStarted(1, 1, slots(1)))
    view.handle_event(CallStarted(slots(1)[0]))
    sizes = []
    for _ in range(100):
        clock.now += 0.01
        view.handle_event(CallDelta(slots(1)[0], text="word "))
        sizes.append(len(screen.written))
    assert len(set(sizes)) <= 11
    clock.now += 1
    view.refresh()
    size = len(screen.written)
    for _ in range(10):
        view.refresh()
    assert len(screen.written) == size
    view.close()
    view.refresh()
    assert screen.rows() == []


def test_the_aggregator_reads_until_its_first_word(make_screen: MakeScreen) -> None:
    """One line says who reads how many answers, and is gone when the reply begins."""
    screen, clock = make_screen(80, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(AggregatorStarted(AGGREGATOR, 5))
    clock.now += 1.2
    view.refresh()
    assert screen.rows() == ["  Qwen3.7-Max reads 5 answers   1.2 s"]
    view.handle_event(ReplyDelta(reasoning="hm"))
    clock.now += 1
    view.refresh()
    assert screen.rows() == ["  Qwen3.7-Max thinks   2.2 s"]
    view.handle_event(ReplyDelta(text="Yes"))
    assert screen.rows() == ["Yes"]
    view.close()


def test_one_shot_leaves_only_the_reply_and_what_went_wrong(make_screen: MakeScreen) -> None:
    """Without `keep`, the rounds' lines are gone in the end."""
    screen, clock = make_screen(120, 30), Clock()
    play(TerminalView(screen.console, screen.console, clock=clock, keep=False), turn(), clock)
    failures = [f"  round {n}: MiniMax-M3 left out: rate limited" for n in (1, 2)]
    assert screen.rows() == [*failures, *SHOWN]


def test_quiet_shows_the_reply_alone(make_screen: MakeScreen) -> None:
    """With `quiet` there is nothing but the reply."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console, quiet=True), turn())
    assert screen.rows() == SHOWN


def test_quiet_still_says_that_a_turn_failed(make_screen: MakeScreen) -> None:
    """A failed turn is said, and how to go on."""
    screen = make_screen(80, 24)
    play(TerminalView(screen.console, screen.console, quiet=True), turn("failed"))
    assert screen.rows() == ["  ✗ Qwen/Qwen3.7-Max: timed out: no answer for 120 s (try again)"]


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("answered", [0, 1])
def test_a_turn_stopped_before_the_reply(
    make_screen: MakeScreen,
    answered: int,
    keep: bool,  # noqa: FBT001 - parameters of pytest
    plain: bool,  # noqa: FBT001
) -> None:
    """One quiet line is all that is left of it."""
    screen, clock = make_screen(120, 30), Clock()
    stop = Failure(FailureKind.CANCELLED, "stopped")
    cut = [*calls(1)[:answered], *(Call(slot, failure=stop) for slot in slots(1)[answered:])]
    failure = Failure(FailureKind.CANCELLED, "stopped before the reply began")
    events: list[Event] = [
        RoundStarted(1, 2, slots(1)),
        *(CallStarted(slot) for slot in slots(1)),
        *(CallFinished(call) for call in cut),
        RoundFinished(1, 2, tuple(cut), 2.0, used=False),
        TurnFinished(TurnResult("failed", "", "", AGGREGATOR.agent.model, tuple(cut), failure)),
    ]
    play(
        TerminalView(screen.console, screen.console, keep=keep, plain=plain, clock=clock), iter(events), clock
    )
    assert screen.rows() == ["  Stopped before the reply began."]
    out, err = io.StringIO(), io.StringIO()
    play(PipeView(out, err), iter(events))
    assert (out.getvalue(), err.getvalue()) == ("", "moa-bot: stopped before the reply began\n")


def test_a_resize_while_the_models_think(make_screen: MakeScreen) -> None:
    """The rows go at once, and are back when the size has not changed for a while; what stays is printed."""
    screen, clock = make_screen(80, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    view.handle_event(RoundStarted(1, 2, slots(1)))
    assert len(screen.rows()) == 6
    for width in (70, 60):
        screen.resize(width, 24)
        view.handle_resize()
        clock.now += 0.3
        view.refresh()
        assert screen.rows() == []
    view.handle_event(Notice("a notice"))
    assert screen.rows() == ["  a notice"]
    clock.now += 0.2
    view.refresh()
    assert [len(row) for row in screen.rows()[:2]] == [len("  a notice"), 60]
    assert len(screen.rows()) == 7
    view.close()
    screen.assert_in_order()


@pytest.mark.parametrize(
    ("above", "width", "expected"),
    [(0, 80, 40), (4, 80, 40), (6, 80, 80), (12, 200, 120), (23, 200, 120), (23, 100, 100), (0, 30, 30)],
)
def test_rows_in_tmux_leave_room_to_be_wrapped(
    make_screen: MakeScreen, monkeypatch: pytest.MonkeyPatch, above: int, width: int, expected: int
) -> None:
    """The rows above the table are as many as a window of 40 columns adds to it."""
    screen = make_screen(width, 24)
    assert widest_row(screen.console, 6) == width
    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    monkeypatch.setattr("bot.render.live._tmux_cursor_row", lambda: above)
    assert widest_row(screen.console, 6) == expected
    assert widest_row(screen.console, 0) == width


def test_without_streaming_the_reply_comes_whole(make_screen: MakeScreen) -> None:
    """The reading line stays until the turn is finished, then the reply is printed."""
    screen, clock = make_screen(120, 30), Clock()
    view = TerminalView(screen.console, screen.console, stream=False, clock=clock)
    events = list(turn())
    play_until_last = events[:-1]
    for event in play_until_last:
        view.handle_event(event)
    clock.now += 1
    view.refresh()
    assert screen.rows()[-1].startswith("  Qwen3.7-Max reads 4 answers")
    view.handle_event(events[-1])
    assert screen.rows()[3:7] == SHOWN


def test_plain_on_a_terminal(make_screen: MakeScreen) -> None:
    """Plain means lines that stay, no Markdown, no cursor movement, and still nothing harmful."""
    screen = make_screen(120, 30)
    events = [*rounds(), ReplyDelta(text="a **b**\x1b[2J\x07 [bold]"), TurnFinished(result())]
    play(TerminalView(screen.console, screen.console, plain=True), iter(events))
    assert "\x1b" not in screen.written
    assert screen.rows() == [
        "  round 1   4 of 5   6.0 s   slowest gpt-oss-120b", "  MiniMax-M3 left out: rate limited",
        "  round 2   4 of 5   6.0 s   slowest gpt-oss-120b", "  MiniMax-M3 left out: rate limited",
        "", "a **b** [bold]", "", LINE + " · 2 of 10 left out",
    ]  # fmt: skip


def test_a_dumb_terminal_is_plain(make_screen: MakeScreen, monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb gets no escape sequence at all."""
    monkeypatch.setenv("TERM", "dumb")
    screen = make_screen(120, 30, colour=False)
    play(TerminalView(screen.console, screen.console), turn())
    assert "\x1b" not in screen.written
    assert "**self-regulating**" in screen.written


def test_reply_into_a_file_progress_on_the_terminal(make_screen: MakeScreen) -> None:
    """With stdout redirected, it gets the reply as written, and the terminal the progress."""
    screen, out, clock = make_screen(120, 30), io.StringIO(), Clock()
    play(TerminalView(out, screen.console, clock=clock), turn(), clock)
    assert out.getvalue() == REPLY + "\n"
    assert screen.rows() == [*FOLDED, LINE + " · 2 of 10 left out"]


def test_reply_on_the_terminal_errors_into_a_file(make_screen: MakeScreen) -> None:
    """With stderr redirected, there is no progress, and failures are plain lines there."""
    screen, err = make_screen(80, 24), io.StringIO()
    play(TerminalView(screen.console, err), turn())
    assert screen.rows() == SHOWN
    assert err.getvalue().splitlines() == [
        f"moa-bot: round {n}: MiniMax-M3 left out: rate limited" for n in (1, 2)
    ]


def test_an_interrupted_reply_is_marked(make_screen: MakeScreen) -> None:
    """A view that is closed in mid-reply leaves what came, an ellipsis, and order."""
    screen = make_screen(80, 24)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(ReplyDelta(text="Half a **sent"))
    view.close()
    assert screen.rows() == ["Half a **sent", "…"]
    screen.assert_in_order()


def test_notices_wait_for_the_end_of_the_reply(make_screen: MakeScreen) -> None:
    """A notice before the reply is printed at once, one in its middle below it."""
    screen = make_screen(80, 24)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(Notice("Cut \x1b[2Jshort."))
    view.handle_event(ReplyDelta(text="Yes, "))
    view.handle_event(Notice("Not saved."))
    view.handle_event(ReplyDelta(text="it is."))
    view.handle_event(TurnFinished(result(reply="Yes, it is.")))
    view.close()
    assert screen.rows()[:5] == ["  Cut short.", "", "Yes, it is.", "", "  Not saved."]


@pytest.mark.slow
@settings(max_examples=40)
@given(text=st.text(st.sampled_from("\x1b[]?25lhm;2JA\x07\r\n\x9b\x08ab \ud83d\u202e"), max_size=60))
def test_hostile_words_in_the_progress(make_screen: MakeScreen, text: str) -> None:
    """Words, names and messages of models and services cannot touch the terminal."""
    screen, clock = make_screen(120, 24), Clock()
    view = TerminalView(screen.console, screen.console, clock=clock)
    slot = Slot(1, 0, Agent("maker/" + text))
    failure = Failure(FailureKind.SERVICE, text, model=text)
    view.handle_event(RoundStarted(1, 1, (slot,)))
    view.handle_event(CallStarted(slot))
    view.handle_event(CallDelta(slot, text=text, reasoning=text))
    clock.now += 1
    view.refresh()
    view.handle_event(CallRetrying(slot, failure, 1, 1.0))
    view.handle_event(CallFinished(Call(slot, failure=failure)))
    clock.now += 1
    view.refresh()
    view.handle_event(RoundFinished(1, 1, (Call(slot, failure=failure),), 1.0))
    view.handle_event(Notice(text))
    view.handle_event(TurnFinished(result("failed", "", failure)))
    view.close()
    screen.assert_in_order()


def test_a_pipe_gets_the_reply_and_nothing_else() -> None:
    """The reply as the model wrote it, one newline at its end; failures on stderr."""
    out, err = io.StringIO(), io.StringIO()
    play(PipeView(out, err), turn())
    assert out.getvalue() == REPLY + "\n"
    assert err.getvalue().splitlines() == [
        f"moa-bot: round {n}: MiniMax-M3 left out: rate limited" for n in (1, 2)
    ]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reply", ["a\x1b[1m [bold] \r\n\tb  ", "ends itself\n", "ends twice\n\n"])
def test_a_pipe_changes_no_byte(stream: bool, reply: str) -> None:  # noqa: FBT001 - a parameter of the table
    """Data is data: controls and blanks go through, and only a missing newline is added."""
    out = io.StringIO(newline="")
    events: list[Event] = [ReplyDelta(text=letter) for letter in reply]
    events.append(TurnFinished(result(reply=reply)))
    play(PipeView(out, io.StringIO(), stream=stream), iter(events))
    assert out.getvalue() == (reply if reply.endswith("\n") else reply + "\n")


def test_a_model_that_is_loading_is_said_once() -> None:
    """In a pipe nothing else would show why it takes minutes; other faults are not said."""
    loading = Failure(FailureKind.LOADING, "HTTP 503: Loading model", model="m")
    slot, out, err = Slot(1, 0, Agent("m", "llamacpp")), io.StringIO(), io.StringIO()
    retries = [CallRetrying(slot, failure, 1, 2.0) for failure in (LIMITED, loading, loading)]
    play(PipeView(out, err), iter(retries))
    assert (out.getvalue(), err.getvalue()) == ("", "moa-bot: llamacpp is loading m: waiting for it\n")


def test_a_failure_that_a_notice_has_explained_is_named_in_short() -> None:
    """As that of a name that was found to be wrong before the round."""
    failure = Failure(FailureKind.NOT_FOUND, "it is not served here", model="x/typo", hint="see the list")
    call = Call(Slot(1, 0, Agent("x/typo", "e")), failure=failure)
    out, err = io.StringIO(), io.StringIO()
    play(PipeView(out, err), iter([CallFinished(call), Notice(str(failure)), CallFinished(call)]))
    assert err.getvalue().splitlines() == [
        f"moa-bot: round 1: typo left out: {FailureKind.NOT_FOUND}: it is not served here (see the list)",
        f"moa-bot: {failure}",
        f"moa-bot: round 1: typo left out: {FailureKind.NOT_FOUND}",
    ]


@pytest.mark.parametrize("ending", ["done", "partial", "interrupted"])
def test_a_notice_in_the_middle_of_a_reply_has_a_line_of_its_own(ending: str) -> None:
    """Also where replies and notices end up on one screen: it comes after the reply."""
    screen = io.StringIO()
    view = PipeView(screen, screen)
    for event in (Notice("before"), ReplyDelta(text="The re"), Notice("meanwhile"), ReplyDelta(text="ply")):
        view.handle_event(event)
    view.handle_event(Notice("at its end"))
    if ending != "interrupted":
        view.handle_event(TurnFinished(result(ending, "The reply")))
    view.close()
    lines = screen.getvalue().splitlines()
    assert lines[:4] == ["moa-bot: before", "The reply", "moa-bot: meanwhile", "moa-bot: at its end"]


def test_a_pipe_writes_what_no_encoding_can() -> None:
    """Surrogate pairs cut in half are joined, lone ones and unknown characters replaced."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8", newline="")
    texts = ["a\ud83d", "\ude00b\ud83d", "c\ude00", "\ud83d"]
    play(PipeView(out, io.StringIO()), (ReplyDelta(text=text) for text in texts))
    assert raw.getvalue().decode() == "a😀b\ufffdc\ufffd\ufffd\n"
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    play(PipeView(ascii_only, io.StringIO()), iter([ReplyDelta(text="é→a")]))
    assert raw.getvalue().decode() == "??a\n"


def test_a_failed_turn_in_a_pipe() -> None:
    """Nothing goes to stdout; with `quiet` the failure is still said, and only that."""
    out, err = io.StringIO(), io.StringIO()
    play(PipeView(out, err, quiet=True), turn("failed"))
    assert out.getvalue() == ""
    assert err.getvalue() == "moa-bot: Qwen/Qwen3.7-Max: timed out: no answer for 120 s (try again)\n"


class ClosedPipe(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        """Fail as a closed pipe does."""
        raise BrokenPipeError(text)


def test_a_closed_stdout_is_told_and_a_closed_stderr_is_not() -> None:
    """The caller hears of a reader that has gone; a stderr that has gone costs nothing."""
    view = PipeView(ClosedPipe(), ClosedPipe())
    for event in rounds():
        view.handle_event(event)
    with pytest.raises(BrokenPipeError):
        view.handle_event(ReplyDelta(text="a"))


@pytest.mark.parametrize("piped", [False, True])
def test_rounds_after_the_beginning_of_a_reply(make_screen: MakeScreen, *, piped: bool) -> None:
    """An aggregator that writes before it consults the panel: the rounds are shown, then the rest."""
    screen, out = make_screen(60, 24), io.StringIO()
    view = TerminalView(out if piped else screen.console, screen.console)
    whole = result(reply="Let me ask.\n\nThey do.")
    events = [
        ReplyDelta("Let me ask."),
        ReplyDelta("\n\n"),
        *rounds(),
        ReplyDelta("They do."),
        TurnFinished(whole),
    ]
    play(view, iter(events))
    view.close()
    text = "\n".join(screen.rows())
    assert "round 1" in text
    if piped:
        assert out.getvalue() == "Let me ask.\n\nThey do.\n"
    else:
        assert text.index("Let me ask.") < text.index("round 1") < text.index("They do.")


def test_json_has_everything_on_one_line() -> None:
    """One object per turn with the fields that are promised, also for characters no encoding knows."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8")
    view = JsonView(out, conversation=lambda: ("abc", 3))
    play(
        view,
        iter([TurnFinished(result(reply="déjà\nvu \ud83d")), TurnFinished(result("failed", "", LIMITED))]),
    )
    first, second = map(json.loads, raw.getvalue().decode().splitlines())
    assert "déjà" in raw.getvalue().decode()
    assert list(first) == [
        "reply", "reply_object", "model", "references", "drafts", "reviews", "attempts", "consultation",
            "aggregator", "sources", "analysis", "panel",
        "shadow", "attachments", "status", "error", "usage", "cost",
        "seconds", "first_token", "notices", "conversation_id", "turn",
    ]  # fmt: skip
    assert (first["reply"], first["status"], first["error"]) == ("déjà\nvu \ufffd", "done", None)
    assert (first["conversation_id"], first["turn"]) == ("abc", 3)
    assert (first["first_token"], first["seconds"]) == (11.1, 14.9)
    assert first["usage"] == {"prompt_tokens": 5904, "completion_tokens": 3310, "total_tokens": 9214}
    assert [len(round_) for round_ in first["references"]] == [5, 5]
    assert first["references"][0][0] == {
        "model": MODELS[0], "endpoint": "together", "text": "text", "reasoning": "", "error": None,
        "tokens": 412, "prompt_tokens": 10, "seconds": 3.6, "first_token": 0.5, "cost": 0.001, "partial": "",
        "tools": [],
    }  # fmt: skip
    failed = first["references"][1][4]
    assert (failed["text"], failed["error"], failed["cost"]) == (None, "rate limited", 0.0)
    assert (first["aggregator"]["text"], first["attempts"]) == ("déjà\nvu \ufffd", [])
    assert (second["reply"], second["status"]) == (None, "failed")
    assert second["error"] == "mm/MiniMax-M3: rate limited"


def test_json_has_cached_tokens_where_a_service_reported_them() -> None:
    """They stand in the call and in the sum, and are left out where no service said anything."""
    turn = result()
    done = Completion("hi", usage=Usage(5824, 14, None, 5000))
    turn = replace(turn, calls=(*turn.calls[:-1], Call(AGGREGATOR, done)))
    record = turn_json(turn, conversation_id=None, turn=None)
    assert record["usage"]["cached_tokens"] == record["aggregator"]["cached_tokens"] == 5000
    assert "cached_tokens" not in record["references"][0][0]


def test_partial_json() -> None:
    """A reply that was cut says why."""
    record = turn_json(result("partial"), conversation_id=None, turn=None)
    assert (record["reply"], record["status"], record["error"]) == (REPLY, "partial", "partial: stopped")


def test_signs_on_a_terminal_that_has_none() -> None:
    """Where the encoding lacks our signs, plain ones stand in, and nothing crashes."""
    from rich.console import Console

    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    console = Console(
        file=out, force_terminal=True, width=120, height=30, color_system=None, legacy_windows=False
    )
    clock = Clock()
    play(TerminalView(console, console, clock=clock), turn(), clock)
    out.flush()
    shown = raw.getvalue().decode("ascii")
    assert "5 models x 2 -> Qwen3.7-Max | first word" in shown
    assert "+ GLM-5.3" in shown
