"""A service with three models for the library, which asks it from this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import LIMIT

from bot.demo.process import DemoProcess

SHARED = ("TOGETHER_BASE_URL",)
SAYS = {"a": {"reply": "from a"}, "b": {"reply": "from b"}, "judge": {"reply": "the reply"}}


@pytest.fixture
def service(offline: Callable[..., DemoProcess], monkeypatch: pytest.MonkeyPatch) -> DemoProcess:
    """Models a, b and judge; the environment leads to them."""
    running = offline({"models": SAYS, "any_model": True})
    monkeypatch.setenv("TOGETHER_BASE_URL", running.base_url)
    return running


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
            timeout=LIMIT,
            check=False,
        )

    return run
