"""Full disks, folders that cannot be written to, a log without room: the answer comes all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import LIMIT, Tag
from services import models

from bot.demo.process import DemoProcess

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and devices of POSIX")

Here = Callable[..., "subprocess.CompletedProcess[str]"]
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
runpy.run_module("bot", run_name="__main__")
"""


@pytest.fixture
def environment(offline: Callable[..., DemoProcess], tag: Tag, tmp_path: Path) -> dict[str, str]:
    return tag.environment(
        tmp_path / "home",
        TOGETHER_BASE_URL=offline(models(a={"reply": "from a"}, judge={"reply": "the reply"})).base_url,
        TOGETHER_API_KEY="the-key",
        MOA_BOT_REFERENCE_MODELS="a",
        MOA_BOT_AGGREGATOR="judge",
    )


def limited(
    environment: dict[str, str], size: int, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the program where no file can grow beyond `size` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_no_space_for_the_log(moa: Here, environment: dict[str, str], tmp_path: Path) -> None:
    """A log on a full disk costs nothing: no word about it, no other exit code, the turn is kept."""
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    (logs / "moa-bot.log").symlink_to("/dev/full")
    done = moa(stdin="one\ntwo\n", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the reply\n" * 2, "")
    assert "one" in moa("history", "list", env=environment).stdout


@pytest.mark.parametrize("size", [0, 30_000])
def test_a_full_disk(environment: dict[str, str], size: int) -> None:
    """No file can grow beyond `size` bytes: replies come, it is said that they are not kept, and why."""
    long = "word " * 4000
    done = limited(environment, size, stdin=f"{long}\n{long}\n")
    assert (done.returncode, done.stdout) == (0, "the reply\n" * 2)
    assert "Traceback" not in done.stderr
    assert "not saved" in done.stderr or "Nothing of this conversation is kept" in done.stderr
    assert "conversations.db" in done.stderr


def test_what_a_full_disk_left_can_be_read(here: Here, environment: dict[str, str]) -> None:
    """What was kept before the disk was full is there afterwards, whole."""
    assert here("ask", "the first prompt", env=environment).returncode == 0
    done = limited(environment, 40000, "--continue", stdin=f"{'word ' * 9000}\n")
    assert done.returncode == 0
    assert "not saved" in done.stderr
    shown = here("history", "show", env=environment)
    assert shown.returncode == 0
    assert "the first prompt" in shown.stdout
    assert here("--continue", "ask", "the next", env=environment).stdout == "the reply\n"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("history", "list"), "the first prompt"),
        (("history", "search", "first"), "the first prompt"),
        (("history", "show"), "the first prompt"),
        (("history", "export"), "the first prompt"),
        (("--continue", "ask", "the next"), "the reply\n"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_store_on_a_full_disk_is_read(
    here: Here, environment: dict[str, str], command: tuple[str, ...], shown: str
) -> None:
    """SQLite has no room for a file beside the store: what is kept is shown all the same."""
    assert here("ask", "the first prompt", env=environment).returncode == 0
    done = limited(environment, 0, *command)
    assert done.returncode == 0
    assert shown in done.stdout
    assert "cannot be read" not in done.stderr


@pytest.mark.parametrize("home", ["a file", "under a file", "under /proc"])
def test_a_home_that_cannot_be_written_to(
    here: Here, environment: dict[str, str], tmp_path: Path, home: str
) -> None:
    """No folder can be made there: one line says that nothing is kept, and the reply comes."""
    file = tmp_path / "taken"
    file.write_text("in the way", encoding="utf-8")
    place = {"a file": file, "under a file": file / "home", "under /proc": Path("/proc/moa-bot/home")}[home]
    done = here("ask", "why?", env={**environment, "MOA_BOT_HOME": str(place)})
    assert (done.returncode, done.stdout) == (0, "the reply\n")
    assert len(done.stderr.splitlines()) == 1
    assert "Nothing of this conversation is kept" in done.stderr
    assert file.read_text(encoding="utf-8") == "in the way"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="for root every folder can be written to"
)
def test_a_read_only_home(here: Here, environment: dict[str, str], tmp_path: Path) -> None:
    """A home that may only be read costs the saving, not the answer."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    done = here("ask", "why?", env=environment)
    home.chmod(0o700)
    assert (done.returncode, done.stdout) == (0, "the reply\n")
    assert "Nothing of this conversation is kept" in done.stderr
