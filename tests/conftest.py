"""Fixtures for all tests: a home of their own, the program as a process, and proof that none survives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from running import end

if TYPE_CHECKING:
    from pty_window import PtyWindow

TAG = "MOA_BOT_TEST_RUN"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees or touches the settings, keys and conversations of whoever runs it."""
    for name in list(os.environ):
        if (
            name.startswith("MOA_BOT_")
            or name.endswith("_API_KEY")
            or name in {"TOGETHER_BASE_URL", "NO_COLOR"}
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MOA_BOT_HOME", str(tmp_path / "home"))


@pytest.fixture
def tagged() -> Iterator[dict[str, str]]:
    """An environment whose processes can be recognised; at the end of the test none may be left."""
    tag = uuid.uuid4().hex
    yield {**os.environ, TAG: tag, "PYTHONUNBUFFERED": "1"}
    assert not survivors(tag), "processes survived the test"


def survivors(tag: str, seconds: float = 5.0) -> list[str]:
    """Return the command lines of processes that carry the tag and do not end within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        left = [process for process in psutil.process_iter(["pid"]) if _carries(process, tag)]
        if not left:
            return []
        if time.monotonic() > until:
            lines = [" ".join(process.cmdline()) for process in left]
            for process in left:
                process.kill()
            return lines
        time.sleep(0.05)


def _carries(process: psutil.Process, tag: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(TAG) == tag
    except psutil.Error:
        return False


Moa = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def moa(tagged: dict[str, str]) -> Moa:
    """Run the program as a user would, with arguments and standard input; returns what came out."""

    def run(
        *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None, timeout: float = 40
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            input=data,
            capture_output=True,
            timeout=timeout,
            env={**tagged, **(env or {})},
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture
def start(tagged: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program and leave it running; it is killed at the end if the test has not ended it."""
    running: list[subprocess.Popen[bytes]] = []

    def run(
        arguments: Sequence[str], env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", *arguments], env={**tagged, **(env or {})}, **{**pipes, **more}
        )
        running.append(process)
        return process

    yield run
    end(running)


@pytest.fixture
def terminal(tagged: dict[str, str]) -> Callable[..., PtyWindow]:
    """Open the program in a window, whose size it has before the program starts."""
    pytest.importorskip("pty", reason="pseudo-terminals are POSIX only")
    from pty_window import PtyWindow

    def start(
        *arguments: str, env: Mapping[str, str] | None = None, width: int = 80, height: int = 24
    ) -> PtyWindow:
        environment = {**tagged, "TERM": "xterm-256color", **(env or {})}
        environment = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
        return PtyWindow([sys.executable, "-m", "bot", *arguments], environment, width=width, height=height)

    return start


@pytest.fixture
def recorded() -> Path:
    """The folder of recorded answers and judgments; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MOA_BOT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder.name}/ beside the checkout")
    return folder
