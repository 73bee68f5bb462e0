"""The prompt: its keys, its completion, its history, and what happens to what is typed."""

from __future__ import annotations

import asyncio
import os
import re
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from chat_service import Service
from chatting import Chat, chatting, in_loop
from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from bot import __version__
from bot.repl.command_menu import opens_menu
from bot.repl.command_syntax import bare_command, is_command, quote_prompt
from bot.repl.completion import CommandCompleter
from bot.repl.key_bindings import strip_quotes
from bot.repl.line_editor import open_history
from bot.repl.pastes import Pastes

PASTE, PASTED = "\x1b[200~", "\x1b[201~"
CTRL_C, CTRL_D, CTRL_J, CTRL_R, CTRL_U = "\x03", "\x04", "\x0a", "\x12", "\x15"
ALT_ENTER, RIGHT, UP, TAB = "\x1b\r", "\x1b[C", "\x1b[A", "\t"


async def line_is(talk: Chat, text: str) -> None:
    """Wait until this stands in the line."""
    await talk.until(lambda: talk.screen.here == f">>> {text}".rstrip(), f"the line {text!r}")


@in_loop
async def test_a_whole_transcript(service: Service) -> None:
    """A short chat looks like this, from greeting to last prompt."""
    service.says(judge={"reply": "Because of **reasons**.\n\n- one\n- two"})
    async with chatting({"rounds": 2}) as talk:
        await talk.enter("why?")
        await talk.enter("/rounds 1")
        await talk.enter("/nonesuch")
        seen = [row for row in talk.text.split("\n") if " of 2 " not in row and "first word" not in row]
        assert seen == [
            f"moa-bot {__version__} · default*: 2 models × 2 → judge · /help",
            ">>> why?",
            "",
            "",
            "Because of reasons.",
            "",
            " • one",
            " • two",
            "",
            "─" * 72,
            ">>> /rounds 1",
            "  rounds  1  (option --rounds)",
            ">>> /nonesuch",
            "There is no command /nonesuch.",
            "  /help lists them. A prompt that begins with a slash is typed with two: //…",
            ">>>",
        ]
        folded = [row for row in talk.text.split("\n") if row.startswith("  round ")]
        assert [row[:20] for row in folded] == ["  round 1   2 of 2  ", "  round 2   2 of 2  "]
        assert sum("2 models × 2 → judge · first word" in row for row in talk.text.split("\n")) == 1


TYPED: list[tuple[str | bytes, str]] = [
    ("one\r", "one"),
    (f"one{ALT_ENTER}two\r", "one\ntwo"),
    (f"one{CTRL_J}two\r", "one\ntwo"),
    ('"""\rone\r\rtwo\r"""\r', "one\n\ntwo"),
    ('"""one"""\r', "one"),
    ('"""\r/etc/passwd, what is it?\r"""\r', "/etc/passwd, what is it?"),
    ("//etc/passwd, what is it?\r", "/etc/passwd, what is it?"),
    (f"{PASTE}one\rtwo\nthree\r\nfour{PASTED}\r", "one\ntwo\nthree\nfour"),
    (f"{PASTE}/usr/bin/x fails\rwhy?{PASTED}{CTRL_U}x\r", "/usr/bin/x fails\nx"),
    ("/* a comment */\r", "/* a comment */"),
    (f"nonsense{CTRL_C}one\r", "one"),
    ("\r  \rone\r", "one"),
    ("caf\u00e9 \u4f60\u597d\r", "caf\u00e9 \u4f60\u597d"),
    (b"caf\xe9\r", "caf\ufffd"),
    ('"""help"""\r', "help"),
    ("help me\r", "help me"),
    ("how do I exit?\r", "how do I exit?"),
    ("//?\r", "/?"),
]


@in_loop
async def test_what_is_asked(service: Service) -> None:
    """Every way to type a prompt of one line or several."""
    async with chatting() as talk:
        for keys, asked in TYPED:
            service.process.clear_requests()
            talk.type(keys)
            await talk.until(partial(_asked, talk, service, asked), repr(asked))


def _asked(talk: Chat, service: Service, prompt: str) -> bool:
    return talk.idle and service.prompts() == [prompt]


@in_loop
async def test_help_without_a_slash(service: Service) -> None:
    """What other programs call it shows the help, alone on a line, in any case; nothing is asked."""
    async with chatting() as talk:
        for line in ("help", "  HELP ", "?", "Help()", f"help{CTRL_J}"):
            assert "/retry" in await talk.enter(line)
        assert service.prompts() == []


