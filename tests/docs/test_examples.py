"""The programs in examples/ run as they stand, offline."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import LIMIT

from bot.demo.process import DemoProcess
from bot.settings.resolve import resolve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SHOWN = {
    "ask.py": ["demo/outliner: ", "demo/counter: ", "144"],
    "stream.py": ["round 1 of 2", "round 2 of 2", "demo/reader answered", "done after"],
    "conversation.py": [
        ">>> How much is 17 * 23?",
        "391",
        "It is prompt 2 of this conversation",
        "4 messages",
    ],
    "many.py": [f"What is {number} squared? →" for number in range(5)],
}
"""What each Python example must print among other things."""


def run(command: list[str], environment: dict[str, str], stdin: str = "") -> str:
    """Run a command; return what it printed, having checked that it ended well and without a complaint."""
    done = subprocess.run(
        command,
        input=stdin,
        env={**environment, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_is_tried_and_listed() -> None:
    """examples/README.md lists the files beside it, and this module runs each Python program."""
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()} - {"README.md"}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {name for name in files if f"]({name})" in page} == files
    assert {name for name in files if name.endswith(".py")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_python_program(name: str, tagged: dict[str, str]) -> None:
    """It prints what it is meant to show."""
    printed = run([sys.executable, str(EXAMPLES / name)], tagged)
    for text in SHOWN[name]:
        assert text in printed


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_pipe(tagged: dict[str, str], tmp_path: Path) -> None:
    """The shell script answers what is piped into it."""
    program = tmp_path / "moa-bot"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bot "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    reply = run(["sh", str(EXAMPLES / "review.sh")], {**tagged, "PATH": path}, "-a + b = 1\n+a + b = 2\n")
    assert "Review this change" in reply


def test_the_settings() -> None:
    """config.toml makes the mixture that it describes."""
    settings = resolve({}, environ={"MOA_BOT_HOME": str(EXAMPLES)})
    assert settings.preset.name == "team"
    assert settings.reference_models == ("work:house/model-1", "work:house/model-1", "zai-org/GLM-5.2")
    assert settings.endpoints["work"].quirks.parallel == 4


def test_the_behaviour(moa: Callable[..., Any]) -> None:
    """The scripted service answers as its comments say: one model fails, one is asked again."""
    with DemoProcess(EXAMPLES / "behaviour.toml") as service:
        models = ("-r", "quick,slow,busy,broken", "-a", "judge")
        done = moa(
            "ask", "--no_save", *models, "Why do cats purr?", env={"TOGETHER_BASE_URL": service.base_url}
        )
    assert done.stdout.startswith("Cats purr with the larynx")
    assert done.stderr.count("left out") == 1
    assert "broken left out: service error" in done.stderr
