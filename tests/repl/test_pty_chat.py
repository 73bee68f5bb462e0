"""The chat as a program in a real pseudo-terminal: what is seen, from the greeting to the last prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures_made import pdf, picture
from services import conversation

pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")

from chat_service import Service
from pty_window import PtyWindow

from bot.demo.scripted import SCRIPTED_PROMPT
from bot.repl.background import QUESTION

Open = Callable[..., PtyWindow]

CTRL_C, CTRL_D, CTRL_J, CTRL_O = "\x03", "\x04", "\x0a", "\x0f"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"
MARKDOWN = """# Why

Cats purr because of **reasons**, of which `two` matter:

1. they are *content*
2. they are 你好 not

```python
def purr() -> str:
    return "rrr"
```

| sign | means |
|---|---|
| ✓ | yes |
"""
SUMMARY = r"  2 models → judge · first word .* s( ·|\n ) .* s · 205 tokens · cost unknown"
RENDERED = """\
Why

Cats purr because of reasons, of which two matter:

 1. they are content
 2. they are 你好 not

─── python
def purr() -> str:
    return "rrr"
───

sign   means
────────────
✓      yes"""


def numbered(text: str) -> list[int]:
    """The numbers of the words w000, w001, … in the order in which they stand in the text."""
    return [int(number) for number in re.findall(r"\bw(\d{3})\b", text)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 20)])
def test_a_streamed_reply(window: Open, service: Service, width: int, height: int) -> None:
    """The same reply in windows of three sizes: every row as it has to be, and no state left behind."""
    service.says(judge={"reply": MARKDOWN, "tokens_per_second": 400})
    with window(width=width, height=height) as talk:
        talk.prompt()
        shown = talk.ask("why?")
        folded = RENDERED.replace("of which two", "of which\ntwo") if width == 40 else RENDERED
        rule = "─" * min(width, 72)
        assert re.fullmatch(
            rf"\n  round 1   2 of 2   .* s   slowest .\n\n{re.escape(folded)}\n\n{SUMMARY}\n{rule}",
            shown,
        )
        assert all(len(row) <= width for row in talk.emulator.rows())
        talk.until(lambda: "judge ← 2" in talk.emulator.last, "the bar")
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


@pytest.mark.slow
def test_another_answer_is_taken(window: Open, service: Service) -> None:
    """A prompt is compared, one of its answers becomes the reply, and the usual mixture goes on with it."""
    with window(width=100) as talk:
        talk.prompt()
        shown = talk.ask("/compare why?")
        assert any("1 · a" in row and "2 · b" in row for row in shown.split("\n"))
        assert "Taken as the reply: the answer of b." in talk.ask("/take 2")
        assert "the reply" in talk.ask("and?")
        said = [message["content"] for message in service.bodies()[-1]["messages"]]
        assert said[:2] == ["why?", "from b"]
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


@pytest.mark.slow
def test_files_in_prompts(
    window: Open, service: Service, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tab completes names; image, PDF and text go along, are named, and are there when it is resumed."""
    monkeypatch.chdir(tmp_path)
    (home / "config.toml").write_text("[models.a]\nvision = true\n", encoding="utf-8")
    Path("big photo.jpg").write_bytes(picture("JPEG", (4000, 2000)))
    Path("report.pdf").write_bytes(pdf("Cats purr."))
    Path("src").mkdir()
    Path("src/app.py").write_text("x = 1\n", encoding="utf-8")
    with window(width=120) as talk:
        talk.prompt()
        talk.type("compare @bi\t")
        talk.prompt("compare @big\\ photo.jpg")
        talk.type("\x15")
        talk.prompt()
        shown = talk.ask("compare @big\\ photo.jpg with @report.pdf, @src/*.py and me@src")
        assert (
            "  attached: big photo.jpg (2048x1024, about 2,740 tokens), report.pdf (1 page, about 6 tokens),"
            " src/app.py (1 line,\n  about 2 tokens)\n"
        ) in shown
        assert "b, judge cannot see images, and are told that there is one." in shown
        assert "the reply" in shown
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()
    with window("--continue", width=120) as talk:
        talk.prompt()
        assert "@src/*.py and me@src (1 turn)" in " ".join(talk.text.split())
        talk.ask("and its colour?")
        talk.type(CTRL_D)
        assert talk.end() == 0
    for body in service.bodies("a"):
        text, image = body["messages"][0]["content"]
        assert text["text"].startswith("compare @big\\ photo.jpg with @report.pdf, @src/*.py and me@src\n\n")
        assert "[image: big photo.jpg, 2048x1024]" in text["text"]
        assert "[page 1]\nCats purr.\n" in text["text"]
        assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert len(service.bodies("a")) == 2