@pytest.mark.parametrize("line", ["exit", " Quit ", ":q", ":Q!", ":wq", "exit()", "QUIT"])
def test_leaving_without_a_slash(service: Service, line: str) -> None:
    """What other programs call it leaves the chat; nothing is asked."""

    async def leave() -> None:
        async with chatting() as talk:
            talk.type(f"{line}\r")
            assert await talk.end() == 0
        assert service.prompts() == []

    in_loop(leave)()


@pytest.mark.parametrize("prompt", ["help", "/help", "//x", "EXIT", "/usr/bin is full", "two\nlines", "?"])
def test_a_quoted_prompt_is_the_prompt(prompt: str) -> None:
    """A prompt put back into the line is asked as it was, also where it looks like a command."""
    line = quote_prompt(prompt)
    assert bare_command(line) is None
    line = strip_quotes(line)
    assert not is_command(line)
    assert (line[1:] if line.startswith("//") else line) == prompt


@in_loop
async def test_a_paste_of_500_lines(service: Service) -> None:
    """It is one message, unchanged, and stays so in the history."""
    text = "\n".join(f"line {number}: /x and [bold] stay" for number in range(500))
    async with chatting() as talk:
        await talk.keys(f"{PASTE}{text}{PASTED}\r")
        assert service.prompts() == [text]
        talk.type(UP)
        await line_is(talk, "[pasted 500 lines]")
        talk.type(CTRL_O)
        await talk.until(lambda: talk.screen.here.endswith("line 499: /x and [bold] stay"))


LONG = "\n".join(f"row {number}\tcell" for number in range(300))
CTRL_A, CTRL_O, LEFT, BACKSPACE, CTRL_UNDERSCORE = "\x01", "\x0f", "\x1b[D", "\x7f", "\x1f"


@in_loop
async def test_a_long_paste_is_folded(service: Service) -> None:
    """It is one word of the line, whatever is typed around it, and whole in what is sent and recalled."""
    async with chatting() as talk:
        talk.type(f"sum up {PASTE}{LONG}\n{PASTED} please")
        await line_is(talk, "sum up [pasted 300 lines] please")
        talk.type(f"{CTRL_A}and {LEFT * 4}{RIGHT * 4}")
        await line_is(talk, "and sum up [pasted 300 lines] please")
        shown = await talk.keys("\r")
        asked = f"and sum up {LONG}\n please"
        assert service.prompts() == [asked]
        assert "row 150" not in shown
        await talk.keys("short\r")
        talk.type(UP * 2)
        await line_is(talk, "and sum up [pasted 300 lines] please")
        await talk.keys("!\r")
        assert service.prompts() == [asked, "short", f"{asked}!"]
        talk.type(UP * 3)  # the lines of a folded prompt are not in the way to earlier ones
        await line_is(talk, "and sum up [pasted 300 lines] please")


