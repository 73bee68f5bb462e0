"""A terminal to look at: what a console writes is fed to an emulator, as a real one would get it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from emulator import Emulator
from rich.console import Console

# All that our own code may send besides visible text: colours, up and down, erase, autowrap off and on.
_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\d+[AB]|\x1b\[[JK]|\x1b\[\?7[lh]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Screen(Emulator):
    """A console that thinks it is a terminal, and the emulated screen behind it."""

    def __init__(self, width: int, height: int, *, colour: bool = True) -> None:
        super().__init__(width, height)
        self.file = io.StringIO()
        self.console = Console(
            file=self.file,
            force_terminal=True,
            width=width,
            height=height,
            color_system="256" if colour else None,
            legacy_windows=False,
            highlight=False,
        )
        self._seen = 0

    @property
    def written(self) -> str:
        """Everything that was written so far."""
        return self.file.getvalue()

    def _update(self) -> None:
        new, self._seen = self.written[self._seen :], len(self.written)
        self.feed(new.replace("\n", "\r\n"))  # as the terminal's line discipline does

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, without wrapping its lines anew."""
        self._update()
        self.console.size = (width, height)
        super().resize(width, height)

    def rows(self) -> list[str]:
        """Return all rows, scrolled away or visible, without blanks at their ends."""
        self._update()
        return super().rows()

    def assert_in_order(self) -> None:
        """Check that nothing but visible text and our own codes was sent, and no state is left behind."""
        assert not _CONTROL.search(_OURS.sub("", self.written)), ascii(self.written)
        self._update()
        self.assert_unchanged()
        assert self.screen.cursor.x == 0


@pytest.fixture
def make_screen() -> Callable[..., Screen]:
    """Return a maker of screens: width, height."""
    return Screen


@pytest.fixture(autouse=True)
def _known_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Rich and us see the same terminal wherever the tests run."""
    for name in ("TMUX", "TERM_PROGRAM", "VTE_VERSION", "WT_SESSION", "KONSOLE_VERSION", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KITTY_WINDOW_ID", "ALACRITTY_WINDOW_ID", "WEZTERM_PANE", "COLUMNS", "LINES", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
