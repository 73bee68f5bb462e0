"""Standard output on a full disk, and files that cannot be read: one line, and the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import LIMIT
from services import models

from bot.demo.process import DemoProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full"),
]


FULL = (1, ["moa-bot: Standard output cannot be written: No space left on device."])


@pytest.fixture
def environment(offline: Callable[..., DemoProcess], tagged: dict[str, str]) -> dict[str, str]:
    return {
        **tagged,
        "TOGETHER_BASE_URL": offline(models(a={"reply": "from a"}, judge={"reply": "the reply"})).base_url,
        "TOGETHER_API_KEY": "the-key",
        "MOA_BOT_REFERENCE_MODELS": "a",
        "MOA_BOT_AGGREGATOR": "judge",
    }


@pytest.mark.parametrize("arguments", [("ask", "-q", "hi"), ("--version",), ("config", "show")], ids=" ".join)
def test_a_full_disk_as_output(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """One line says that it cannot be written, the code is 1, and no traceback is left at the very end."""
    with Path("/dev/full").open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()) == FULL


def test_whatever_is_printed_on_a_full_disk(
    here: Callable[..., subprocess.CompletedProcess[str]],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the same line for every command."""

    def run(*arguments: str, stdin: str = "", output: str = "/dev/full") -> tuple[int, list[str]]:
        with Path(output).open("w") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            done = here(*arguments, stdin=stdin, env=environment)
        return done.returncode, done.stderr.splitlines()

    assert run("ask", "-q", "hi", output=os.devnull) == (0, [])
    assert run("ask", "-q", "--json", "hi") == FULL
    assert run("-q", stdin="one\ntwo\n") == FULL
    for arguments in (
        ("--help",),
        ("config", "path"),
        ("history", "list"),
        ("history", "list", "--json"),
        ("history", "export"),
        ("history", "show"),
        ("models", "--json"),
        ("presets",),
    ):
        assert run(*arguments) == FULL, arguments


def test_setting_on_a_full_disk(tmp_path: Path) -> None:
    """`config set` that cannot write leaves the old file as it is, and nothing beside it."""
    file = tmp_path / "home" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("rounds = 2\n", encoding="utf-8")
    # No file can be written to; the limit holds for the interpreter's own caches, too.
    code = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "runpy.run_module('bot', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "config", "set", "rounds", "3"],
        env={**os.environ, "MOA_BOT_HOME": str(file.parent)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [each.name for each in file.parent.iterdir()] == ["config.toml"]
    assert file.read_text(encoding="utf-8") == "rounds = 2\n"


def test_no_core_is_left() -> None:
    """The main process may write no core file: keys and prompts are in its memory."""
    code = (
        "import resource; from bot.cli.boundary import error_boundary;"
        "error_boundary(lambda: 0, []); assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT)
