"""Rows at the end of a terminal's output that can still change, below rows that stay.

The one module that moves the cursor. It knows rows and cells, not Markdown or models. It never hides
the cursor and leaves no mode set, so there is nothing to restore if the program dies.

When the window is resized, the terminal wraps anew what is on it, before the program learns of it. The
rows are then erased (`LiveRows.handle_resize`) and drawn again once the size has been the same for
a while: what is not on the screen cannot be left behind.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import IO, TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.color import ColorSystem
    from rich.console import Console

    from bot.text.wrap import Row

_CODES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\]8;[!-~]*\x1b\\)")
_REFLOWING_TERMS = ("kitty", "alacritty", "foot", "wezterm", "ghostty", "tmux", "contour")
_REFLOWING_ENV = (
    "TMUX", "TERM_PROGRAM", "VTE_VERSION", "WT_SESSION", "KONSOLE_VERSION", "KITTY_WINDOW_ID",
    "ALACRITTY_WINDOW_ID", "WEZTERM_PANE",
)  # fmt: skip


SETTLE = 0.4
"""Seconds without a resize after which rows are drawn again; tmux reports a size up to 0.25 s late."""
_NARROWEST = 40
"""Cells: `widest_row` cares for windows down to this width."""


class LiveRows:
    """Draws rows that stay (`done`) and rows that can still change (`tail`), writing only what changed.

    Between calls the cursor stands at the end of the tail, whose last row is "" where the cursor
    is to stand in the first column. Rows are strings of at most the window's width, with colour
    codes of ours.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._rows = [""]
        self._settled_at = float("-inf")
        self._width = 0
        self.printed = 0
        """How many rows that stay were drawn."""
        self.tallest = 1
        """How many rows the highest tail had."""
        self._colours = colour_system(console)

    def ansi(self, row: Row) -> str:
        """Return a row's text with colour codes, without blanks at its end."""
        from rich.style import Style

        last = len(row)
        while last and not row[last - 1][0].strip(" "):
            last -= 1
        parts = []
        for index, (text, style) in enumerate(row[:last]):
            shown = text.rstrip(" ") if index == last - 1 else text
            if style is None or self._colours is None:
                parts.append(shown)
            else:
                link, look = style.link, style.update_link(None) if style.link else style
                plain = look.without_color if self._console.no_color else look
                drawn = Style.render(plain, shown, color_system=self._colours)
                parts.append(_linked(drawn, link) if link else drawn)
        return "".join(parts)

    def draw(self, done: list[str], tail: list[str]) -> None:
        """Replace the tail by `done` and the new `tail`; `done` is never redrawn."""
        width = self._console.width
        start = ""
        if self._width and width != self._width:
            start, self._rows = self._erase(self._rows_on_screen(width)), [""]
        self._width = width
        if self._clock() < self._settled_at or not tail:
            tail = [""]
        self.printed += len(done)
        self.tallest = max(self.tallest, len(tail))
        rows = done + tail
        old = self._rows
        same = 0
        while same < len(old) and same < len(rows) and old[same] == rows[same]:
            if same < len(done) and not rows[same].isascii():
                break  # it may have been cut (see _lines); now it is written whole
            same += 1
        if same == len(old) == len(rows):
            text = ""
        elif same == len(old):
            text = "\n" + _lines(rows[same:], max(len(done) - same, 0))
        elif same == len(old) - 1 and same < len(rows) and _continues(old[same], rows[same]):
            text = _lines([rows[same][len(old[same]) :], *rows[same + 1 :]], max(len(done) - same, 0))
        elif same == len(rows):
            # Fewer rows than before: the cursor has to end up at the end of the last one.
            text = self._erase(len(old) - same + 1) + _lines(rows[same - 1 :], 0)
        else:
            text = self._erase(len(old) - same) + _lines(rows[same:], max(len(done) - same, 0))
        self._rows = tail
        self._write(start + text)

    def clear(self) -> None:
        """Take the tail off the screen; the cursor is where the tail began."""
        if self._rows != [""]:
            self._write(self._erase(self._rows_on_screen(self._console.width)))
        self._rows = [""]

    def erase_above(self, rows: int) -> None:
        """Take the last `rows` rows above the cursor off the screen; all of them must be on it."""
        self._write(self._erase(rows + 1))
        self._rows = [""]

    def handle_resize(self) -> None:
        """Take the tail off the screen, until the window's size has settled."""
        self.clear()
        self._settled_at = self._clock() + SETTLE

    @property
    def begins(self) -> bool:
        """Whether the next tail is drawn where none is on the screen."""
        return self._rows == [""] and self._clock() >= self._settled_at

    def _rows_on_screen(self, width: int) -> int:
        """Return how many rows the tail takes in a window that is now `width` cells wide."""
        if width >= self._width or not rewraps_lines():
            return len(self._rows)
        from rich.cells import cell_len

        return sum(max(1, -(-cell_len(_CODES.sub("", row)) // width)) for row in self._rows)

    @staticmethod
    def _erase(rows: int) -> str:
        # Erasing from the screen's first cell on would make tmux keep what was there in its scrollback.
        below = "\x1b[1B\x1b[J\x1b[1A" if rows > 1 else ""
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\x1b[K" + below

    def _write(self, text: str) -> None:
        if text:
            write_text(self._console.file, text)


def _linked(text: str, address: str) -> str:
    """Return text that opens an address; its rows have one id, by which terminals mark them together."""
    return f"\x1b]8;id={crc32(address.encode()):x};{address}\x1b\\{text}\x1b]8;;\x1b\\"


def write_text(file: IO[str], text: str) -> None:
    """Write and flush; characters that the file's encoding does not have become "?"."""
    try:
        file.write(text)
    except UnicodeEncodeError:
        encoding = getattr(file, "encoding", None) or "ascii"
        file.write(text.encode(encoding, "replace").decode(encoding))
    file.flush()


_PLAIN_SIGNS = str.maketrans(dict(zip("✓▸∙✗…·×—⌕↓⚙", "+>.x~|x-?<#", strict=True)) | {"→": "->"})


def plain_signs(text: str, encoding: str) -> str:
    """Return `text` with ASCII in the place of our signs where that encoding has none of them."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN_SIGNS)
    return text


def _continues(old: str, new: str) -> bool:
    return new.startswith(old) and "\x1b" not in old


def _lines(rows: list[str], done: int) -> str:
    """Join rows; those after the first `done` are cut by the terminal rather than wrapped by it.

    Terminals disagree about the width of some characters. A tail row that is wider than computed
    would wrap, and the next redraw would leave a piece of it behind.
    """
    head, tail = rows[:done], "\n".join(rows[done:])
    if not tail.isascii():
        tail = f"\x1b[?7l{tail}\x1b[?7h"
    return "\n".join([*head, tail]) if head else tail


def rewraps_lines() -> bool:
    """Whether this terminal is known to rewrap old lines when its window gets narrower."""
    term = os.environ.get("TERM", "")
    return any(name in term for name in _REFLOWING_TERMS) or any(
        os.environ.get(name) for name in _REFLOWING_ENV
    )


def widest_row(console: Console, rows: int) -> int:
    """Return how wide `rows` live rows may be where the cursor is, so that a resize leaves none behind.

    When tmux gets narrower, it wraps the lines that are too long and moves as many rows from the top of
    the screen into its scrollback, where nothing can be erased, even if the screen is half empty.
    The live rows themselves must not be among them.
    """
    width = console.width
    if "TMUX" not in os.environ or not rows:
        return width
    above = max(0, min(_tmux_cursor_row(), console.height - rows - 1))
    return min(width, _NARROWEST * (1 + above // rows))


def _tmux_cursor_row() -> int:
    """Return how many rows of the pane are above the cursor, 0 where tmux does not say."""
    command = ["tmux", "display-message", "-p", "-t", os.environ.get("TMUX_PANE", ""), "#{cursor_y}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=1, check=True)
        return int(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def console_on(stream: Console | IO[str], width: int | None = None) -> Console:
    """Return a console that changes nothing in its texts; `width` is in cells, None: as the stream says."""
    from rich.console import Console

    if isinstance(stream, Console):
        return stream
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def can_redraw(console: Console) -> bool:
    """Whether rows can be redrawn here: a terminal that understands cursor movement."""
    return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows


def colour_system(console: Console) -> ColorSystem | None:
    """Return the console's colour system in the form that styles take."""
    from rich.color import ColorSystem

    names = {"standard": "STANDARD", "256": "EIGHT_BIT", "truecolor": "TRUECOLOR", "windows": "WINDOWS"}
    return ColorSystem[names[console.color_system]] if console.color_system else None