@in_loop
async def test_names_in_a_long_paste_attach_nothing(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few users have read each of its lines. Names typed around it attach files, and it is sent as it was."""
    (tmp_path / "private").write_text("SECRET", encoding="utf-8")
    (tmp_path / "public").write_text("PUBLIC", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pasted = f"{LONG}\nsee @private and @https://localhost:1/"
    async with chatting() as talk:
        shown = await talk.keys(f"sum up {PASTE}{pasted}{PASTED} with @public\r")
        assert "attached: public" in shown
        await talk.keys(f"/single {PASTE}{pasted}{PASTED}\r")
        first, second = service.prompts()
        assert first.startswith(f"sum up {pasted} with @public\n\nFile public:\n")
        assert second == pasted
        await talk.keys(f"/system {PASTE}{pasted}{PASTED}\r")
        await talk.keys("short\r")
        assert pasted in str(service.bodies()[-1]["messages"][0]["content"])


@pytest.mark.parametrize("save", [True, False])
def test_a_long_prompt_in_the_history_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, save: bool
) -> None:
    """Also one of an earlier chat; the file has all of its lines."""
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path))
    pastes = Pastes()
    history = open_history(pastes, save=save)
    for prompt in ("short", LONG):
        history.append_string(prompt)
    if save:
        pastes = Pastes()
        history = open_history(pastes, save=save)

    async def lines() -> list[str]:
        return [line async for line in history.load()]

    for _ in range(2):
        long, short = asyncio.run(lines())
        assert (pastes.label(long), short) == ("[pasted 300 lines]", "short")
        assert pastes.unfold(long) == LONG


PASTES = [
    ("a\tb", "", "a       b"),
    ("\tx\n\ty", "", "...         y"),
    ("\n".join(["x"] * 20), "", "... x"),
    ("\n".join(["x"] * 21), "", ">>> [pasted 21 lines]"),
    ("\n".join(["x"] * 21), BACKSPACE, ">>>"),
    ("\n".join(["x"] * 21), BACKSPACE + CTRL_UNDERSCORE, ">>> [pasted 21 lines]"),
    ("\n".join(["x"] * 21), "!" + LEFT * 2 + "?", ">>> ?[pasted 21 lines]!"),
    ("\n".join(["x"] * 21), CTRL_O + "!", "... x!"),
    ("\n".join(["x"] * 21), "\x15\x19", ">>> [pasted 21 lines]"),
    ("x" * 5000, "", ">>> [pasted 1 line, 5,000 characters]"),
    ("\n".join(["x"] * 21), f"{PASTE}{LONG}{PASTED}", ">>> [pasted 21 lines][pasted 300 lines]"),
]


@pytest.mark.parametrize(("text", "keys", "row"), PASTES)
@in_loop
async def test_how_a_paste_is_shown(service: Service, text: str, keys: str, row: str) -> None:
    """Tabs as tabs, more than 20 lines as one word; Ctrl-O shows them; whole when sent."""
    async with chatting(height=40) as talk:
        talk.type(f"{PASTE}{text}{PASTED}{keys}")
        await talk.until(lambda: talk.screen.here.endswith(row), repr(row))
        if not keys:
            await talk.keys("\r")
            assert service.prompts() == [text]


@in_loop
async def test_a_stopped_prompt_is_folded_again(service: Service) -> None:
    """A long paste that is put back into the line is one word of it, and sent whole."""
    async with chatting() as talk:
        await stop(talk, service, f"sum up {PASTE}{LONG}{PASTED}")
        await line_is(talk, "sum up [pasted 300 lines]")
        service.says()
        await talk.keys("\r")
        assert service.prompts() == [f"sum up {LONG}"]


@in_loop
async def test_a_long_paste_in_the_editor(service: Service, editor: Path) -> None:
    """The editor gets the text itself."""
    async with chatting() as talk:
        talk.type(f"x {PASTE}{LONG}{PASTED}\x18\x05")
        await talk.until(lambda: service.prompts("judge"), "the reply")
        await talk.shows("the reply")
        await talk.until(lambda: talk.idle, "the prompt")
        assert (editor / "given").read_text() == f"x {LONG}"
        assert service.prompts()[0].rstrip("\n") == "from the editor\nin two lines"


@in_loop
async def test_ctrl_c_at_the_prompt(service: Service) -> None:
    """On text it empties the line and the history is still there; on the empty line it hints at Ctrl-D."""
    async with chatting() as talk:
        await talk.enter("one")
        talk.type("half a thought")
        await line_is(talk, "half a thought")
        talk.type(CTRL_C)
        await line_is(talk, "")
        assert talk.prompts == 2
        talk.type(UP)
        await line_is(talk, "one")
        talk.type(CTRL_C)
        await line_is(talk, "")
        assert await talk.keys(CTRL_C) == "  Ctrl-D leaves."
        assert service.prompts() == ["one"]


@in_loop
async def test_ctrl_d_leaves(service: Service) -> None:
    """On the empty line it ends the chat with 0; on text it takes away a character."""
    async with chatting() as talk:
        talk.type(f"x\x01{CTRL_D}")
        await line_is(talk, "")
        talk.type(CTRL_D)
        assert await talk.end() == 0


@in_loop
async def test_suggestions_and_search(service: Service) -> None:
    """Earlier prompts are suggested while one types, taken with the right arrow, and found with Ctrl-R."""
    async with chatting() as talk:
        await talk.enter("why do cats purr?")
        await talk.enter("and dogs?")
        talk.type("why")
        await line_is(talk, "why do cats purr?")
        talk.type(f"{RIGHT}!")
        await line_is(talk, "why do cats purr?!")
        talk.type(f"{CTRL_U}{CTRL_R}cats")
        await talk.shows("I-search backward: cats")
        talk.type("\r")
        await line_is(talk, "why do cats purr?")
        await talk.keys("\r")
        assert service.prompts() == ["why do cats purr?", "and dogs?", "why do cats purr?"]


@in_loop
async def test_a_search_that_is_given_up(service: Service) -> None:
    """Ctrl-C in a search ends the search, not the chat, and leaves the line as it was."""
    async with chatting() as talk:
        await talk.enter("why do cats purr?")
        talk.type(f"x{CTRL_R}cats")
        await talk.shows("I-search backward: cats")
        talk.type(CTRL_C)
        await line_is(talk, "x")


COMPLETED = [
    ("/hel", "/help"),
    ("/help ret", "/help /retry"),
    ("/preset self", "/preset self-moa"),
    ("/theme li", "/theme light"),
    ("/set min_ref", "/set min_references"),
    ("/set theme li", "/set theme light"),
    ("/set preset self", "/set preset self-moa"),
    ("/set --plain of", "/set --plain off"),
    ("/model Qwen3.7-Max", "/model Qwen/Qwen3.7-Max"),
    ("/references a,Qwen3.7-Max", "/references a,Qwen/Qwen3.7-Max"),
    ("/retry Qwen3.7-Max", "/retry Qwen/Qwen3.7-Max"),
    ("/export jsonl ./oth", "/export jsonl ./other.txt"),
    ("/export ht", "/export html"),
    ("/file my", "/file my\\ notes.txt"),
    ("/file my\\ no", "/file my\\ notes.txt"),
    ("/save ./oth", "/save ./other.txt"),
    ("explain @oth", "explain @other.txt"),
    ("explain @my", "explain @my\\ notes.txt"),
    ("explain @my\\ no", "explain @my\\ notes.txt"),
    ('explain @"my no', 'explain @"my notes.txt"'),
    ("see @other.txt and @fol", "see @other.txt and @folder/"),
    ("see @folder/", "see @folder/inner.txt"),
    ("/with self-moa why @./oth", "/with self-moa why @./other.txt"),
    ("explain @odd", "explain @odd"),  # its newline would end the name
]


@in_loop
async def test_completion(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tab completes commands and what follows them, and in a prompt the names of files after an @."""
    monkeypatch.chdir(tmp_path)
    for name in ("my notes.txt", "other.txt", *(["odd\nname"] if os.name == "posix" else [])):
        (tmp_path / name).write_text("text", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inner.txt").touch()
    async with chatting() as talk:
        for typed, completed in COMPLETED:
            talk.type(f"{CTRL_U}{typed}")
            await line_is(talk, typed)
            talk.type(TAB)
            await line_is(talk, completed)


@pytest.mark.parametrize("typed", ["why /hel", "//hel", "/usr/bi", "/nonesuch x", "/cost x", "me@a"])
def test_what_is_no_command_is_not_completed(typed: str) -> None:
    """Prompts are the user's own words, also with a slash in them."""
    completer = CommandCompleter(cast("Any", None))
    assert list(completer.get_completions(Document(typed), CompleteEvent())) == []


OPENS_MENU = ("/", "/re", "/model ", "/model qw", "/set theme li", "/resume ", "/with de")
NO_MENU = (
    *("/with deep what is", "/single a b", "/moa why", "/cost x", "/nonesuch x"),
    *("", "why /re", "//re", "/usr/bi", "/re\nx"),
)


def test_when_the_menu_is_open() -> None:
    """While a command is typed, or an argument from a list; never in a prompt."""
    assert [text for text in OPENS_MENU if not opens_menu(text)] == []
    assert [text for text in NO_MENU if opens_menu(text)] == []


@in_loop
async def test_the_menu_while_a_command_is_typed(service: Service) -> None:
    """It opens on the slash, a line each, follows what is typed and deleted, and Escape closes it."""
    async with chatting() as talk:
        talk.type("/")
        await talk.until(lambda: re.search(r"(?m)^ +/help +Show the main commands$", talk.text))
        assert len(re.findall(r"(?m)^ +/\w+ +[A-Z]", talk.text)) > 10
        talk.type("re")
        await talk.until(lambda: "/refs " in talk.text and "/help " not in talk.text)
        seen = talk.text.split("\n")[2:]
        names = ["/retry", "/resume", "/recap", "/rename", "/references", "/refs"]
        assert [row.split()[0] for row in seen] == names
        talk.type("n\x7f\x7f")
        await talk.shows(" /rounds ")
        app = get_app_session().app
        assert app is not None
        assert cast("float", app.timeoutlen) < 0.1
        talk.type("\x1b")
        await talk.until(lambda: " /rounds " not in talk.text)
        await talk.until(lambda: cast("float", app.timeoutlen) > 0.5)
        await line_is(talk, "/r")
        talk.type("ef")
        await talk.shows(" /refs ")
        talk.type("\x1b[B\r")
        await line_is(talk, "/references")
        assert talk.prompts == 1


@in_loop
async def test_no_menu_in_plain_text(service: Service) -> None:
    """With --plain nothing moves under the line."""
    async with chatting({"plain": True}) as talk:
        talk.type("/re")
        await line_is(talk, "/re")
        await asyncio.sleep(0)
        assert "/refs" not in talk.text


@in_loop
async def test_completion_of_conversations(service: Service) -> None:
    """After /resume come the kept conversations, by their ids, with their titles."""
    async with chatting() as talk:
        await talk.enter("why do cats purr?")
        known = (await talk.enter("/history")).split("\n")[-1].split()[0]
        await talk.enter("/new")
        talk.type(f"/resume {known[0]}{TAB}")
        await line_is(talk, f"/resume {known}")


@in_loop
async def test_enter_takes_a_completion_before_it_runs(service: Service) -> None:
    """Enter on a chosen completion closes the menu; the next one runs the command."""
    async with chatting() as talk:
        talk.type(f"/ex{TAB}")
        await talk.shows(" /export  Write this")
        talk.type(TAB)
        await line_is(talk, "/exit")
        talk.type("\r")
        await talk.until(lambda: " /export  Write this" not in talk.text)
        assert talk.prompts == 1
        talk.type("\r")
        assert await talk.end() == 0


@in_loop
async def test_history_is_shared_between_windows(service: Service, home: Path) -> None:
    """What one window asked the arrow keys bring back in another open one; nobody else may read it."""
    async with chatting() as one, chatting() as other:
        await one.enter("asked in one window")
        await other.enter("/cost")
        other.type(UP)
        await line_is(other, "/cost")
        other.type(UP)
        await line_is(other, "asked in one window")
    file = home / "prompt_history"
    assert "+asked in one window" in file.read_text(encoding="utf-8")
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


@in_loop
async def test_history_that_cannot_be_written(service: Service, home: Path) -> None:
    """The chat works, and remembers prompts for as long as it is open."""
    (home / "prompt_history").mkdir(parents=True)
    async with chatting() as talk:
        await talk.enter("one")
        talk.type(UP)
        await line_is(talk, "one")


def kept_text(home: Path) -> str:
    """Return the text of all files in the home folder."""
    return "".join(file.read_text("utf-8", "replace") for file in home.rglob("*") if file.is_file())


@in_loop
async def test_no_save_keeps_no_prompt(service: Service, home: Path) -> None:
    """With --no_save the arrow keys bring a prompt back while the chat is open, and no file keeps it."""
    async with chatting({"save": False}) as talk:
        await talk.enter("a secret")
        talk.type(UP)
        await line_is(talk, "a secret")
    assert "a secret" not in kept_text(home)


@in_loop
async def test_history_that_is_gone_meanwhile(service: Service, home: Path) -> None:
    """A history that disappears while the chat runs costs the earlier prompts, not the chat."""
    async with chatting() as talk:
        (home / "prompt_history").unlink()
        (home / "prompt_history").mkdir()
        await talk.enter("one")
        await talk.enter("two")
        assert service.prompts() == ["one", "two"]


@in_loop
async def test_the_editor_at_the_prompt(service: Service, editor: Path) -> None:
    """Ctrl-X Ctrl-E opens the line in the editor; what it saves stands in the line."""
    async with chatting() as talk:
        talk.type("half a thought\x18\x05")
        await talk.shows("from the editor")
        assert (editor / "given").read_text() == "half a thought"
        await talk.keys("\r")
        assert service.prompts()[0].rstrip("\n") == "from the editor\nin two lines"


@in_loop
async def test_keys_of_vi(service: Service) -> None:
    """With --vi the line is edited with the keys of vi."""
    async with chatting({"vi": True}) as talk:
        talk.type("one two")
        await line_is(talk, "one two")
        talk.type("\x1b")
        talk.type("bcwthree")
        await line_is(talk, "one three")
        await talk.keys("\r")
        assert service.prompts() == ["one three"]


@in_loop
async def test_the_bar(service: Service) -> None:
    """It tells of mixture, conversation, context and cost; narrow windows keep the mixture."""
    for width, bar in (
        (120, "default* · judge ← 2 × 2 · a long first prompt tha… · "),
        (60, "default* · judge ← 2 × 2 · "),
        (40, "default* · judge ← 2 × 2"),
        (20, "judge ← 2 × 2"),
    ):
        async with chatting({"rounds": 2}, width=width) as talk:
            assert "judge ← 2 × 2" in await talk.bar()
            await talk.enter("a long first prompt that goes on and on and on")
            shown = await talk.bar()
            assert shown.startswith(bar)
            assert len(shown) < width
            assert ("cost unknown" in shown) == (width > 40)


@in_loop
async def test_quiet_has_neither_bar_nor_greeting(service: Service) -> None:
    """With --quiet there is the prompt and the reply."""
    async with chatting({"quiet": True}) as talk:
        await talk.enter("why?")
        assert talk.screen.rows() == [">>> why?", "the reply", ">>>"]


@in_loop
async def test_replies_go_where_stdout_goes(service: Service, tmp_path: Path) -> None:
    """With stdout and stderr in files the reply is written as the model wrote it."""
    service.says(judge={"reply": "**bold** [x](y)"})
    async with chatting(terminal=False) as talk:
        await talk.keys("why?\r")
        assert talk.out.getvalue().endswith("**bold** [x](y)\n")
        assert "\x1b" not in talk.out.getvalue()


STALLS = {"failures": [{"kind": "stall"}]}


async def stop(talk: Chat, service: Service, keys: str, typed: str = "") -> str:
    """Ask a prompt that nobody answers, type, press Ctrl-C; returns what was said of it."""
    service.process.clear_requests()
    service.says(a=STALLS, b=STALLS)
    before, above = talk.prompts, len(talk.text)
    talk.type(f"{keys}\r")
    await talk.until(lambda: len(service.prompts("a")) == len(service.prompts("b")) == 1, "the references")
    talk.type(f"{typed}{CTRL_C}")
    await talk.until(lambda: talk.prompts > before, "the next prompt")
    return talk.text[above:]


@pytest.mark.parametrize(
    ("keys", "back"),
    [
        ("why?", ">>> why?"),
        ("//etc/passwd?", ">>> /etc/passwd?"),
        ("//help", ">>> //help"),
        ('"""help"""', '>>> """help"""'),
        (f"one{CTRL_J}two", ">>> one\n... two"),
    ],
)
@in_loop
async def test_a_stopped_prompt_is_back_in_the_line(service: Service, keys: str, back: str) -> None:
    """One quiet line, then the prompt as it was typed, which Enter asks again."""
    async with chatting() as talk:
        said = await stop(talk, service, keys)
        await talk.until(lambda: talk.text.endswith(back), repr(back))
        assert said.endswith("\n\n  Stopped before the reply began.\n" + back)
        asked = service.prompts("a")
        service.says()
        await talk.keys("\r")
        assert service.prompts("a") == asked * 2
        assert await talk.enter("/cost")


@in_loop
async def test_what_was_typed_meanwhile_goes_before_a_stopped_prompt(service: Service) -> None:
    """The line holds what was typed since, and the stopped prompt is one key away."""
    async with chatting() as talk:
        await stop(talk, service, "why?", "and then")
        await line_is(talk, "and then")
        talk.type(f"{CTRL_U}{UP}")
        await line_is(talk, "why?")


@in_loop
async def test_a_stopped_prompt_keeps_its_files(service: Service, tmp_path: Path) -> None:
    """They are attached to the prompt that is back in the line."""
    (tmp_path / "notes.txt").write_text("a note", encoding="utf-8")
    async with chatting() as talk:
        await talk.enter(f"/file {tmp_path / 'notes.txt'}")
        await stop(talk, service, "why?")
        assert "1 attached" in await talk.bar()
        service.says()
        await talk.keys("\r")
        assert "a note" in service.prompts("a")[-1]


@in_loop
async def test_a_stopped_retry(service: Service) -> None:
    """The line stays empty: the earlier turn is the last one still."""
    async with chatting() as talk:
        await talk.enter("why?")
        said = await stop(talk, service, "/retry")
        assert said.endswith(
            "  Stopped before the reply began.\n  The earlier reply stays in the conversation.\n>>>"
        )
        assert "from a" in await talk.enter("/refs")
