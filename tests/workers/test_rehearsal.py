"""What the fork server does before the first worker: it must leave nothing behind but warm memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LEFT = """
import gc, json, sys, threading
usual = gc.get_threshold()
import bot.workers.rehearsal
import asyncio, psutil
me = psutil.Process()
print(json.dumps({
    "threads": threading.active_count(),
    "connections": len(me.net_connections()),
    "children": len(me.children()),
    "modules": sorted({"rich", "click", "typer", "prompt_toolkit", "sqlite3"} & set(sys.modules)),
    "collector": (gc.isenabled(), gc.get_threshold() == usual),
    "answered": asyncio.run(bot.rehearsal.rehearse()),
}))
"""
WITHOUT_LOOPBACK = """
import asyncio
async def refused(*_, **__):
    raise OSError("no loopback here")
asyncio.start_server = refused
import bot.workers.rehearsal
print("on it goes")
"""


def ran(code: str, env: dict[str, str]) -> str:
    """Run the code in a process of its own, which has to say nothing on stderr; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_nothing_is_left_behind(tagged: dict[str, str]) -> None:
    """No thread (a fork would break it), no socket, no process; and no library of another's command line."""
    found = json.loads(ran(LEFT, tagged))
    assert found == {
        "threads": 1,
        "connections": 0,
        "children": 0,
        "modules": [],
        "collector": [True, True],
        "answered": True,
    }


def test_others_get_the_real_library(tagged: dict[str, str]) -> None:
    """What is kept from the SDK for the time of its import is there for whoever needs it later."""
    assert ran("import bot.workers.preload, filelock; print(filelock.FileLock.__name__)", tagged).endswith(
        "FileLock"
    )
    first = "import filelock, bot.workers.preload, sys; print(sys.modules['filelock'].FileLock is filelock.FileLock)"
    assert ran(first, tagged) == "True"


def test_no_proxy_hears_of_it(tagged: dict[str, str]) -> None:
    """Whatever the environment says, the call goes nowhere else."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:1")
    assert json.loads(ran(LEFT, {**tagged, **proxies}))["answered"] is True


def test_it_may_fail(tagged: dict[str, str]) -> None:
    """The workers start all the same."""
    assert ran(WITHOUT_LOOPBACK, tagged) == "on it goes"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork server on Windows")
@pytest.mark.parametrize("hurry", [True, False])
def test_when_it_is_done(monkeypatch: pytest.MonkeyPatch, *, hurry: bool) -> None:
    """Where somebody waits for the first answer it is not; elsewhere it is, on Linux."""
    from multiprocessing import forkserver

    asked: list[list[str]] = []
    monkeypatch.setattr(forkserver.multiprocessing, "set_forkserver_preload", asked.append)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: None)
    forkserver.warm(hurry=hurry)
    rehearsed = sys.platform == "linux" and not hurry
    assert asked == [["bot.workers.rehearsal" if rehearsed else "bot.workers.preload"]]
