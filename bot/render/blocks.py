"""Markdown as rows for a terminal: parses a text into its top-level blocks and lays them out.

Knows no terminal and keeps no state between calls; `markdown` decides what is drawn when. The
layout of a block that still grows is stable up to `firm`: rows before it stay the same whatever is
appended to the block. Lines of code and of mathematics are rows of any width.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from bot.render.code import TAB, code_lines
from bot.render.inline import Inline, inline
from bot.render.literals import literals_plugin
from bot.render.styles import style
from bot.render.table import table_rows
from bot.text.sanitise import sanitise
from bot.text.wrap import break_points, cut_runs, fold_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token
    from rich.console import Console
    from rich.style import Style

    from bot.text.wrap import Row

QUOTE_BAR = "▌"
CODE_RULE = "───"
"""Above code, with its language, and below it."""
_BOX = re.compile(r"\[[ xX]\] ")
# Indentation stops where less than this would be left for text.
_NARROWEST = 10


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block: its tokens, and its lines [start, end) in the text that was parsed."""

    tokens: Sequence[Token]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A place in a block before which the text can be dropped without changing the layout after it.

    That is an item of a list, a line of code, or a row of a paragraph. `row` and `line` are where
    it begins in the layout and in the text. What the layout of the remaining text needs to know:
    the `number` of an ordered list's item, the characters to `skip` since the beginning of the
    line for a paragraph's row. `gap` says whether there is a blank row before it.
    """

    row: int
    line: int
    gap: bool = False
    number: int | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Laid:
    """A block laid out. `firm` counts the rows that nothing appended to the block can change."""

    rows: list[Row]
    firm: int
    parts: tuple[Part, ...] = ()


def parse(text: str) -> list[Block]:
    """Split `text` into its top-level blocks, in order."""
    tokens = _parser().parse(text)
    blocks: list[Block] = []
    first = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            start, end = tokens[first].map or (0, 0)
            blocks.append(Block(tokens[first : index + 1], start, end))
            first = index + 1
    return blocks


@cache
def _parser() -> MarkdownIt:
    # HTML stays visible as text: a terminal cannot show it, and hiding it would hide words. So do
    # link definitions ("[1]: https://..."): models put them last, when the text that they belong to
    # has long been printed, and the address would be lost.
    parser = MarkdownIt("commonmark", {"html": False})
    return parser.enable(["strikethrough", "table"]).disable("reference").use(literals_plugin)


def lay_out(
    block: Block, lines: Sequence[str], width: int, console: Console, start: Part | None = None
) -> Laid:
    """Lay out a block of the text made of `lines` in `width` cells.

    `start` is the part at which the block was cut, if it was.
    """
    return _Layout(lines, console).node(block.tokens, max(width, 2), start)


def document_rows(text: str, width: int, console: Console) -> list[Row]:
    """Lay out a whole text at once, in rows of at most `width` cells."""
    text = sanitise(text)
    rows: list[Row] = []
    for block in parse(text):
        laid = lay_out(block, text.split("\n"), width, console).rows
        rows += [[], *laid] if rows and laid else laid
    return [piece for row in rows for piece in fold_runs(row, width)]


def inline_runs(text: str, base: Style | None = None) -> Row:
    """Return a text on one line with its inline Markdown (emphasis, code, links) as styles."""
    tokens = _parser().parseInline(sanitise(text, newlines=False))
    return [run for token in tokens for run in inline(token.children or (), text, base).runs]


class _Layout:
    def __init__(self, lines: Sequence[str], console: Console) -> None:
        self.lines = lines
        self.console = console

    def node(self, tokens: Sequence[Token], width: int, start: Part | None = None) -> Laid:
        """Lay out the tokens of one block."""
        kind = tokens[0].type
        if kind in {"bullet_list_open", "ordered_list_open"}:
            laid = self._list(tokens, width, start.number if start else None)
        elif kind in {"fence", "code_block"}:
            laid = self._code(tokens[0], width)
        elif kind == "math_block":
            laid = self._math(tokens[0])
        elif kind == "blockquote_open":
            inner, bar = _indent(width, f"{QUOTE_BAR} ")
            within = self._children(tokens[1:-1], inner)
            laid = Laid(_prefixed(within.rows, bar, bar, style("quote bar"), style("quote")), within.firm)
        elif kind == "table_open":
            laid = Laid(table_rows(tokens, width), 0)
        elif kind == "hr":
            laid = Laid([[("─" * width, style("rule"))]], 0)
        else:  # a paragraph or a heading
            look = style(tokens[0].tag) if kind == "heading_open" else None
            content = inline(tokens[1].children or [], tokens[1].content, look)
            laid = _text(content, width)
            if kind == "paragraph_open" and content.lines and tokens[0].level == 0:
                laid = self._cuttable(content, tokens[0], width, start.skip if start else 0)
            for row in laid.rows:
                row[:] = [(text.replace("\n", ""), look) for text, look in row]
        return laid

    def _cuttable(self, content: Inline, token: Token, width: int, skip: int) -> Laid:
        """Lay out a paragraph of several lines, with parts for its rows."""
        content.skip(skip)
        laid = _text(content, width)
        first = token.map[0] if token.map else 0
        starts = [
            (offset, first + index)
            for index, offset in enumerate(content.lines, 1)
            if offset is not None and self.lines[first + index][:1].isalpha()
        ]
        parts: list[Part] = []
        offset = at = 0
        for index, row in enumerate(laid.rows):
            while at + 1 < len(starts) and starts[at + 1][0] <= offset:
                at += 1
            if starts and starts[at][0] <= offset:
                parts.append(Part(index, starts[at][1], skip=offset - starts[at][0]))
            offset += sum(len(text) for text, _ in row)
        return Laid(laid.rows, laid.firm, tuple(parts))

    def _children(self, tokens: Sequence[Token], width: int) -> Laid:
        """Lay out blocks inside a block, with a blank row where the source has one."""
        rows: list[Row] = []
        firm = 0
        for child in _siblings(tokens):
            laid = self.node(child, width)
            if rows and laid.rows and self._gap_before(child[0]):
                rows.append([])
            firm = len(rows) + laid.firm
            rows += laid.rows
        return Laid(rows, firm)

    def _list(self, tokens: Sequence[Token], width: int, number: int | None) -> Laid:
        rows: list[Row] = []
        parts: list[Part] = []
        firm = 0
        if tokens[0].type == "ordered_list_open":
            number = int(tokens[0].attrs.get("start", 1)) if number is None else number
        else:
            number = None
        for item in _siblings(tokens[1:-1]):
            box = self._pop_box(item)
            sign = f" {box or '•'} " if number is None else f"{number}. ".rjust(4) + (box and f"{box} ")
            inner, first = _indent(width, sign)
            laid = self._children(item[1:-1], inner)
            gap = bool(rows) and self._gap_before(item[0])
            if gap:
                rows.append([])
            parts.append(Part(len(rows), item[0].map[0] if item[0].map else 0, gap, number))
            firm = len(rows) + laid.firm
            rows += _prefixed(laid.rows or [[]], first, " " * len(first), style("bullet"))
            number = None if number is None else number + 1
        return Laid(rows, firm, tuple(parts))

    def _pop_box(self, item: Sequence[Token]) -> str:
        """Remove `[ ]` or `[x]` from a task list's item; returns the box to show, "" where there is none."""
        children = item[2].children if len(item) > 2 and item[1].type == "paragraph_open" else None  # noqa: PLR2004 - the paragraph's text is the third token
        text = children[0] if children and children[0].type == "text" else None
        if text is None or not _BOX.match(text.content) or not self.console.encoding.startswith("utf"):
            return ""
        box = "☐" if text.content[1] == " " else "☑"
        text.content = text.content[4:]
        return box

    def _code(self, token: Token, width: int) -> Laid:
        language = sanitise(token.info, newlines=False).split(" ")[0]
        # Rules of a fixed length: where the window's width changes, they stay the rows that they were.
        head: Row = [(CODE_RULE, style("rule"))]
        if language:
            head.append((f" {language[: max(width - len(CODE_RULE) - 1, 1)]}", style("language")))
        rows: list[Row] = [head]
        parts: list[Part] = []
        first_line = (token.map[0] if token.map else 0) + (token.type == "fence")
        firm = 0
        whole_lines = token.content.count("\n") - (self.lines[-1].strip(" \t>") != "")
        for index, line in enumerate(code_lines(sanitise(token.content), language)):
            if token.type == "fence":
                parts.append(Part(len(rows), first_line + index))
            rows.append(line)
            if index < whole_lines:
                firm = len(rows)
        return Laid([*rows, [(CODE_RULE, style("rule"))]], firm, tuple(parts))

    def _math(self, token: Token) -> Laid:
        lines = sanitise(token.content).expandtabs(TAB).split("\n")
        # What follows on a line that is not over can turn a single line into a paragraph.
        return Laid([[(line, style("code"))] for line in lines], len(lines) - 1)

    def _gap_before(self, token: Token) -> bool:
        line = token.map[0] - 1 if token.map else -1
        return line >= 0 and not self.lines[line].strip(" \t>")


