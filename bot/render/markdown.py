"""Shows a reply's Markdown in the terminal while it streams in.

What can no longer change is printed once and never redrawn: finished blocks, and of the last block
the rows before the first word that could still change. The rest, a few rows, is redrawn in place.
Each redraw parses the text from the last block's beginning only, so that a reply costs time in
proportion to its length.

    feed ─► sanitise ─► parse ─► lay out ─► rows that stay   ─► LiveRows ─► terminal
                                       └──► rows of the tail ─┘

`blocks` lays out, `live` moves the cursor.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from bot.render.blocks import QUOTE_BAR, Block, Laid, Part, lay_out, parse
from bot.render.live import SETTLE, LiveRows, can_redraw
from bot.render.styles import style
from bot.render.view import ReplyWriter
from bot.text.sanitise import Sanitiser
from bot.text.wrap import fold_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bot.text.wrap import Row

INTERVAL = 1 / 25
"""Seconds between two redraws at least."""

# After a redraw that took long (a huge table) the next one waits this many times its duration.
_PAUSE = 4
# A last line of these characters alone could be the beginning of many things.
_UNDECIDED = re.compile(r"[\s>*+\-#\d.)=_~`|:$\\\[]*\Z")
# Lists, code and paragraphs are cut inside only once they are longer than this many lines.
_LONG = 40
# Lines of code kept before a cut, so that the colours of what follows see what they stand in.
_CONTEXT = 20
# Characters that a layout repeats on every row, and that therefore say nothing about the position.
_UNCOUNTED = str.maketrans("", "", f" {QUOTE_BAR}")


class MarkdownStream(ReplyWriter):
    """Streams one reply's Markdown to a console.

    On a console that cannot redraw (a file, a dumb terminal) only what is final is written. Redraws
    that would come too soon after another are skipped; `refresh` makes up for them.
    """

    def __init__(
        self,
        console: Console,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._interval = interval
        self._clock = clock
        self._sanitiser = Sanitiser()
        self._rows = LiveRows(console, clock)
        self._live = can_redraw(console)
        self._text = ""
        self._new: list[str] = []
        self._next = float("-inf")
        # Of the block that `_text` begins with: how many visible characters are printed for good,
        # where it was cut, whether a blank row is due before it.
        self._printed = 0
        self._start: Part | None = None
        self._gap = False

    def feed(self, text: str) -> None:
        """Add the next piece of the reply and draw it, unless a redraw was just made."""
        self._new.append(self._sanitiser.feed(text))
        self.refresh()

    def refresh(self) -> None:
        """Draw what has come since the last redraw, if it is time."""
        now = self._clock()
        if not self._new or now < self._next:
            return
        self._draw(final=False)
        spent = self._clock() - now
        self._next = now + spent + max(self._interval, _PAUSE * spent)

    def clear_live_rows(self) -> None:
        """Take the tail off the screen; the next `refresh` draws it again, wherever the cursor is then."""
        self._rows.clear()
        self._new.append("")

    def handle_resize(self) -> None:
        """Take the tail off the screen until the window's size has settled."""
        self._rows.handle_resize()
        self._new.append("")
        self._next = self._clock() + SETTLE

    @property
    def printed(self) -> int:
        """How many rows stand on the terminal for good."""
        return self._rows.printed

    def close(self, *, partial: bool = False) -> None:
        """Print the rest for good; the cursor is then at the beginning of a new line.

        `partial` adds a row that says that the text was cut here.
        """
        self._new.append(self._sanitiser.close())
        self._draw(final=True)
        if partial:
            self._rows.draw([self._rows.ansi([("…", style("dim"))])], [""])
        self._text = ""

    def _draw(self, *, final: bool) -> None:
        self._text += "".join(self._new)
        self._new.clear()
        width = self._console.width
        lines = self._text.split("\n")
        blocks = parse(self._text)
        decided = final or _decided(lines[-1])
        finished = len(blocks) if final else max(len(blocks) - 1, 0) if decided else 0
        done: list[Row] = []
        tail: list[Row] = []
        for block in blocks[:finished]:
            laid = lay_out(block, lines, width, self._console, self._start)
            self._print(_skip(laid.rows, self._printed)[1], done)
            self._printed, self._start = 0, None
            self._gap = self._gap or bool(laid.rows)
        for block in blocks[finished:]:
            if tail:
                rows = lay_out(block, lines, width, self._console).rows
                tail += [[], *rows] if rows else []
                continue
            laid = lay_out(block, lines, width, self._console, self._start)
            skipped, rest = _skip(laid.rows, self._printed)
            stay = max(laid.firm - skipped, 0) if decided else 0
            while stay and not _visible(rest[stay - 1]):
                stay -= 1  # a blank row says nothing about how far the block is printed
            self._print(rest[:stay], done)
            tail = [[], *rest[stay:]] if self._gap and rest[stay:] else rest[stay:]
        if decided:
            self._forget(blocks, finished, lines, laid if finished < len(blocks) else None)
        self._rows.draw(
            [self._rows.ansi(row) for row in done],
            [self._rows.ansi(row) for row in self._fitting(tail)] if self._live and not final else [],
        )

    def _print(self, rows: list[Row], done: list[Row]) -> None:
        """Move rows of the current block to `done`, with the gap that is due before them."""
        if not rows:
            return
        if self._gap:
            done.append([])
        self._gap = False
        done += rows
        self._printed += sum(map(_visible, rows))

    def _forget(self, blocks: list[Block], finished: int, lines: list[str], last: Laid | None) -> None:
        """Drop the text that is not needed any more."""
        start = blocks[finished - 1].end if finished else 0
        kept = lines[start:]
        if last and last.parts and last.parts[-1].line - start > _LONG:
            if blocks[finished].tokens[0].type == "fence":
                kept = self._inside_code(last, lines) or kept
            else:
                start = self._inside_text(last) or start
                kept = lines[start:]
        if len(kept) < len(lines):
            self._text = "\n".join(kept)

    def _inside_text(self, laid: Laid) -> int:
        """Return the line of the last part that has all before it printed, 0 if there is none."""
        for part in reversed(laid.parts):
            before = sum(map(_visible, laid.rows[: part.row]))
            if 0 < before <= self._printed:
                self._printed -= before
                self._start = part
                self._gap = part.gap and not self._printed
                return part.line
        return 0

    def _inside_code(self, laid: Laid, lines: list[str]) -> list[str]:
        """Return the fence's first line and its last few; [] if those before are not printed."""
        part, first = laid.parts[-_CONTEXT], laid.parts[0]
        before = sum(map(_visible, laid.rows[: part.row]))
        if self._printed < before:
            return []
        self._printed -= sum(map(_visible, laid.rows[first.row : part.row]))
        return [lines[first.line - 1], *lines[part.line :]]

    def _fitting(self, tail: list[Row]) -> list[Row]:
        """Return the tail in rows of the window's width, only the last where it is higher than half of it."""
        width = self._console.width
        tail = [piece for row in tail for piece in fold_runs(row, width)]
        limit = max(self._console.height // 2, 1)
        if len(tail) <= limit:
            return tail
        hidden = len(tail) - limit + 1
        return [[(f"… {hidden} more above", style("dim"))], *tail[hidden:]]


def _decided(line: str) -> bool:
    """Whether more characters on this last line cannot change what kind of line it is."""
    return not line or not (_UNDECIDED.match(line) or "```" in line or "~~~" in line)


def _skip(rows: list[Row], count: int) -> tuple[int, list[Row]]:
    """Leave out rows that hold the first `count` visible characters; return how many, and the rest.

    A row that holds the last of them and more, because the window's width has changed since they
    were printed, comes back without them.
    """
    for index, row in enumerate(rows):
        if not count:
            return index, rows[index:]
        here = _visible(row)
        if here > count:
            return index, [_without(row, count), *rows[index + 1 :]]
        count -= here
    return len(rows), []


def _visible(row: Row) -> int:
    return sum(len(text.translate(_UNCOUNTED)) for text, _ in row)


def _without(row: Row, count: int) -> Row:
    """Return `row` without its first `count` visible characters and the blanks after them."""
    rest: Row = []
    for text, look in row:
        at = 0
        while count and at < len(text):
            count -= bool(text[at].translate(_UNCOUNTED))
            at += 1
        if at < len(text):
            rest.append((text[at:] if rest else text[at:].lstrip(" "), look))
    return rest


def print_markdown(console: Console, text: str) -> None:
    """Print a whole text as Markdown, in one go."""
    stream = MarkdownStream(console)
    stream.feed(text)
    stream.close()
