"""How a Markdown text is cut into the statements that are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.attribution.blocks import TextBlock, split_blocks, split_sentences

MARKDOWN = """\
# Purring

Cats **purr** for [many](https://example.org) `reasons`.

- First, they are
  content.
- Second:

  ```python
  purr()

  purr()
  ```

> Quoted words.

| cat | sound |
|-----|-------|
| big | roar  |

    indented()

---
<b>HTML</b> & more
"""


def test_each_kind_of_block_is_found() -> None:
    """Paragraphs, items, code, rows and quotes are blocks without their signs; headings are left out."""
    assert split_blocks(MARKDOWN) == [
        TextBlock("paragraph", "Cats purr for many reasons.", 3),
        TextBlock("item", "First, they are content.", 5),
        TextBlock("item", "Second:", 7),
        TextBlock("code", "purr()\n\npurr()", 9),
        TextBlock("paragraph", "Quoted words.", 15),
        TextBlock("row", "cat | sound", 17),
        TextBlock("row", "big | roar", 19),
        TextBlock("code", "    indented()".strip(), 21),
        TextBlock("paragraph", "<b>HTML</b> & more", 24),
    ]


def test_headings_alone_are_blocks() -> None:
    """A text of headings only is not empty."""
    assert [block.text for block in split_blocks("# One\n\n## Two\n")] == ["One", "Two"]


@pytest.mark.parametrize("text", ["", " \n\n", "---", "```\n```", "| |\n|-|\n"])
def test_nothing_gives_no_blocks(text: str) -> None:
    """Where nothing is said there is no block."""
    assert split_blocks(text) == []


def test_an_open_fence_is_one_block() -> None:
    """Code that was cut off before its end is still one block."""
    assert [block.kind for block in split_blocks("Look:\n\n```python\na = 1\n\nb = 2")] == [
        "paragraph",
        "code",
    ]


def test_only_long_paragraphs_are_cut() -> None:
    """A short paragraph is one block, a long one its sentences; `long=0` cuts every one."""
    short = "This is the first of two sentences. Here is another one then."
    assert len(split_blocks(short)) == 1
    assert [block.text for block in split_blocks(short, long=0)] == [
        "This is the first of two sentences.",
        "Here is another one then.",
    ]
    assert len(split_blocks(" ".join([short] * 5))) == 10


def test_a_poems_lines_are_sentences() -> None:
    """In a long paragraph a line's end is an end."""
    verse = "\n".join(f"The cat says purr {number} times" for number in range(10))
    assert len(split_blocks(verse)) == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'He said "they purr at night." Nobody knew why it did!',
            ['He said "they purr at night."', "Nobody knew why it did!"],
        ),
        ("The author J. K. Rowling wrote it down then.", ["The author J. K. Rowling wrote it down then."]),
        (
            "It costs 3.50 euros, i.e. not much at all.",
            ["It costs 3.50 euros, i.e. not much at all."],
        ),
        (
            "猫は喉を鳴らす。「本当ですか？」はい、本当です。",
            ["猫は喉を鳴らす。", "「本当ですか？」", "はい、本当です。"],
        ),
        ("Yes. No. Well, that much is certain now.", ["Yes. No. Well, that much is certain now."]),
        ("That much is certain by now. Yes.", ["That much is certain by now. Yes."]),
        ("बिल्ली बहुत खुश है अब। वह घर पर सो रही।", ["बिल्ली बहुत खुश है अब।", "वह घर पर सो रही।"]),
        ("", []),
    ],
)
def test_sentences_end_where_people_end_them(text: str, expected: list[str]) -> None:
    """Full stops of several scripts end sentences; initials, numbers and very short ones do not."""
    assert split_sentences(text) == expected


@given(st.text(max_size=300))
def test_no_letter_is_lost(text: str) -> None:
    """The sentences together have every visible character of the text, in order."""
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@given(st.text(alphabet="ab #*-`|>.\n1[]()<&\\\t", max_size=200))
def test_any_markdown_can_be_cut(text: str) -> None:
    """Whatever the Markdown, blocks have text, and their lines exist and do not run backwards."""
    blocks = split_blocks(text, long=0)
    assert all(block.text.strip() for block in blocks)
    lines = [block.line for block in blocks]
    assert lines == sorted(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)