@pytest.mark.slow
def test_a_template_and_json(window: Open, service: Service, home: Path) -> None:
    """A template fills in what is typed; a reply that is not the JSON asked for is asked for once more."""
    (home / "config.toml").write_text("[prompts.tr]\ntext = 'In {lang}: {input}'\n", encoding="utf-8")
    with window(width=100) as talk:
        talk.prompt()
        talk.ask("/t tr lang=French hello there")
        assert service.bodies("a")[-1]["messages"][0]["content"] == "In French: hello there"
        talk.ask("/set schema name, age int")
        service.says(judge={"replies": ["Ada, I think.", '{"name": "Ada", "age": 36}']})
        shown = talk.ask("who?")
        assert re.search(r"─── json\n\{\n  \"name\": \"Ada\",\n  \"age\": 36\n\}\n───\n", shown)
        assert "Ada, I think." not in shown
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()
    service.says(judge={"reply": '{"name": "Bo", "age": 7}'})
    with window("--continue", width=100) as talk:
        talk.prompt()
        assert '"Bo"' in talk.ask("and who else?")
        talk.type(CTRL_D)
        assert talk.end() == 0


@pytest.mark.slow
def test_a_draft_and_the_revision_in_its_place(window: Open, service: Service) -> None:
    """The draft is read while it is reviewed; of it nothing is left once the revision is there."""
    draft, revised = "The capital is Sydney.", "The capital is Canberra."
    service.says(
        a={"reply": "- It is Canberra.", "delay": 3},
        b={"reply": "nothing"},
        judge={"replies": [draft, revised], "tokens_per_second": 200},
    )
    with window() as talk:
        talk.prompt()
        talk.ask("/set mode critique")
        talk.type("which?\r")
        talk.until(lambda: draft in talk.emulator.rows(), "the draft")
        talk.until(lambda: any("waiting for a" in row for row in talk.emulator.rows()), "the review")
        rows = talk.emulator.rows()
        assert rows[rows.index(draft) - 2] == "  draft · judge"
        talk.until(lambda: revised in talk.emulator.rows(), "the revision")
        talk.prompt()
        rows = talk.emulator.rows()
        assert draft not in rows
        assert "  draft · judge" not in rows
        assert any(row.startswith("  review   2 of 2") for row in rows[: rows.index(revised)])
        assert "[-" not in talk.ask("/diff")
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


def test_what_is_typed_before_the_prompt_is_up(window: Open, service: Service) -> None:
    """Enter submits also when typed before the program had the terminal; later Ctrl-J is a new line."""
    with window() as talk:
        talk.type("typed ahead\rand this")
        talk.prompt("and this")
        assert service.prompts() == ["typed ahead"]
        talk.type(f"{CTRL_J}line 2\r")
        talk.until(lambda: len(service.prompts()) == 2)
        assert service.prompts()[1] == "and this\nline 2"
        talk.prompt()
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


def test_ctrl_d_before_the_prompt_is_up(window: Open) -> None:
    """It leaves, with 0."""
    with window() as talk:
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


def test_what_is_typed_while_the_models_think(window: Open, service: Service) -> None:
    """It stands in the next prompt; with Enter it is asked; a paste is one message; no reply is disturbed."""
    service.says(judge={"reply": "w0 " * 40, "tokens_per_second": 100})
    with window() as talk:
        talk.prompt()
        talk.type("one\r")
        talk.until(lambda: len(service.prompts()) == 1)
        talk.type(f"two\r{PASTE}three\rlines\rpasted{PASTED}\rhalf a thought")
        talk.prompt("half a thought")
        assert service.prompts() == ["one", "two", "three\nlines\npasted"]
        typed = [row for row in talk.text.split("\n") if row.startswith((">>>", "..."))]
        assert typed == [">>> one", ">>> two", ">>> three", "... lines", "... pasted", ">>> half a thought"]
        assert talk.text.count("w0") == 3 * 40
        talk.type(CTRL_C)
        talk.prompt()
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


