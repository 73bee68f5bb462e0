"""Whether the window is light or dark: asked of the terminal, whose answers are never typed text."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")

from chat_service import Service
from chatting import chatting, in_loop
from pty_window import PtyWindow
from running import LIMIT

from bot.render import styles
from bot.repl import background
from bot.repl.background import QUESTION, BackgroundQuestion, parse_background

if TYPE_CHECKING:
    from collections.abc import Iterator

LIGHT, DARK = "\x1b]11;rgb:ffff/ffff/f0f0\x1b\\", "\x1b]11;rgb:1e/1e/2e\x07"
DONE = "\x1b[?64;1;22c"
LIGHT_CYAN, DARK_CYAN = "38;2;0;112;125", "38;2;125;207;208"


@pytest.fixture(autouse=True)
def _unknown_background(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(styles, "_background", None)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield
    monkeypatch.undo()
    styles.use_theme("terminal")


@pytest.mark.parametrize(
    ("colour", "background"),
    [
        ("rgb:ffff/ffff/ffff", "light"), ("rgb:0/0/0", "dark"), ("rgb:ff/ff/e0", "light"),
        ("rgba:0000/2b2b/3636/ffff", "dark"), ("rgb:8000/8000/8000", "light"), ("rgb:0/0/ffff", "dark"),
        ("rgb:fd/f6/e3", "light"), ("", None), ("black", None), ("rgb:1/2", None),
    ],
)  # fmt: skip
def test_colours(colour: str, background: str | None) -> None:
    """By luminance; what cannot be read says nothing."""
    assert parse_background(colour) == background


@pytest.mark.parametrize("typed", ["", "x", "\x1b[A", "\x1bf", "]11;", "\x1b[200~a\x1b[201~", "\x1b[3;1R"])
@pytest.mark.parametrize("answer", [LIGHT + DONE, DARK + DONE, DONE], ids=["light", "dark", "none"])
def test_answers_are_not_typed(typed: str, answer: str) -> None:
    """Wherever they are cut, and whatever is typed before, between and after."""
    whole = typed + answer + typed
    for cut in range(len(whole) + 1):
        found: list[str] = []
        question = BackgroundQuestion(found.append, clock=lambda: 0.0)
        assert question.feed(whole[:cut]) + question.feed(whole[cut:]) == typed * 2, cut
        assert found == ([] if answer == DONE else ["light" if answer.startswith(LIGHT) else "dark"])
        assert question.over
        assert question.feed("\x1b") == "\x1b"


def test_nothing_is_held_back_for_long() -> None:
    """After the time limit Escape is Escape; answers that come later still are no text."""
    now = [0.0]
    question = BackgroundQuestion(lambda _: None, clock=lambda: now[0])
    assert question.feed("\x1b") == ""
    assert question.release() == "\x1b"
    assert question.feed("\x1b") == ""
    now[0] = 1.0
    assert question.feed("[A") == "\x1b[A"
    assert question.feed("\x1b") == "\x1b"
    assert question.feed(f"a{LIGHT}b{DONE}c") == "abc"


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("answer", [LIGHT + DONE, DARK + DONE, DONE, "\x1b]11;odd\x07" + DONE])
def test_an_answer_that_is_late_and_cut(answer: str, *, released: bool) -> None:
    """After the time limit, too, no piece of it is text, from the first character that no key sends."""
    cuts = [cut for cut in range(len(answer)) if answer[:cut].endswith(("1;", "r", "f", "?", "6", "2", "/"))]
    for cut in cuts:
        now = [0.0]
        question = BackgroundQuestion(lambda _: None, clock=lambda: now[0])  # noqa: B023 - used in this turn
        now[0] = 2.0
        shown = question.feed(answer[:cut])
        shown += question.release() if released else ""
        shown += question.feed("")
        assert shown + question.feed(answer[cut:]) + question.feed("cat") == "cat", cut


@pytest.mark.parametrize("cut", ["\x1b]11;", "\x1b]11;rgb:ff", "\x1b[?", "\x1b[?64;"])
@pytest.mark.parametrize("released", [True, False])
def test_an_answer_that_never_ends(cut: str, *, released: bool) -> None:
    """It is dropped, and what is typed after it is typed."""
    now = [0.0]
    question = BackgroundQuestion(lambda _: None, clock=lambda: now[0])
    shown = question.feed(cut)
    now[0] = 1.0
    shown += question.release() if released else ""
    assert shown + "".join(map(question.feed, "how are you?\x1b[A")) == "how are you?\x1b[A"


@pytest.mark.parametrize(
    ("given", "answer", "colour"),
    [
        ({}, LIGHT, LIGHT_CYAN),
        ({}, DARK, DARK_CYAN),
        ({}, "", "\x1b[36m"),
        ({"theme": "dark"}, LIGHT, DARK_CYAN),
        ({"theme": "terminal"}, LIGHT, "\x1b[36m"),
    ],
)
def test_the_colours_of_a_reply(
    service: Service, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], answer: str, colour: str
) -> None:
    """They suit the window, where the terminal says what it is; a theme that was chosen wins."""
    monkeypatch.setattr(background, "LIMIT", LIMIT)  # the answer is in time, however busy the machine is
    service.says(judge={"reply": "`code`"})

    async def ask() -> None:
        async with chatting(given) as talk:
            asked = QUESTION in talk.written
            assert asked is ("theme" not in given)
            talk.type(f"{answer}{DONE}wh" if asked else "wh")
            await talk.until(lambda: talk.screen.here == ">>> wh", "what was typed, without answers")
            await talk.enter("y?")
            assert service.prompts() == ["why?"]
            assert colour in talk.written

    in_loop(ask)()


@in_loop
async def test_plain_text_asks_nothing(service: Service) -> None:
    """Nor is it asked where there are no colours."""
    async with chatting({"plain": True}) as talk:
        assert QUESTION not in talk.written


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ctrl-d", "kill"])
def test_a_late_answer_does_not_reach_the_shell(
    window: Callable[..., PtyWindow], service: Service, how: str
) -> None:
    """Who leaves before the terminal has answered leaves nothing behind."""
    with window() as talk:
        talk.until(lambda: QUESTION in talk.raw, "the question")
        if how == "ctrl-d":
            talk.type("\x04")
            talk.type(LIGHT[:5])
            talk.type(LIGHT[5:] + DONE)
        else:
            talk.type(LIGHT)
            talk.signal(signal.SIGTERM)
            talk.type(DONE)
        assert talk.end() == (0 if how == "ctrl-d" else 130)
        talk.assert_as_found()
        assert talk.left_over() == b""
