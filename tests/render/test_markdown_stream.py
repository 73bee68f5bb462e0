"""A reply streamed as Markdown looks in the end as if it had been printed at once."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.markdown import Markdown

from bot.render import styles
from bot.render.blocks import document_rows
from bot.render.markdown import MarkdownStream, print_markdown

MakeScreen = Callable[..., Any]

DOCUMENT = """\
# Why cats purr

Purring is a **self-regulating** behaviour as much as a *sign* of `contentment`, and
[see this](https://example.com/purr) for more, in a paragraph that takes several rows of any window.

1. First item, quite long, which has to be wrapped somewhere around the eightieth column or before
2. Second
   - nested one
   - nested two
     going on

     with a paragraph of its own

3. Third

> A quote with *emphasis* inside
> and more
>
> - a list in it

| Name | Value | Note |
|:-----|------:|:----:|
| a    |     1 |  x   |
| bb   |    22 | `c`  |

```python
def purr(hz: int = 25) -> str:
    \"\"\"Say
    it.\"\"\"

    return f"purr at {hz}"  # comment
```

---

漢字かな交じり文のとても長い段落です。これは幅の広い文字が正しく折り返されるかどうかを確かめるためのものです。「引用」もあります。

Setext
======

- loose

- list 🐈

<b>no html</b> &amp; ~~struck~~ \\*literal\\* 5 * 3 * 2 snake_case

    indented = code

[1]: https://example.com/one
[2]: https://example.com/two

```
a fence without an end
  x = 1
"""

FRAGMENTS = r"""
alpha beta, *em* **strong** `code` **open [link](http://x.y/z) [ref] snake_case 5*3 <b> & &amp; \* ~~s~~
![im](u) 漢字かな、混じり文 _u_ `tick * ** _x [a [1] ~100 end. <http://a.b> **a* x** `` 1. — \ ! <a
http://example.com/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
"""
WORDS = st.sampled_from(FRAGMENTS.split())
LINE = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
STARTS = st.sampled_from(
    ["", "", "", "- ", "  - ", "    - ", "1. ", "2. ", "   ", "    ", "> ", "> - ", "# ", "## ", "\t", "* "]
)
BLOCKS = st.one_of(
    st.lists(st.tuples(STARTS, LINE).map("".join), min_size=1, max_size=6).map("\n".join),
    st.sampled_from(
        ["---", "***", "===", "#", "-", "", "```", "~~~", "> > deep", "```py\nx = 1  # y\n\nz\n```", "1)"]
    ),
    st.lists(LINE, min_size=1, max_size=4).map(
        lambda rows: "| h | k |\n|:--|--:|\n" + "\n".join(f"| {row} | 1 |" for row in rows)
    ),
)
DOCUMENTS = st.lists(st.tuples(BLOCKS, st.sampled_from(["\n", "\n\n"])).map("".join), max_size=8).map("".join)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=10)
SIZES = st.sampled_from([(80, 24), (40, 24), (200, 50), (24, 5)])


def stream(screen: Any, text: str, cuts: list[int]) -> None:
    """Stream `text` in pieces of the lengths `cuts`, again and again, with a redraw at each."""
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    at = turn = 0
    while at < len(text):
        made.feed(text[at : at + cuts[turn % len(cuts)]])
        at += cuts[turn % len(cuts)]
        turn += 1
    made.close()


def at_once(text: str, console: Console) -> list[str]:
    """Return the rows of `text` laid out in one go."""
    rows = ["".join(run[0] for run in row).rstrip() for row in document_rows(text, console.width, console)]
    while rows and not rows[-1]:
        rows.pop()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (40, 24), (200, 50), (30, 6)])
@pytest.mark.parametrize("cut", [1, 3, 11, 10_000])
def test_all_kinds_of_blocks(make_screen: MakeScreen, size: tuple[int, int], cut: int) -> None:
    """However it is cut and whatever the window, the screen ends as if printed at once."""
    screen = make_screen(*size)
    stream(screen, DOCUMENT, [cut])
    assert screen.rows() == at_once(DOCUMENT, screen.console)
    screen.assert_in_order()


@pytest.mark.slow
@settings(max_examples=20)
@given(text=DOCUMENTS, cuts=CUTS, size=SIZES)
def test_any_text(make_screen: MakeScreen, text: str, cuts: list[int], size: tuple[int, int]) -> None:
    """The same for texts that no one would write."""
    screen = make_screen(*size)
    stream(screen, text, cuts)
    assert screen.rows() == at_once(text, screen.console)
    screen.assert_in_order()


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_word_is_lost(make_screen: MakeScreen, width: int) -> None:
    """The words are those that Rich's own Markdown shows, in the same order."""
    text = re.sub(r"(?s)<b>.*", "", DOCUMENT)  # below it we show on purpose what Rich hides
    screen = make_screen(width, 24)
    stream(screen, text, [5])
    other = Console(file=io.StringIO(), width=width)
    other.print(Markdown(text, hyperlinks=False))
    found = [re.findall(r"\w", shown) for shown in (" ".join(screen.rows()), other.file.getvalue())]  # type: ignore[attr-defined] # it is a StringIO
    ours = "".join(found[0]).replace("python", "", 1)  # the language is shown above its code
    assert ours == "".join(found[1])


def recorded_answers() -> list[str]:
    """Return some answers that models really gave, longest and most varied first."""
    folder = Path(os.environ.get("MOA_BOT_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    file = folder / "alpaca_eval" / "recorded_answers.jsonl.gz"
    if not file.exists():
        pytest.skip(f"no recorded answers in {folder}")
    answers: list[str] = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in itertools.islice(lines, 0, 805, 16):
            answers += json.loads(line)["outputs"].values()
    kinds = re.compile(r"^(?:[-*+] |\d+[.)] |#|>|```|\||    )|\*\*|`", re.MULTILINE)
    return sorted(set(answers), key=lambda answer: len(kinds.findall(answer)), reverse=True)[:10]


@pytest.mark.slow
def test_recorded_answers(make_screen: MakeScreen) -> None:
    """What models really wrote ends on the screen as if printed at once."""
    for answer in recorded_answers():
        text = answer.replace("\u200d", "").replace("\ufe0f", "")  # the emulator stops at them
        screen = make_screen(72, 24)
        stream(screen, text, [23])
        assert screen.rows() == at_once(text, screen.console)
        screen.assert_in_order()


HOSTILE = [
    *("\x1b[2J\x1b[H", "\x1b]52;c;aGVsbG8=\x07", "\x1b]0;title\x07", "[bold]not markup[/bold]", "[/abc]"),
    *("\r", "\x07", "\x9b31m", "\x9d0;x\x9c", "\x1b[?25l", "\x1b[?1049h", "\x1b[7m", "\x1b", "\x08", "\x1bc"),
    *("&#27;[2J", "&#x202e;", "&#13;", "&#12;", "\x1b(0", "`\x1b[1m`", "[a](http://x\x1b[1m)", "\ud83d"),
    *("<http://a/%1b%5B2J>", "![\x1b](\x07)", "```\x1b[1m\n", "| a\x1b[ | b |\n|--|--|\n"),
    *("\n\n", "\n", " ", "word", "**", "- ", "> ", "# "),
]


@pytest.mark.slow
@settings(max_examples=50)
@given(parts=st.lists(st.sampled_from(HOSTILE), max_size=20), cuts=CUTS)
def test_hostile_text(make_screen: MakeScreen, parts: list[str], cuts: list[int]) -> None:
    """Whatever a model writes, only visible text and our own colours reach the terminal."""
    screen = make_screen(40, 10)
    stream(screen, "".join(parts), cuts)
    screen.assert_in_order()


def test_rich_markup_is_not_interpreted(make_screen: MakeScreen) -> None:
    """Square brackets are text."""
    screen = make_screen(80, 24)
    stream(screen, "a [bold]b[/bold] [/abc] [link=http://x]c :smile:", [3])
    assert screen.rows() == ["a [bold]b[/bold] [/abc] [link=http://x]c :smile:"]


def test_the_first_words_come_at_once_and_the_rest_in_time(make_screen: MakeScreen) -> None:
    """The first piece is drawn immediately, later ones at the next interval, also by `refresh`."""
    now = 0.0
    screen = make_screen(80, 24)
    made = MarkdownStream(screen.console, interval=0.04, clock=lambda: now)
    made.feed("Hello ")
    assert screen.rows() == ["Hello"]
    made.feed("world")
    made.refresh()
    assert screen.rows() == ["Hello"]
    now = 0.05
    made.refresh()
    assert screen.rows() == ["Hello world"]
    written = len(screen.written)
    now = 1.0
    made.refresh()
    assert len(screen.written) == written, "nothing changed, nothing is written"


@pytest.mark.slow
def test_rows_that_are_done_are_not_written_twice(make_screen: MakeScreen) -> None:
    """A long reply costs a few times its own length in output, not its length at each redraw."""
    text = "".join(f"Paragraph {n} has some words in it, enough for more than a row.\n\n" for n in range(300))
    screen = make_screen(40, 10, colour=False)
    stream(screen, text, [6])
    assert len(screen.written) < 3 * len(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opening", "line"),
    [
        ("", "line {n} of one long paragraph\n"),
        ("", "{n}. item with **bold** words\n"),
        ("", "- item {n}\n\n"),
        ("```python\n", "x_{n} = call({n}, 'text')  # words\n"),
    ],
)
def test_ten_thousand_lines(make_screen: MakeScreen, opening: str, line: str) -> None:
    """A reply of ten thousand lines is drawn in full, and at a cost in proportion to its length."""
    lines = 10_000
    text = opening + "".join(line.format(n=n) for n in range(1, lines + 1))
    screen = make_screen(80, 24)
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    step = len(text) // 100
    longest = 0
    for at in range(0, len(text), step):
        made.feed(text[at : at + step])
        longest = max(longest, len(made._text))
    made.close()
    assert longest < 4 * step + 5000, "what was printed is forgotten"
    numbers = re.findall(r"(?:line|item|x_)\s*(\d+)|(\d+)\. ", _plain(screen.written))
    shown = {int(a or b) for a, b in numbers}
    assert shown == set(range(1, lines + 1))


def _plain(written: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)


@pytest.mark.slow
def test_a_tail_higher_than_the_window(make_screen: MakeScreen) -> None:
    """Of a table that does not fit the window its last rows are seen, and in the end all of it."""
    text = "| n | text |\n|--|--|\n" + "".join(f"| {n} | word |\n" for n in range(60))
    screen = make_screen(40, 10)
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    made.feed("Before\n\n")
    for at in range(0, len(text), 50):
        made.feed(text[at : at + 50])
    assert len(screen.rows()) <= 7
    assert "more above" in screen.rows()[1]
    made.close()
    assert screen.rows() == at_once("Before\n\n" + text, screen.console)


def test_a_wide_table_becomes_lines(make_screen: MakeScreen) -> None:
    """Where columns would be too narrow to read, each cell stands under its header's name."""
    screen = make_screen(24, 10)
    stream(screen, "|a|b|c|d|e|\n|-|-|-|-|-|\n|1|2|3|4|five and more words here|\n", [4])
    assert screen.rows() == ["a: 1", "b: 2", "c: 3", "d: 4", "e: five and more words", "here"]


CELLS = """| command | what it does | n |
|---|:---:|---:|
| `git commit -m "a message"` | records what is staged, with an extraordinarily long message | 1 |
| see `a b` | nothing | 22 |
"""


@pytest.mark.parametrize("width", [52, 60, 80])
def test_cells_are_broken_at_words(make_screen: MakeScreen, width: int) -> None:
    """Neither code nor a word is broken, columns keep their alignment, no row is too wide."""
    screen = make_screen(width, 30)
    stream(screen, CELLS, [7])
    rows = screen.rows()
    assert max(map(len, rows)) <= width
    assert any(row.startswith('git commit -m "a message"   ') for row in rows)
    assert sum("extraordinarily" in row for row in rows) == 1
    assert any(row.startswith("see a b ") and row.endswith(" 22") for row in rows)
    assert {row.rfind("1") for row in rows if row.endswith("1")} == {max(map(len, rows)) - 1}


def test_cells_that_cannot_be_broken_become_lines(make_screen: MakeScreen) -> None:
    """Where code leaves no room for the columns, its cell stands under its header's name, whole."""
    screen = make_screen(44, 30)
    stream(screen, CELLS, [7])
    assert screen.rows()[0] == 'command: git commit -m "a message"'


LINKS = {
    "[the **docs**](https://example.org/a?b)": ("https://example.org/a?b", "the docs (example.org)"),
    "<https://example.org/a>": ("https://example.org/a", "https://example.org/a"),
    "[bank.com](https://bank.com@evil.org/x)": ("https://bank.com@evil.org/x", "bank.com (evil.org)"),
    "[mail](mailto:a@b.c)": ("mailto:a@b.c", "mail (a@b.c)"),
    "![a cat](https://example.org/cat.png)": ("https://example.org/cat.png", "a cat (example.org)"),
    "[x](ftp://example.org/x)": ("", "x (ftp://example.org/x)"),
    "[x](relative/x)": ("", "x (relative/x)"),
    "[x](https://a.org/\x1b]0;owned\x07z)": ("https://a.org/z", "x (a.org)"),
}


@pytest.mark.parametrize("text", LINKS)
def test_links_open_their_address(make_screen: MakeScreen, text: str) -> None:
    """By OSC 8, where the terminal has it; where a link leads stays visible."""
    address, seen = LINKS[text]
    for shown in (True, False):
        styles.use_links(shown=shown)
        try:
            screen = make_screen(80, 10)
            stream(screen, f"See {text} there.", [3])
        finally:
            styles.use_links(shown=False)
        opened = re.findall(r"\x1b\]8;id=\w+;([!-~]+)\x1b\\", screen.written)
        assert set(opened) == ({address} - {""} if shown else set())
        assert screen.written.count("\x1b]8;;\x1b\\") == len(opened)
        assert "owned" not in screen.written
        if shown:
            assert screen.rows() == [f"See {seen} there."]


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(40, 80), (80, 40), (80, 50, 100, 30, 80)])
def test_a_window_resized_while_it_streams(make_screen: MakeScreen, widths: tuple[int, ...]) -> None:
    """Nothing is printed twice and nothing new is lost, whatever the window's width becomes."""
    screen = make_screen(widths[0], 24)
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    words = [f"w{n:04d}" for n in range(600)]
    changes = {200 + 60 * n: width for n, width in enumerate(widths[1:])}
    for number, word in enumerate(words):
        if number in changes:
            screen.resize(changes[number], 24)
        made.feed(word + ("\n\n" if number % 97 == 96 else "\n- " if number % 31 == 30 else " "))
    made.close()
    shown = re.findall(r"w\d{4}", " ".join(screen.rows()))
    assert shown == sorted(set(shown)), "in order, and no word twice"
    after = f"w{max(changes) + 1:04d}"
    assert [word for word in words if word >= after] == [word for word in shown if word >= after]
    if min(widths) == widths[0]:
        assert shown == words
    screen.assert_in_order()


def test_a_terminal_that_wraps_anew(make_screen: MakeScreen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a narrower window wraps old rows, the tail is erased with all the rows it takes then."""
    monkeypatch.setenv("TERM", "xterm-kitty")
    screen = make_screen(80, 24)
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    made.feed("a tail of some sixty cells that is still live, **and not certain")
    before = len(screen.written)
    screen.console.size = (30, 24)
    made.feed(" yet")
    assert screen.written[before:].startswith("\r\x1b[2A\x1b[K\x1b[1B\x1b[J\x1b[1A")


def test_cut_replies_say_so(make_screen: MakeScreen) -> None:
    """A reply that was cut ends in an ellipsis of ours, inside a fence too."""
    screen = make_screen(80, 24)
    made = MarkdownStream(screen.console)
    made.feed("```python\nx = 1\ny =")
    made.close(partial=True)
    assert screen.rows() == ["─── python", "x = 1", "y =", "───", "…"]
    screen.assert_in_order()


def test_copied_text_has_no_padding(make_screen: MakeScreen) -> None:
    """No row ends in blanks, and code begins in the first column."""
    screen = make_screen(80, 24)
    stream(screen, DOCUMENT, [10_000])
    lines = _plain(screen.written).split("\n")
    assert [line for line in lines if line != line.rstrip(" ")] == []
    assert "def purr(hz: int = 25) -> str:" in lines


def test_characters_of_uncertain_width_cannot_wrap_the_tail(make_screen: MakeScreen) -> None:
    """While such a row is live, the terminal cuts it rather than wrapping it, and wraps again after."""
    screen = make_screen(20, 10)
    made = MarkdownStream(screen.console, interval=0.0, clock=lambda: 0.0)
    made.feed("family 👨\u200d👩\u200d👧 **not")
    assert screen.written.startswith("\x1b[?7l")
    assert screen.written.endswith("\x1b[?7h")
    made.close()
    assert "👨\u200d👩\u200d👧" in screen.written


def test_without_a_terminal_only_final_rows_are_written() -> None:
    """A file gets each row once, without cursor movement or colour."""
    file = io.StringIO()
    console = Console(file=file, width=40)
    made = MarkdownStream(console, interval=0.0, clock=lambda: 0.0)
    for letter in "# Title\n\nSome **bold** words, and more than a row of them.\n":
        made.feed(letter)
    made.close()
    assert file.getvalue() == "Title\n\nSome bold words, and more than a row of\nthem.\n"


def test_print_markdown(make_screen: MakeScreen) -> None:
    """A whole text is printed like a streamed one."""
    screen = make_screen(80, 24)
    print_markdown(screen.console, DOCUMENT)
    assert screen.rows() == at_once(DOCUMENT, screen.console)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "> ", "  > "])
@pytest.mark.parametrize("size", [(80, 24), (30, 8)])
@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_long_line_of_code_is_one_line(
    make_screen: MakeScreen, prefix: str, size: tuple[int, int], cut: int
) -> None:
    """The terminal wraps it, so that copying it gives the line that the model wrote."""
    line = "SELECT " + ", ".join(f"column_{number}" for number in range(20)) + " FROM somewhere"
    screen = make_screen(*size)
    code = "".join(f"{prefix}{row}\n" for row in ("```sql", line, "SELECT 1", "```"))
    stream(screen, f"{code}\nThat is all.", [cut])
    assert line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.written)
    assert "That is all." in screen.rows()
    screen.assert_in_order()
