"""What lies around every command: how it begins and how it ends."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bot.app.load_settings import load_settings
from bot.app.streams import Streams
from bot.cli import boundary
from bot.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from pty_window import PtyWindow


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector as it was found."""
    enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if enabled else gc.disable)()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("begun", [True, False])
def test_garbage_is_collected_once_the_start_is_over(monkeypatch: pytest.MonkeyPatch, *, begun: bool) -> None:
    """A start that went without the collector has it back; what it imported is never looked through."""
    monkeypatch.setattr(boundary, "SETTLED", 0.02)
    seen = []

    async def work() -> ExitCode:
        seen.append(gc.isenabled())
        await asyncio.sleep(0.1)
        seen.append(gc.isenabled())
        return ExitCode.DONE

    (gc.enable if begun else gc.disable)()
    frozen = gc.get_freeze_count()
    streams = Streams(None, io.StringIO(), io.StringIO(), False, False, False)  # noqa: FBT003 - no terminals
    assert boundary.finish(streams, load_settings({"quiet": True}), work) == 0
    assert seen == [begun, True]
    assert (gc.get_freeze_count() > frozen) == (not begun)


def test_a_chat_begins_with_its_settings(terminal: Callable[..., PtyWindow]) -> None:
    """Whether they are made once or, after a set-up, again: the prompt comes with what was said."""
    with terminal(env={"TOGETHER_API_KEY": "a-key", "MOA_BOT_ROUNDS": "3"}) as window:
        window.prompt()
        assert "× 3" in window.text
        window.type("\x04")
        assert window.end() == 0
