"""The window's title, and the signal at the end of a long turn."""

from __future__ import annotations

import re

import pytest
from chat_service import Service
from chatting import chatting, in_loop

from bot.render import window

FOCUS_IN, FOCUS_OUT = window.FOCUS_IN, window.FOCUS_OUT


def titles(written: str) -> list[str]:
    """The titles that the window was given."""
    return re.findall(r"\x1b\]0;([^\x07]*)\x07", written)


@in_loop
async def test_the_title_says_what_goes_on(service: Service) -> None:
    """Round, writing, how it ended; afterwards the title is what it was, and nothing is reported."""
    async with chatting() as talk:
        assert titles(talk.written) == []
        await talk.enter("why?")
        await talk.enter("a \\x1b]0;evil\\x07 one")
    expected = ["round 1 of 1", "writing", "✓"]
    shown = [re.sub(r"( ·)? why\? · moa-bot$", "", title) for title in titles(talk.written)]
    assert shown == [*expected, "round 1 of 1", "writing", "✓", ""]
    assert talk.written.count(window.KEEP_TITLE) == 1
    assert talk.written.count(window.RESTORE_TITLE) == 1
    assert talk.written.count(window.REPORT_FOCUS) == talk.written.count(window.NO_FOCUS_REPORTS) == 2
    assert talk.written.rindex(window.NO_FOCUS_REPORTS) > talk.written.rindex(window.REPORT_FOCUS)


@pytest.mark.parametrize("given", [{"plain": True}, {"quiet": True}], ids=str)
def test_no_title(service: Service, given: dict[str, object]) -> None:
    """With --plain and --quiet the title stays as it was."""

    async def ask() -> None:
        async with chatting(given) as talk:
            await talk.enter("why?")
        assert "\x1b]0;" not in talk.written

    in_loop(ask)()


@pytest.mark.parametrize(
    ("notify", "keys", "seconds", "bells"),
    [
        ("auto", FOCUS_OUT, 0, 1),
        ("auto", "", 0, 0),
        ("auto", FOCUS_OUT + FOCUS_IN, 0, 0),
        ("auto", FOCUS_OUT, 60, 0),
        ("always", "", 0, 1),
        ("always", "", 60, 0),
        ("never", FOCUS_OUT, 0, 0),
    ],
)
def test_the_end_of_a_long_turn(
    service: Service, monkeypatch: pytest.MonkeyPatch, notify: str, keys: str, seconds: float, bells: int
) -> None:
    """A bell, where the user looks at another window or always wants it; the reports are no text."""
    monkeypatch.setattr(window, "NOTIFY_AFTER", seconds)
    service.says(judge={"delay": 0.2})

    async def ask() -> None:
        async with chatting({"notify": notify}) as talk:
            talk.type("why?\r")
            await talk.until(service.prompts, "the question")
            talk.type(keys)
            await talk.until(lambda: talk.prompts > 1)
            assert talk.screen.here == ">>>"
            assert re.sub(r"\x1b\][^\x07]*\x07", "", talk.written).count("\x07") == bells

    in_loop(ask)()


@in_loop
async def test_back_at_the_prompt(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types the next prompt is in front again; reports that come late are no text."""
    monkeypatch.setattr(window, "NOTIFY_AFTER", 0)
    service.says(judge={"delay": 0.2})
    async with chatting() as talk:
        talk.type("why?\r")
        await talk.until(service.prompts, "the question")
        await talk.keys(FOCUS_OUT)
        talk.type(FOCUS_IN + FOCUS_OUT)
        await talk.enter("and?")
        assert service.prompts()[-1] == "and?"
        assert re.sub(r"\x1b\][^\x07]*\x07", "", talk.written).count("\x07") == 1


@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ({"TERM": "xterm-256color"}, "\x07"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]9;moa-bot: "),
        ({"TERM": "xterm-kitty"}, "\x1b]9;moa-bot: "),
        ({"TERM": "xterm-ghostty"}, "\x1b]9;moa-bot: "),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, "\x07"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "\x07"),
        ({"TERM": "dumb", "TERM_PROGRAM": "WezTerm"}, "\x07"),
    ],
)
def test_a_notification(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], start: str) -> None:
    """OSC 9 where the terminal shows it, else a bell; no text can end the sequence or begin another."""
    for name in ("TERM_PROGRAM", "TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sequence = window.notification("a\x07b\x1b]0;c\x9c\nd" + "e" * 100)
    assert sequence.startswith(start)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", sequence.removeprefix(start).removesuffix("\x07"))
    assert len(sequence) < 90


@pytest.mark.parametrize(
    ("term", "has"),
    [("xterm-256color", True), ("tmux-256color", True), ("screen", True), ("alacritty", True),
     ("vte-256color", True), ("dumb", False), ("linux", False), ("", False), ("vt100", False)],
)  # fmt: skip
def test_terminals_with_a_window(monkeypatch: pytest.MonkeyPatch, term: str, *, has: bool) -> None:
    """The console of Linux and terminals of unknown kind are sent nothing that they could print."""
    monkeypatch.setenv("TERM", term)
    assert window.has_window() is has


def test_a_title_is_one_line() -> None:
    """Whatever a prompt holds, the sequence has one end, and is short."""
    title = window.set_title("a\x07b\x1b\\\x9c\n\u202ec" + "你" * 90)
    assert title.startswith("\x1b]0;ab c你")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", title[4:-1])


LINKS = [
    ({"TERM": "xterm-256color"}, False),
    ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, True),
    ({"TERM": "xterm-256color", "VTE_VERSION": "4600"}, False),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, True),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, False),
    ({"TERM": "xterm-kitty"}, True),
    ({"TERM": "xterm-kitty", "STY": "1"}, False),
    ({"TERM": "tmux-256color", "TMUX": "x", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.4"}, True),
    ({"TERM": "screen", "TMUX": "x", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.2a"}, False),
    ({"TERM": "screen", "TMUX": "x", "VTE_VERSION": "7600"}, False),
    ({"TERM": "dumb", "VTE_VERSION": "7600"}, False),
    ({"TERM": "linux", "KONSOLE_VERSION": "220401"}, False),
]


def test_terminals_with_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is known: elsewhere an address that is not shown would be lost."""
    names = (
        "TMUX",
        "STY",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "VTE_VERSION",
        "WT_SESSION",
        "KONSOLE_VERSION",
    )
    for environment, has in LINKS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert window.has_links() is has, environment