def test_a_paste_of_500_lines(window: Open, service: Service) -> None:
    """Through the terminal's own bracketed paste it is one message."""
    text = "\n".join(f"line {number}" for number in range(500))
    with window() as talk:
        talk.prompt()
        talk.type(PASTE + text.replace("\n", "\r") + PASTED)
        talk.prompt("[pasted 500 lines]")
        talk.type("\r")
        talk.until(lambda: talk.here == ">>>")
        assert service.prompts() == [text]


def test_answers_are_unfolded(window: Open, service: Service) -> None:
    """Ctrl-O shows the answers that are there and those that come."""
    service.says(a={"reply": "a says this"}, b={"reply": "b says that", "delay": 0.6})
    with window() as talk:
        talk.prompt()
        talk.type("one\r")
        talk.until(lambda: "✓ a" in talk.text)
        talk.type(CTRL_O)
        talk.shows("a says this")
        assert "the reply" not in talk.text
        talk.shows("the reply")
        talk.prompt()
        assert talk.text.index("a says this") < talk.text.index("b says that") < talk.text.index("the reply")


@pytest.mark.parametrize("sizes", [[(120, 24), (150, 24)], [(50, 24), (80, 24)]], ids=["wider", "narrower"])
def test_a_window_resized_in_mid_stream(window: Open, service: Service, sizes: list[tuple[int, int]]) -> None:
    """No word of the reply comes twice or out of order, and where the window grew none is missing."""
    words = [f"w{number:03}" for number in range(300)]
    text = (
        " ".join(words[:150])
        + "\n\n- "
        + "\n- ".join(" ".join(words[i : i + 30]) for i in range(150, 300, 30))
    )
    service.says(judge={"reply": text, "tokens_per_second": 400})
    with window() as talk:
        talk.prompt()
        talk.type("one\r")
        for size, word in zip(sizes, ("w060", "w200"), strict=True):
            talk.shows(word)
            talk.resize(*size)
        talk.prompt()
        seen = numbered(talk.text)
        assert seen == sorted(set(seen))
        if sizes[0][0] > 80:
            assert seen == list(range(300))
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


HOSTILE = (
    "one\x1b[2Jtwo \x1b]52;c;ZXZpbA==\x07three \x1b]0;title\x1b\\four [bold]five[/bold] [/abc] "
    "six\rseven \x07eight \x9b31mnine \x9d0;x\x9cten \u202eeleven\u2066 "
    "\x1b[?1049h\x1b[?25l\x1b[31m\x1b(0twelve"
)


