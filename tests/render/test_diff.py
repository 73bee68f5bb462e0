"""What /diff shows of a draft and its revision."""

from __future__ import annotations

import pytest

from bot.render.diff import diff_text


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("same", "same", ""),
        ("The capital is Sydney.", "The capital is Canberra.", "The capital is [-Sydney-] {+Canberra+}."),
        ("one\n\ntwo", "one\n\ntwo\n\nthree", "two\n\n{+three+}"),
        ("a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nd\ne\nF\ng", "e\n[-f-]\n{+F+}\ng"),
        ("1\n2\n3\n4\n5\n6", "x\n2\n3\n4\n5\ny", "[-1-]\n{+x+}\n2\n…\n5\n[-6-]\n{+y+}"),
        ("一二三四", "一二五四", "[-一二三四-]\n{+一二五四+}"),
        (
            "Here it is so, no answers were given",
            "Here it is so, revised after five",
            "Here it is so, [-no answers were given-] {+revised after five+}",
        ),
        ("alpha beta", "", "[-alpha beta-]"),
        ("red \x1b[31mtext", "red text", ""),
    ],
)
def test_changed_words_are_marked(old: str, new: str, shown: str) -> None:
    """Words are compared, unchanged lines around a change stand there, and no control code comes through."""
    assert diff_text(old, new, colour=False).plain == shown


def test_colours_take_the_place_of_the_marks() -> None:
    """Removed words are struck out, too: colour is not the only sign."""
    text = diff_text("It is Sydney.", "It is Canberra.", colour=True)
    assert text.plain == "It is Sydney Canberra."
    assert [(text.plain[span.start : span.end], str(span.style)) for span in text.spans] == [
        (" Sydney", "strike red"),
        (" Canberra", "green"),
    ]


@pytest.mark.slow
def test_a_long_text_takes_no_time() -> None:
    """Words are compared within a change only."""
    old = "\n".join(f"line {number} of many words in a long reply" for number in range(2000))
    assert diff_text(old, old.replace("many", "some"), colour=False)