def _text(content: Inline, width: int) -> Laid:
    """Wrap text; firm are the rows that end before its first uncertain word, and not the last."""
    text = content.text
    starts: list[int] = []
    offset = 0
    for line in text.split("\n"):
        starts += [offset + start for start in break_points(line, width)]
        offset += len(line) + 1
        starts.append(offset)
    starts.pop()
    rows = cut_runs(content.runs, starts)
    if not text:
        return Laid([], 0)
    certain = len(text) + 1 if content.firm >= len(text) else text.rfind(" ", 0, content.firm) + 1
    firm = sum(1 for start in starts if start < certain)
    return Laid(rows, firm)


def _siblings(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Split tokens into blocks of their lowest level."""
    found: list[Sequence[Token]] = []
    first = 0
    for index, token in enumerate(tokens):
        if token.nesting <= 0 and token.level == tokens[0].level:
            found.append(tokens[first : index + 1])
            first = index + 1
    return found


def _indent(width: int, sign: str) -> tuple[int, str]:
    """Return the width left beside `sign`, and the sign: none where the window is too narrow."""
    inner = width - len(sign)
    return (inner, sign) if inner >= _NARROWEST else (width, "")


def _prefixed(rows: list[Row], first: str, other: str, look: Style, base: Style | None = None) -> list[Row]:
    result: list[Row] = []
    for index, row in enumerate(rows):
        sign = other if index else first
        body: Row = (
            [(text, base + own if base and own else own or base) for text, own in row] if base else row
        )
        result.append([(sign, look), *body] if sign else body)
    return result