def test_hostile_text(window: Open, service: Service) -> None:
    """Of escape sequences in answers, reasons and replies nothing but visible text reaches the terminal."""
    service.says(
        a={"reply": HOSTILE, "tokens_per_second": 200, "reasoning": HOSTILE},
        b={"failures": [{"status": 400, "message": HOSTILE}]},
        judge={"reply": HOSTILE, "tokens_per_second": 200},
    )
    with window(width=200, height=50) as talk:
        talk.prompt()
        shown = talk.ask("why?")
        assert "onetwo three four [bold]five[/bold] [/abc] six seven eight nine ten eleven twelve" in shown
        talk.ask("/refs")
        talk.ask("/history")
        talk.ask("/cost")
        raw = re.sub(
            r"\x1b\]0;[^\x00-\x1f\x7f-\x9f]* why\? · moa-bot\x07", "", talk.raw.replace(QUESTION, "")
        )
        for codes in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\x9d", "\u202e", "\u2066", "1049h", "\x1b(0"):
            assert codes not in raw, ascii(codes)
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()


def test_resumed_in_another_window(window: Open, service: Service, home: Path) -> None:
    """A chat goes on in a new window with --continue and with /resume; what was said before goes along."""
    with window() as talk:
        talk.prompt()
        talk.ask("first prompt")
        talk.type(CTRL_D)
        assert talk.end() == 0
    with window("--continue") as talk:
        talk.prompt()
        found = re.search(r"Resumed (\w+): first prompt \(1 turn\)", talk.text)
        assert found
        talk.ask("second prompt")
        talk.ask("/new")
        seen = talk.ask(f"/resume {found[1][:4]}").split("\n")
        assert seen[0] == f"Resumed {found[1]}: first prompt (2 turns)"
        assert [row for row in seen if row.startswith(">>>")] == [">>> first prompt", ">>> second prompt"]
        talk.ask("third prompt")
        assert conversation(service.bodies()[-1])[::2] == ["first prompt", "second prompt", "third prompt"]


def test_the_editor_gets_a_usual_terminal(window: Open, service: Service, tmp_path: Path) -> None:
    """/edit and Ctrl-X Ctrl-E give the terminal back while the editor runs; its Ctrl-C ends nothing."""
    script = tmp_path / "editor"
    script.write_text(
        f'#!/bin/sh\nstty -a < /dev/tty >> {tmp_path}/modes\necho from the editor > "$1"\nkill -INT $PPID\n',
        encoding="utf-8",
    )
    script.chmod(0o700)
    with window(EDITOR=str(script), VISUAL="") as talk:
        talk.prompt()
        talk.type("/edit\r")
        talk.prompt("from the editor")
        talk.type("\x15\x18\x05")
        talk.until(lambda: (tmp_path / "modes").read_text().count("speed") == 2, "the editor, twice")
        modes = (tmp_path / "modes").read_text()
        for mode in ("icanon", "echo", "icrnl", "isig"):
            assert len(re.findall(rf"(?<!\S){mode}\b", modes)) == 2, mode


@pytest.mark.parametrize(
    ("arguments", "more"), [(["--plain"], {}), ([], {"TERM": "dumb"})], ids=["plain", "dumb"]
)
def test_plain_text(window: Open, service: Service, arguments: list[str], more: dict[str, str]) -> None:
    """With --plain or on a dumb terminal nothing moves: plain lines, the reply as it was written."""
    service.says(judge={"reply": "**bold** and\n\n- one", "tokens_per_second": 100})
    with window(*arguments, **more) as talk:
        talk.shows(">>>")
        talk.type("why?\r")
        talk.until(lambda: talk.text.count(">>>") == 2)
        rows = talk.text.split("\n")
        assert "**bold** and" in rows
        assert "- one" in rows
        assert any(row.startswith("  round 1   2 of 2") for row in rows)
        between = talk.raw[talk.raw.index("round 1") : talk.raw.index("judge ·")]
        assert "\x1b[" not in between
        if more:
            assert "\x1b" not in talk.raw
        talk.type(CTRL_D)
        assert talk.end() == 0


def test_no_colour_and_quiet(window: Open, service: Service) -> None:
    """With NO_COLOR no colour is sent; with --quiet there is the prompt and the reply, and nothing else."""
    service.says(judge={"reply": "`code` and **more**"})
    with window("--quiet", NO_COLOR="1") as talk:
        talk.prompt()
        assert talk.ask("why?") == "code and more"
        assert talk.emulator.rows() == [">>> why?", "code and more", ">>>"]
        sent = {number for codes in re.findall(r"\x1b\[([0-9;]*)m", talk.raw) for number in codes.split(";")}
        assert not {
            number for number in sent if number.isdigit() and int(number) in {*range(30, 39), *range(40, 49)}
        }


def test_a_comparison(window: Open, service: Service) -> None:
    """Items while the judge works, one line before the reply; in full and by answer on demand."""
    service.says(
        a={"program": "demo/outliner"},
        b={"program": "demo/sceptic"},
        judge={"program": "demo/aggregator", "tokens_per_second": 60},
    )
    with window("--mode", "fusion", width=100, height=50) as talk:
        talk.prompt()
        talk.type(f"{SCRIPTED_PROMPT}\r")
        talk.until(lambda: "    agree: A cat that purrs" in "\n".join(talk.emulator.rows()), "an item")
        talk.until(lambda: "Why they stop" in "\n".join(talk.emulator.rows()), "the reply")
        talk.prompt()
        shown = "\n".join(talk.emulator.rows())
        assert re.search(r"\n  compared   agree on 1 · differ on 1 .*  /analysis\n", shown)
        assert "    agree:" not in shown
        assert "differ: The muscles of the larynx twitch … times a second" in talk.ask("/analysis")
        assert "unique: Purring near 26 hertz" in talk.ask("/refs")
        talk.type(CTRL_D)
        assert talk.end() == 0
        talk.assert_as_found()
