"""A service with two reference models and a judge, shared by the tests of a module; the chat against it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from chat_service import SAYS, Service
from services import start_service

from bot.demo.process import DemoProcess
from bot.workers.forkserver import start_forkserver

if TYPE_CHECKING:
    from pty_window import PtyWindow


@pytest.fixture(scope="module")
def _process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    with start_service(tmp_path_factory.mktemp("service"), {"models": SAYS}) as process:
        yield process


@pytest.fixture
def environment(_process: DemoProcess) -> dict[str, str]:
    """Where the service is, and its mixture."""
    return {
        "TOGETHER_BASE_URL": _process.base_url,
        "TOGETHER_API_KEY": "a-secret-key",
        "MOA_BOT_REFERENCE_MODELS": "a,b",
        "MOA_BOT_AGGREGATOR": "judge",
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
        "MOA_BOT_NUM_PROC": "1",
    }


@pytest.fixture
def service(_process: DemoProcess, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, which this process's own settings point to as well; nothing was asked yet."""
    for name in ("TMUX", "TERM_PROGRAM", "VTE_VERSION", "WT_SESSION", "KONSOLE_VERSION", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Service(_process)
    found.says()
    _process.clear_requests()
    return found


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


@pytest.fixture(scope="session", autouse=True)
def _fork_server() -> None:
    """One fork server for all chats of this process, with its imports done."""
    start_forkserver()


@pytest.fixture(autouse=True)
def _no_process_left(_process: DemoProcess) -> Iterator[None]:
    """Every process that a test has started is gone at its end."""
    before = set(psutil.Process().children(recursive=True))
    yield
    started = set(psutil.Process().children(recursive=True)) - before
    _, left = psutil.wait_procs(started, timeout=5)
    assert not left, "processes survived the test"


@pytest.fixture
def window(
    terminal: Callable[..., PtyWindow], environment: dict[str, str], service: Service
) -> Callable[..., PtyWindow]:
    """Open the program in a window; no process of it may be left at the end."""

    def start(*arguments: str, width: int = 80, height: int = 24, **more: str) -> PtyWindow:
        return terminal(*arguments, env={**environment, **more}, width=width, height=height)

    return start
