"""What lies around every command: how it begins and how it ends."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pty_window import PtyWindow


def test_a_chat_begins_with_its_settings(terminal: Callable[..., PtyWindow]) -> None:
    """Whether they are made once or, after a set-up, again: the prompt comes with what was said."""
    with terminal(env={"TOGETHER_API_KEY": "a-key", "MOA_BOT_ROUNDS": "3"}) as window:
        window.prompt()
        assert "× 3" in window.text
        window.type("\x04")
        assert window.end() == 0


IN_A_CLASS = """
class Interrupts:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

def work():
    class Made:
        attribute = Interrupts()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("work = lambda: 0", 0),
        ("def work(): raise KeyboardInterrupt", 130),
        (IN_A_CLASS, 130),  # Python 3.11 wraps it in a RuntimeError
        ("def work(): raise SystemExit(2)", 2),
        ("def work(): raise RuntimeError('a bug')", 1),
    ],
)
def test_the_exit_code(work: str, code: int) -> None:
    """An interruption is one wherever it strikes, also while a class is made by a late import."""
    program = (
        f"{work}\nimport sys\nfrom bot.cli.boundary import error_boundary\nsys.exit(error_boundary(work, []))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("mistake in moa-bot" in done.stderr) == (code == 1)
