r"""Mathematics, identifiers and task lists in a reply stay what they are, however they stream in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.history.html import markdown_to_html
from bot.render.markdown import MarkdownStream

MakeScreen = Callable[..., Any]

BLOCK = "$$\n\\begin{aligned}\na &= b \\\\\n# c\n\\end{aligned}\n$$"
SHOWN = [
    (r"Then \(a_1 * b_2 * c_3\) follows.", r"Then \(a_1 * b_2 * c_3\) follows."),
    (r"So \[2*3*4 = 24\] holds.", r"So \[2*3*4 = 24\] holds."),
    ("Energy is $E=mc^2$ and $a*b*c$.", "Energy is $E=mc^2$ and $a*b*c$."),
    (r"Set $$\{x_i\}_{i=1}^n$$ here.", r"Set $$\{x_i\}_{i=1}^n$$ here."),
    ("It costs $5 *now* and $10 later.", "It costs $5 now and $10 later."),
    ("From $5-$10, *perhaps*.", "From $5-$10, perhaps."),
    ("2*3*4=24", "2*3*4=24"),
    ("x**2 + y**2 is it", "x**2 + y**2 is it"),
    ("5*x + 3*y", "5*x + 3*y"),
    ("Call __init__ and obj.__class__.__name__ now", "Call __init__ and obj.__class__.__name__ now"),
    ("In __init__.py there", "In __init__.py there"),
    ("A **strong** word, an *odd* one, __both words__", "A strong word, an odd one, both words"),
    ("**R**andom **A**ccess, the **5**th", "Random Access, the 5th"),
    ("这是**重点**内容", "这是重点内容"),
    ("- [ ] to do\n- [x] done\n- [X] *also*", " ☐ to do\n ☑ done\n ☑ also"),
    ("1. [ ] first\n2. [x] second", " 1. ☐ first\n 2. ☑ second"),
    ("- [link](http://a.example)", " • link (http://a.example)"),
    ("We get\n\\[\n- x * y\n= z * w\n\\]\nas said.", "We get\n\n\\[\n- x * y\n= z * w\n\\]\n\nas said."),
    (BLOCK, BLOCK),
    ("\\[ x*y*z \\] where *it* holds", "\\[ x*y*z \\] where it holds"),
    ("\\[ x*y\n\nA *new* paragraph", "\\[ x*y\n\nA new paragraph"),
    ("`\\(x\\)` and \\(y\\)", "\\(x\\) and \\(y\\)"),
    ("A $ alone and \\( alone", "A $ alone and ( alone"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "shown"), SHOWN)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_what_is_shown(make_screen: MakeScreen, source: str, shown: str, size: int) -> None:
    """In pieces of any size the same rows are there in the end."""
    screen = make_screen(80, 24, colour=False)
    stream = MarkdownStream(screen.console, interval=0.0)
    for place in range(0, len(source), size):
        stream.feed(source[place : place + size])
    stream.close()
    assert screen.rows() == shown.split("\n")
    screen.assert_in_order()


@pytest.mark.parametrize(("source", "shown"), SHOWN)
def test_the_exported_page_says_the_same(source: str, shown: str) -> None:
    """In HTML no mark of mathematics is lost either."""
    html = markdown_to_html(source)
    for literal in ("2*3*4", "x**2", "__init__", r"\(a_1", "$$", "a*b*c", "\\\\"):
        assert (literal in html) == (literal in shown)


PIECES = [
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "$",
    "$$",
    "*",
    "**",
    "__",
    "a",
    "2",
    " ",
    "\n",
    "\n\n",
    "- ",
    "[ ] ",
    "`",
    "|",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_split_of_the_stream_gives_the_same(make_screen: MakeScreen, pieces: list[str]) -> None:
    """What streams in piece by piece ends as what comes at once."""
    ends = []
    for texts in (pieces, ["".join(pieces)]):
        screen = make_screen(30, 50, colour=False)
        stream = MarkdownStream(screen.console, interval=0.0)
        for text in texts:
            stream.feed(text)
        stream.close()
        ends.append(screen.rows())
    assert ends[0] == ends[1]


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["\\(", "$a", "$$", "__a", "2*3", "\\[\n", "$$\n", "- [ ] "])
def test_time_is_in_proportion_to_the_length(make_screen: MakeScreen, piece: str) -> None:
    """Openings without an end cost a bounded search each."""
    screen = make_screen(80, 24, colour=False)
    stream = MarkdownStream(screen.console, interval=0.0)
    stream.feed(piece * 20_000)
    stream.close()
