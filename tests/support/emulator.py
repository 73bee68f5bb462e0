"""A terminal to look at: what a program writes is fed to an emulator, as a real one would get it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyte
from wcwidth import wcwidth


class Screen(pyte.Screen):
    """A screen that keeps the rows that scroll away. pyte's own is several times slower: it can page back."""

    def reset(self) -> None:
        super().reset()
        self.scrolled: list[Any] = []

    def draw(self, data: str) -> None:
        if data.isascii():
            super().draw(data)
            return
        for character in data:
            # In terminals a character of two cells that does not fit goes to the next row.
            if (
                wcwidth(character) > 1
                and self.cursor.x == self.columns - 1
                and pyte.modes.DECAWM in self.mode
            ):
                super().draw(" ")
            super().draw(character)

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom:
            self.scrolled.append(self.buffer[top])
        super().index()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        super().erase_in_display(how, *args, **kwargs)
        if how == 3:  # the scrollback too
            self.scrolled = []


class Emulator:
    """A terminal's screen with its past: what was written, as rows of text."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = Screen(width, height)
        self.fresh = set(self.screen.mode)
        self._stream = pyte.Stream(self.screen)
        self._past: list[str] = []
        self._past_of: tuple[int, object] = (width, None)
        """The width and the first row that `_past` was read with."""

    def feed(self, text: str) -> None:
        # Emulators other than this one know that nothing is to be shown of these.
        self._stream.feed(re.sub(r"\x1b\[\?\d+[hl]|\x1b\[[0-9]* q", _known, text))

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)

    def rows(self) -> list[str]:
        """All rows, scrolled away or visible, without blanks at their ends and without empty rows below."""
        # Rows that have scrolled away never change, so each is read once: long sessions are looked at often.
        top, columns = self.screen.scrolled, self.screen.columns
        read_with = (columns, top[0] if top else None)
        if columns != self._past_of[0] or read_with[1] is not self._past_of[1]:
            self._past, self._past_of = [], read_with
        for row in top[len(self._past) :]:
            self._past.append(_text(row, columns))
        rows = [*self._past, *(_text(self.screen.buffer[y], columns) for y in range(self.screen.lines))]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def here(self) -> str:
        """The row that the cursor is in."""
        return _text(self.screen.buffer[self.screen.cursor.y], self.screen.columns)

    @property
    def last(self) -> str:
        """The last row that holds anything."""
        return next((row.strip() for row in reversed(self.rows()) if row), "")

    def assert_unchanged(self) -> None:
        """Check that no mode, colour or margin was left behind, and that nobody gave the window a title."""
        assert set(self.screen.mode) == self.fresh
        assert not self.screen.cursor.hidden
        attributes = self.screen.cursor.attrs
        assert (attributes.fg, attributes.bg) == ("default", "default")
        assert not any((attributes.bold, attributes.reverse, attributes.underscore, attributes.italics))
        assert self.screen.margins is None
        assert not self.screen.title


def _text(row: Mapping[int, Any], columns: int) -> str:
    """The text of a row without the blanks at its end. pyte's own `display` asks for each cell's width."""
    return "".join(row[x].data for x in range(min(max(row, default=-1) + 1, columns))).rstrip()


def _known(code: re.Match[str]) -> str:
    """Pass on the modes that the emulator has, and leave out the others."""
    return code[0] if code[0][3:-1] in {"7", "25"} else ""
