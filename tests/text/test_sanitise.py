"""Text of unknown origin becomes harmless, whole or in pieces."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.text.sanitise import STRING_LIMIT, Sanitiser, mend, sanitise

HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PARTS = [
    "\x1b",
    "[",
    "]",
    "\\",
    "\x07",
    "\x9b",
    "\x9c",
    "\x9d",
    "P",
    "a",
    "1",
    ";",
    "m",
    " ",
    "\r",
    "\n",
    "\t",
]
hostile = st.lists(
    st.sampled_from(
        [*PARTS, "\x1b[", "\x1b]52;c;", "\x1b\\", "\ud83d", "\ude00", "\u202e", "\x00", "é", "漢"]
    )
).map("".join)


def in_pieces(text: str, cuts: list[int]) -> str:
    """Sanitise `text` cut at `cuts`."""
    cleaner = Sanitiser()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    done = "".join(cleaner.feed(text[a:b]) for a, b in itertools.pairwise(edges))
    return done + cleaner.close()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain, ünïcödé 漢字 🐈", "plain, ünïcödé 漢字 🐈"),
        ("a\x1b[2Jb\x1b[1;31mc\x1b[0md", "abcd"),
        ("a\x1b[?25lb\x1b[>4;1mc", "abc"),
        ("a\x1b]52;c;aGk=\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\c", "abc"),
        ("a\x1bPq#0\x1b\\b\x1b_x\x1b\\c", "abc"),
        ("a\x9b2Jb\x9d0;title\x9cc", "abc"),
        ("a\x1b(Bb\x1bcc\x1b7d", "abcd"),
        ("a\rb\r\nc\x08\x7f\x07d", "a\nb\ncd"),
        ("a\u202eb\u2066c", "abc"),
        ("a\x85b\u2028c", "ab\nc"),
        ("a\ud83d\ude00b\ud83dc", "a😀b\ufffdc"),
        ("unfinished \x1b]0;and all of this stays", "unfinished 0;and all of this stays"),
        ("unfinished \x1b[12", "unfinished 12"),
        ("[bold] [/abc] \t tab", "[bold] [/abc] \t tab"),
    ],
)
def test_what_goes_and_what_stays(text: str, clean: str) -> None:
    """Sequences and controls go, with nothing around them."""
    assert sanitise(text) == clean


def test_one_line() -> None:
    """Without newlines, line ends and tabs are spaces."""
    assert sanitise("a\r\nb\tc\rd", newlines=False) == "a b c d"


@given(hostile, st.lists(st.integers(0, 60), max_size=8))
def test_pieces_give_the_same_as_the_whole(text: str, cuts: list[int]) -> None:
    """Where a text is cut makes no difference, and the result is harmless."""
    whole = sanitise(text)
    assert in_pieces(text, cuts) == whole
    assert not HARMFUL.search(whole)
    assert sanitise(whole) == whole


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029")))
def test_visible_text_is_untouched(text: str) -> None:
    """Text without controls comes back as it is, but for marks that turn its direction."""
    assert sanitise(text) == re.sub("[\u202a-\u202e\u2066-\u2069]", "", text)


@pytest.mark.parametrize("opening", ["\x1b]", "\x1bP", "\x9d", "\x1b["])
def test_an_unfinished_sequence_swallows_nothing(opening: str) -> None:
    """Ordinary text after an opening that never ends is shown, and held back only so long."""
    text = "words " * 200
    cleaner = Sanitiser()
    early = cleaner.feed(opening) + "".join(cleaner.feed(text[i : i + 7]) for i in range(0, len(text), 7))
    assert len(early) >= len(text) - STRING_LIMIT - 1
    # "ESC [ w" is a whole sequence, if one without a meaning.
    assert early + cleaner.close() == (text[1:] if opening == "\x1b[" else text)


def test_mend_makes_any_text_writable() -> None:
    """Pairs are joined, halves replaced, the rest left alone, controls included."""
    assert mend("a\x1b[m\ud83d\ude00\ude00\ud83d") == "a\x1b[m😀\ufffd\ufffd"


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["\x1b]8;;", "\x1b[", "\x1b]" + "a" * 510, "\r", "\x9b3", "plain "])
def test_a_megabyte_takes_linear_time(unit: str) -> None:
    """A megabyte of the worst is done within the timeout."""
    assert not HARMFUL.search(sanitise(unit * (1_000_000 // len(unit))))
