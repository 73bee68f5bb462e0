"""Which tools a reference waits for, under its row while a round runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from bot.app.log import log_line
from bot.events import (
    AggregatorStarted,
    CallDelta,
    CallFinished,
    CallQueued,
    CallStarted,
    ReplyDelta,
    RoundFinished,
    RoundStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)
from bot.messages import Agent, Completion
from bot.render.progress import LiveProgress
from bot.render.reply import JsonView, PipeView
from bot.render.terminal_view import TerminalView
from bot.serve.chat_json import progress_json
from bot.text.tool_calls import address_of, short_call
from bot.tool_use import ToolRun, ToolSource
from bot.turn_result import Call, Slot, TurnResult

if TYPE_CHECKING:
    from conftest import Screen

SLOT, OTHER = Slot(1, 0, Agent("one")), Slot(1, 1, Agent("two"))
SEARCH = ToolStarted(SLOT, "1", "web_search", {"query": "cats purr"})
FETCH = ToolStarted(SLOT, "2", "web_fetch", {"url": "https://www.nature.com/x?y"})
RUN = ToolRun("web_search", {"query": "cats"}, "text", (ToolSource("http://x"),), seconds=1.0, bytes=4)


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("web_search", {"query": "cats purr", "n": 5}, '⌕ "cats purr"'),
        ("web_fetch", {"url": "https://www.nature.com/articles/1"}, "↓ nature.com"),
        ("web_fetch", {"url": "http://[bad"}, "⚙ web_fetch url=http://[bad"),
        ("web_fetch", {"url": 5}, "⚙ web_fetch url=5"),
        ("git.git_log", {"repo_path": "/x", "max_count": 3}, "⚙ git.git_log repo_path=/x max_count=3"),
        ("f", {}, "⚙ f"),
        ("f\x1b[31m", {"a\nb": "c\x07\nd"}, "⚙ f a b=c d"),
        ("web_search", {"query": "x" * 5000}, f'⌕ "{"x" * 79}…"'),
        ("f", {"a": [1], "b": {"c": None}, "d": True, "e": 4}, "⚙ f a=[1] b={'c': None} d=True"),
    ],
)
def test_a_call_in_a_few_words(name: str, arguments: dict[str, Any], shown: str) -> None:
    """What is searched for, the host that is read, or the tool; on one line, without control characters."""
    assert short_call(name, arguments) == shown


def test_what_a_reference_waits_for(make_screen: Callable[..., Screen]) -> None:
    """Its calls stand under its row until it writes, and go with the round."""
    screen, now = make_screen(60, 20), 0.0
    view = LiveProgress(screen.console, clock=lambda: now)

    def show(*events: Any) -> str:
        nonlocal now
        for event in events:
            now += 1
            view.handle_event(event)
        return "\n".join(screen.rows())

    show(RoundStarted(1, 1, (SLOT, OTHER)), CallStarted(SLOT), CallStarted(OTHER))
    shown = show(SEARCH, FETCH)
    lines = [line.rstrip() for line in shown.splitlines() if line.strip()]
    assert [line.split()[1] for line in lines[1:]] == ["one", '"cats', "nature.com", "two"]
    assert lines[2] == '      ⌕ "cats purr"'
    assert "tools" in lines[1]
    assert "asks" in show(CallQueued(SLOT)).splitlines()[-4]
    failed = ToolRun("web_fetch", {}, error="HTTP 404")
    shown = show(ToolFinished(SLOT, "2", failed), ToolFinished(SLOT, "1", RUN))
    assert "↓ nature.com   failed" in shown
    assert "⌕" in shown
    shown = show(CallStarted(SLOT), CallDelta(SLOT, "Cats"))
    assert "⌕" not in shown
    call, other = Call(SLOT, Completion("x"), tool_runs=(RUN, failed)), Call(OTHER, Completion("y"))
    shown = show(CallFinished(call), CallFinished(other), RoundFinished(1, 1, (call, other), 3.0))
    assert "2 of 2   3.0 s   2 tool calls" in shown
    writer = Slot(2, 0, Agent("judge"), "aggregator")
    shown = show(AggregatorStarted(writer, 2), ToolStarted(writer, "1", "web_search", {"query": "dogs"}))
    assert 'judge: ⌕ "dogs"' in shown
    view.close()


def test_many_calls_at_once(make_screen: Callable[..., Screen]) -> None:
    """The newest ones, and how many more."""
    screen = make_screen(60, 20)
    view = LiveProgress(screen.console, clock=iter(range(100)).__next__)
    view.handle_event(RoundStarted(1, 1, (SLOT,)))
    for number in range(5):
        view.handle_event(ToolStarted(SLOT, str(number), "web_search", {"query": f"q{number}"}))
    shown = "\n".join(screen.rows())
    assert "q1" not in shown
    assert "q4" in shown
    assert "and 2 more" in shown


def test_log_and_service() -> None:
    """The log names tool and size, not what was looked for; the progress of a service names the tool."""
    assert log_line(ToolFinished(SLOT, "1", RUN)).endswith(
        "one | tool web_search | 1.0 s | 4 bytes, 1 source"
    )
    assert progress_json(ToolFinished(SLOT, "1", RUN)) == {
        "event": "tool", "round": 1, "role": "reference", "index": 0, "model": "one", "name": "web_search",
        "error": None,
    }  # fmt: skip


@pytest.mark.parametrize("linking", [False, True])
def test_sources_under_the_reply(
    make_screen: Callable[..., Screen],
    monkeypatch: pytest.MonkeyPatch,
    linking: bool,  # noqa: FBT001 - a case
) -> None:
    """Those that the reply cites: a link where the terminal is known to have them, else the whole address."""
    monkeypatch.setattr("bot.render.styles._links", linking)
    hostile = ToolSource("javascript:alert(1)", "Script")
    sources = (
        ToolSource("https://www.nature.com/a\x1bé b", "Cats\x1b[2J purr"),
        ToolSource("http://x"),
        hostile,
    )
    run = ToolRun("web_search", {}, sources=sources)
    writer = Slot(2, 0, Agent("judge"), "aggregator")
    reply = "They purr [1], [3]."
    calls = (Call(SLOT, Completion("x"), tool_runs=(run,)), Call(writer, Completion(reply)))
    screen = make_screen(60, 20)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(ReplyDelta(reply))
    view.handle_event(TurnFinished(TurnResult("done", reply, "", "judge", calls)))
    written = screen.written
    assert "[2]" not in written
    assert ("\x1b]8;" in written) == linking
    if linking:
        assert ";https://www.nature.com/a%1B%C3%A9%20b\x1b\\" in written
        assert "Cats purr" in written
        assert " · nature.com/a" in written
    else:
        assert "[1] Cats purr · https://www.nature.com/a" in "\n".join(screen.rows())
    assert "]8;id=" not in written.rsplit("[3]", 1)[1]
    assert "[3] Script · javascript:alert(1)" in written


def test_many_sources(make_screen: Callable[..., Screen]) -> None:
    """The first ones, and where the rest is."""
    run = ToolRun(
        "web_search", {}, sources=tuple(ToolSource(f"http://{number}.example") for number in range(12))
    )
    writer = Slot(2, 0, Agent("judge"), "aggregator")
    calls = (Call(SLOT, Completion("x"), tool_runs=(run,)), Call(writer, Completion("reply")))
    screen = make_screen(60, 30)
    view = TerminalView(screen.console, screen.console)
    view.handle_event(TurnFinished(TurnResult("done", "reply", "", "judge", calls)))
    shown = "\n".join(screen.rows())
    assert "[8] http://7.example" in shown
    assert "[9]" not in shown
    assert "and 4 more: /sources" in shown


def two_pages() -> TurnFinished:
    """The end of a turn whose reply cites two pages of one host and title."""
    head = "https://www.nature.com/articles/with-a-long-name-that-begins-alike/"
    pages = tuple(ToolSource(f"{head}{end}", "A study of how cats purr, and of why they do") for end in "ab")
    run = ToolRun("web_fetch", {"url": pages[0].url}, sources=(*pages, ToolSource("http://x")))
    reply = "They purr [1][2]."
    writer = Slot(2, 0, Agent("judge"), "aggregator")
    calls = (Call(SLOT, Completion("x"), tool_runs=(run,)), Call(writer, Completion(reply)))
    return TurnFinished(TurnResult("done", reply, "", "judge", calls))


@pytest.mark.parametrize("width", [20, 33, 40, 60, 80, 300])
def test_pages_of_one_host_can_be_told_apart(
    make_screen: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A row each, with the end of its address, cut to the width."""
    monkeypatch.setattr("bot.render.styles._links", True)
    screen = make_screen(width, 20)
    TerminalView(screen.console, screen.console).handle_event(two_pages())
    rows = [row.rstrip() for row in screen.rows() if row.strip().startswith("[")]
    assert [row[-2:] for row in rows] == ["/a", "/b"]
    assert all("A study" in row for row in rows) or width == 20


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://www.nature.com/", "nature.com"),
        ("https://nature.com/articles/1?page=2#top", "nature.com/articles/1?page=2#top"),
        ("http://user:secret@127.0.0.1:8080/a", "127.0.0.1:8080/a"),
        ("http://[::1]:80/a", "::1:80/a"),
        ("https://x.example/a\x1b[2Jb\nc\u202e", "x.example/abc"),
        ("javascript:alert(1)", ""),
        ("http://[bad", ""),
    ],
)
def test_an_address_on_one_line(url: str, shown: str) -> None:
    """Host, port, path and query; no scheme, no user, no control characters."""
    assert address_of(url) == shown


