"""Splits a Markdown text into the blocks that are compared: what a person would call one statement.

A block is a paragraph or list item, or a sentence (or line) of it where it is long; a whole code
block; a row of a table. Headings only name what follows and are left out, unless there is nothing
else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from bot.text.words import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Kind = Literal["paragraph", "item", "code", "row", "heading"]

LONG = 40
"""Words from which on a paragraph is split into its sentences."""

_SHORT = 5  # words: what is less ("Dr.", "Yes!") makes no block of its own beside others

_SENTENCE_END = re.compile(
    # Models do not wrap their lines: a line's end inside a paragraph is a verse's or an address's.
    "\n|"
    # A full stop after a single letter or digit is an initial's or a number's.
    "(?:(?<!\\b\\w)\\.|[!?…])[.!?…]*[\"'”’»)\\]]*\\s+(?![a-zß-öø-ÿ])"
    "|[。！？｡．]+[」』”’）】》]*\\s*"
    "|[।॥؟۔]+\\s*"
)


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One block. `text` is without Markdown's signs, and on one line unless it is code.

    `line` is the line, from 1, on which its paragraph (or other Markdown block) begins.
    """

    kind: Kind
    text: str
    line: int


def split_blocks(markdown: str, long: int = LONG) -> list[TextBlock]:
    """Return the blocks of a Markdown text in order.

    Paragraphs and items of `long` words or more are split into sentences; 0 splits all of them.
    """
    found = list(_walk(_parser().parse(markdown)))
    body = [block for block in found if block.kind != "heading"] or found
    return [piece for block in body for piece in _pieces(block, long)]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text in any script, a line each; very short ones joined to the next."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    joined: list[str] = []
    held = ""
    for part in parts:
        held += part
        if size(held) >= _SHORT:
            joined.append(held)
            held = ""
    if held.strip():
        if joined:
            joined[-1] += held
        else:
            joined.append(held)
    return [" ".join(sentence.split()) for sentence in joined]


def _pieces(block: TextBlock, long: int) -> list[TextBlock]:
    if block.kind == "code":
        return [block]
    if block.kind not in {"paragraph", "item"} or size(block.text) < long:
        return [TextBlock(block.kind, " ".join(block.text.split()), block.line)]
    return [TextBlock(block.kind, sentence, block.line) for sentence in split_sentences(block.text)]


def _walk(tokens: Sequence[Token]) -> Iterator[TextBlock]:
    """Yield paragraphs, items, headings, rows and code; blocks without text are left out."""
    containers: list[str] = []
    cells: list[str] = []
    line = 1
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        block = None
        if token.nesting > 0:
            containers.append(token.type)
        elif token.nesting < 0:
            containers.pop()
            if token.type == "tr_close":
                block = TextBlock("row", " | ".join(cells), line)
                cells = []
        elif token.type in {"fence", "code_block"}:
            block = TextBlock("code", token.content.strip("\n"), line)
        elif token.type == "inline" and "tr_open" in containers:
            cells.append(_plain(token))
        elif token.type == "inline":
            block = TextBlock(_kind(containers), _plain(token), line)
        if block and block.text.strip(" |\n\t"):
            yield block


def _kind(containers: Sequence[str]) -> Kind:
    if "heading_open" in containers:
        return "heading"
    return "item" if "list_item_open" in containers else "paragraph"


def _plain(inline: Token) -> str:
    """Return the text of a paragraph without its markup; its lines stay lines."""
    parts = []
    for token in inline.children or []:
        if token.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        else:
            parts.append(token.content)
    return "".join(parts)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - its import takes long, and few need it

    # As for display: HTML and link definitions count as the text they are.
    parser = MarkdownIt("commonmark", {"html": False})
    return parser.enable(["strikethrough", "table"]).disable("reference")
