"""A service with three models for the library, which asks it from this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from services import start_service

from bot.demo.process import DemoProcess

SHARED = ("TOGETHER_BASE_URL",)
SAYS = {"a": {"reply": "from a"}, "b": {"reply": "from b"}, "judge": {"reply": "the reply"}}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoProcess]:
    """Models a, b and judge; the environment leads to them."""
    with start_service(tmp_path, {"models": SAYS, "any_model": True}) as running:
        monkeypatch.setenv("TOGETHER_BASE_URL", running.base_url)
        yield running


def children() -> set[int]:
    """The processes below this one, but for those that multiprocessing keeps until the interpreter ends."""
    below = psutil.Process().children(recursive=True)
    return {child.pid for child in below if child.is_running() and not _keeps(child)}


def _keeps(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
        parent = process.ppid()
    except psutil.Error:
        return True
    # The fork server is a child of this process, its workers are children of it.
    return parent == os.getpid() and ("forkserver import main" in line or "resource_tracker" in line)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process that a test has started may be left after it."""
    before = children()
    yield
    until = time.monotonic() + 5
    while (left := children() - before) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"processes survived the test: {left}"


@pytest.fixture
def run_script(tagged: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a text as a script of its own with this checkout's package, as a user would."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "example.py"
        script.write_text(text, encoding="utf-8")
        environment = {**tagged, **{name: os.environ[name] for name in SHARED if name in os.environ}}
        environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=40,
            check=False,
        )

    return run