@pytest.mark.parametrize("streaming", [True, False])
def test_sources_of_a_reply_in_a_pipe(streaming: bool) -> None:  # noqa: FBT001 - a case
    """They stand on stderr once the reply is over; stdout has the reply alone, --quiet none."""
    reply, end = "They purr [1][2].", two_pages()
    expected = [f"[{n}] {s.title} · {s.url}" for n, s in end.result.shown_sources]
    for quiet in (False, True):
        out, err = io.StringIO(), io.StringIO()
        view = PipeView(out, err, quiet=quiet, stream=streaming)
        view.handle_event(ReplyDelta(reply))
        assert not err.getvalue()
        view.handle_event(end)
        assert out.getvalue() == f"{reply}\n"
        assert err.getvalue().splitlines() == ([] if quiet else expected)
    err = io.StringIO()
    JsonView(io.StringIO(), err).handle_event(end)
    assert not err.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_sources_on_the_screen_of_one_question(
    make_screen: Callable[..., Screen],
    quiet: bool,  # noqa: FBT001 - a case
) -> None:
    """`ask` and `ask | cat` list them on the terminal, too, where the reply is on it or not."""
    for piped in (True, False):
        screen, out = make_screen(200, 20), io.StringIO()
        view = TerminalView(out if piped else screen.console, screen.console, keep=False, quiet=quiet)
        view.handle_event(ReplyDelta("They purr [1][2]."))
        view.handle_event(two_pages())
        view.close()
        shown = "\n".join(screen.rows())
        assert ("begins-alike/b" in shown) != quiet
        assert "[3]" not in shown
        assert out.getvalue() == ("They purr [1][2].\n" if piped else "")
    screen, err = make_screen(200, 20), io.StringIO()
    TerminalView(screen.console, err, keep=False, quiet=quiet).handle_event(two_pages())
    assert ("begins-alike/b" in err.getvalue()) != quiet
