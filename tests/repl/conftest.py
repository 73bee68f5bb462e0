"""A service with two reference models and a judge; the chat against it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chat_service import SAYS, Service

from bot.demo.process import DemoProcess
from bot.workers.forkserver import start_forkserver

if TYPE_CHECKING:
    from pty_window import PtyWindow


@pytest.fixture
def process(offline: Callable[..., DemoProcess]) -> DemoProcess:
    """The offline service; its models are a, b and judge."""
    start_forkserver()  # one for all chats of this process, with its imports done
    return offline({"models": SAYS})


@pytest.fixture
def environment(process: DemoProcess) -> dict[str, str]:
    """Where the service is, and its mixture."""
    return {
        "TOGETHER_BASE_URL": process.base_url,
        "TOGETHER_API_KEY": "a-secret-key",
        "MOA_BOT_REFERENCE_MODELS": "a,b",
        "MOA_BOT_AGGREGATOR": "judge",
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
        "MOA_BOT_NUM_PROC": "1",
    }


@pytest.fixture
def service(process: DemoProcess, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, which this process's own settings point to as well; nothing was asked yet."""
    for name in ("TMUX", "TERM_PROGRAM", "VTE_VERSION", "WT_SESSION", "KONSOLE_VERSION", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Service(process)


@pytest.fixture
def home() -> Path:
    """The folder of settings, conversations and history."""
    folder = Path(os.environ["MOA_BOT_HOME"])
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An $EDITOR: it keeps what it was given in `given` beside it, and saves what stands in `writes`."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "file, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent\n"
        "(here / 'given').write_text(file.read_text())\n"
        "file.write_text((here / 'writes').read_text())\n",
        encoding="utf-8",
    )
    (tmp_path / "writes").write_text("from the editor\nin two lines\n", encoding="utf-8")
    monkeypatch.setenv("VISUAL", "")
    monkeypatch.setenv("EDITOR", f"{json.dumps(sys.executable)} {json.dumps(str(script))}")
    return tmp_path


@pytest.fixture
def window(
    terminal: Callable[..., PtyWindow], environment: dict[str, str], service: Service
) -> Callable[..., PtyWindow]:
    """Open the program in a window; no process of it may be left at the end."""

    def start(*arguments: str, width: int = 80, height: int = 24, **more: str) -> PtyWindow:
        return terminal(*arguments, env={**environment, **more}, width=width, height=height)

    return start
