"""A window resized while models think, in a real tmux: what is left in its scrollback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_service import Service
from running import until

SLOW = {"reply": "word another " * 400, "tokens_per_second": 10}
HEIGHT = 24


class Tmux:
    """A tmux server of its own with one pane; `film` holds what was in it and its scrollback, by frame."""

    def __init__(self, socket: Path, command: list[str], env: dict[str, str]) -> None:
        self.film: list[str] = []
        self._socket, self._env = socket, env
        self._run(
            "-f", os.devnull, "new-session", "-d", "-s", "chat", "-x", "80", "-y", str(HEIGHT), *command
        )

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout

    def type(self, *keys: str) -> None:
        self._run("send-keys", "-t", "chat", *keys)

    def resize(self, width: int, height: int = HEIGHT) -> None:
        self._run("resize-window", "-t", "chat", "-x", str(width), "-y", str(height))
        self.film.append(f"===== resized to {width} x {height}")

    def text(self) -> str:
        """Return all rows, scrolled away or visible."""
        shown = self._run("capture-pane", "-p", "-S", "-", "-t", "chat").rstrip("\n")
        if not self.film or self.film[-1] != shown:
            self.film.append(shown)
        return shown

    def seconds(self) -> float:
        """Return the time of the last progress table, 0 where there is none."""
        found = re.findall(r"round 1 of 1 .*?([\d.]+) s$", self.text(), re.MULTILINE)
        return float(found[-1]) if found else 0.0

    def runs_on(self) -> None:
        """Wait until the table has been drawn at the window's size for a while."""
        before = self.seconds()
        until(lambda: self.seconds() > before + 0.8)

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture
def tmux(
    tmp_path: Path, tagged: dict[str, str], environment: dict[str, str], service: Service
) -> Iterator[Callable[[], Tmux]]:
    """Open a chat in a tmux."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Tmux] = []
    dropped = {"COLUMNS", "LINES", "TMUX", "TMUX_PANE"}
    env = {name: value for name, value in {**tagged, **environment}.items() if name not in dropped}
    env |= {"MOA_BOT_REFERENCE_MODELS": "a*6", "LC_ALL": "C.UTF-8"}

    def start() -> Tmux:
        opened.append(Tmux(tmp_path / "tmux", [sys.executable, "-m", "bot"], env))
        until(lambda: ">>>" in opened[-1].text())
        return opened[-1]

    yield start
    for each in opened:
        each.close()


RESIZES = {
    "jumps": [[60], [100], [40], [80]],
    "drags": [list(range(79, 39, -3)), list(range(40, 101, 4)), list(range(99, 49, -5))],
    "wide": [[160], [60], [120], [40]],
}


@pytest.mark.slow
@pytest.mark.parametrize("pages", [0, 2], ids=["fresh", "full"])
@pytest.mark.parametrize("how", RESIZES)
def test_nothing_is_left_behind(tmux: Callable[[], Tmux], service: Service, how: str, pages: int) -> None:
    """There is one table, and what was above it is there once; on a fresh screen and on a full one."""
    service.says(a=SLOW)
    chat = tmux()
    for _ in range(pages):
        chat.type("/help", "Enter")
        until(lambda: chat.text().endswith("/help") and "/help all" in chat.text().replace("\n", " "))
    chat.type("why?", "Enter")
    until(lambda: " tok " in chat.text())
    for widths in RESIZES[how]:
        for width in widths:
            chat.resize(width)
        chat.runs_on()
        shown = chat.text()
        counts = (shown.count("round 1 of 1"), shown.count("a #6"), shown.count(">>> why?"))
        assert counts == (1, 1, 1), "\n".join(chat.film)
    chat.type("C-c", "C-c")
    until(lambda: "Stopped before the reply began." in chat.text())
    shown = chat.text()
    assert "round 1" not in shown, "\n".join(chat.film)
    assert shown.count("moa-bot 0") == 1, "\n".join(chat.film)
