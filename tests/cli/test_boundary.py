"""What lies around every command: how it begins and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
