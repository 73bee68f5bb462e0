"""The service as a child process: how it starts, and that it always ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest
from running import LIMIT, in_time, until, wait

import bot
from bot.demo.process import DemoProcess, start_demo
from bot.demo.service import DemoService
from bot.errors import ConfigError, ExitCode, MoaError

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(bot.__file__).parents[1]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def healthy(url: str) -> bool:
    """Return whether the service answers."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()


def gone(pid: int) -> bool:
    """Return whether the process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test here leaves a process behind."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    after = {child.pid for child in psutil.Process().children(recursive=True)}
    assert not [pid for pid in after - before if not gone(pid)]


def test_it_starts_and_stops() -> None:
    """Within its block the service answers; after it the process is gone, and stopping again is fine."""
    with start_demo() as demo:
        assert demo.base_url == f"{demo.url}/v1"
        assert healthy(demo.url)
        assert not gone(demo.pid)
    assert not psutil.pid_exists(demo.pid)
    demo.stop()
    assert not healthy(demo.url)


def test_the_start_need_not_block() -> None:
    """With `wait` off the start returns at once, and the address waits until the service listens."""
    with start_demo(wait=False) as demo:
        assert healthy(demo.base_url)
    assert not psutil.pid_exists(demo.pid)


def test_it_stops_before_it_listens() -> None:
    """A service that is stopped while it starts leaves nothing."""
    demo = DemoProcess()
    demo.stop()
    assert not psutil.pid_exists(demo.pid)


def test_it_stops_in_the_middle_of_answers(tmp_path: Path) -> None:
    """Answers under way do not hold up the end."""
    path = tmp_path / "slow.toml"
    path.write_text('any_model = true\n[models."*"]\ndelay = 60\n', encoding="utf-8")
    with start_demo(path, inspect=True) as demo:
        connection = HTTPConnection(urlsplit(demo.url).netloc, timeout=5)
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        until(lambda: len(demo.requests()) == 1)
        start = time.monotonic()
        demo.stop()
        assert in_time(time.monotonic() - start, 1.5)
        connection.close()
    assert not psutil.pid_exists(demo.pid)


def test_a_wrong_behaviour_file_is_an_error(tmp_path: Path) -> None:
    """An error in the behaviour file comes back from the child as the ConfigError that it is."""
    path = tmp_path / "wrong.toml"
    path.write_text("[models.m]\ndelay = 'long'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r'wrong\.toml: models\."m"\.delay: expected a number of seconds'):
        start_demo(path)


def test_a_child_that_dies_at_once_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the interpreter cannot run the service, it is an error, not an endless wait."""
    # An interpreter without its standard library ends at once.
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with pytest.raises(MoaError, match="did not start"):
        start_demo()


def test_a_folder_named_bot_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child runs this package, whatever lies in the working folder."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "__init__.py").write_text("raise SystemExit(9)", encoding="utf-8")
    (tmp_path / "json.py").write_text("raise SystemExit(9)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with start_demo() as demo:
        assert healthy(demo.url)


@POSIX
def test_it_ignores_ctrl_c_and_ends_on_sigterm() -> None:
    """SIGINT changes nothing; SIGTERM ends the service by itself."""
    with start_demo() as demo:
        os.kill(demo.pid, signal.SIGINT)
        assert healthy(demo.url)
        os.kill(demo.pid, signal.SIGTERM)
        until(lambda: gone(demo.pid), 2)
    assert not psutil.pid_exists(demo.pid)


PARENT = """
import os, signal, sys, time
# Whoever runs the tests in the background may have left SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.append({root!r})
from bot.demo.process import start_demo
demo = start_demo()
if {forks}:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
print(demo.pid, demo.url, flush=True)
time.sleep(60)
"""


PERSON = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.append({root!r})
from bot.demo.__main__ import main
sys.exit(main(["serve"]))
"""


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code in a process that cannot outlive the test, pass or fail."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[bytes]) -> str:
    """Wait for the next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode()


@POSIX
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_it_ends_when_its_parent_dies(how: signal.Signals) -> None:
    """However the parent dies, the service is gone within two seconds."""
    with python(PARENT.format(root=str(ROOT), forks=False)) as parent:
        pid, url = line_of(parent).split()
        assert healthy(url)
        parent.send_signal(how)
        wait(parent, 5)
        until(lambda: gone(int(pid)), 2)


@POSIX
def test_it_ends_although_others_hold_its_pipe() -> None:
    """A process forked from the parent, which inherits the pipe, does not keep the service alive."""
    with python(PARENT.format(root=str(ROOT), forks=True)) as parent:
        pid = int(line_of(parent).split()[0])
        (forked,) = [child for child in psutil.Process(parent.pid).children() if child.pid != pid]
        try:
            parent.kill()
            wait(parent, 5)
            until(lambda: gone(pid), 2)
            assert not gone(forked.pid)
        finally:
            forked.kill()
        until(lambda: gone(forked.pid))


@POSIX
def test_a_person_ends_it_with_ctrl_c() -> None:
    """Run by a person, the service says where it listens and ends quietly on Ctrl-C."""
    with python(PERSON.format(root=str(ROOT))) as process:
        assert healthy(json.loads(line_of(process))["base_url"])
        process.send_signal(signal.SIGINT)
        assert wait(process, 5) == ExitCode.DONE
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_port_in_use_ends_it_with_a_line() -> None:
    """A port that is taken is one line on stderr and exit code 1."""
    import asyncio

    async def both() -> subprocess.CompletedProcess[str]:
        async with DemoService() as first:
            port = str(urlsplit(first.base_url).port)
            return await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "bot.demo", "serve", "--port", port],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT,
            )

    done = asyncio.run(both())
    assert done.returncode == ExitCode.FAILED
    assert done.stdout == ""
    assert done.stderr.startswith("moa-bot: port ")
    assert "is in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_way_to_the_service_is_short() -> None:
    """Neither naming nor starting the service imports an event loop or anything heavy."""
    code = "import sys; sys.path.append({!r}); import {}; print(*sys.modules)"
    heavy = {"asyncio", "h11", "together", "typer", "rich", "prompt_toolkit", "datasets", "http.client"}
    for module, allowed in (
        ("bot.demo", set()),
        ("bot.demo.process", set()),
        ("bot.demo.__main__", {"asyncio", "h11"}),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code.format(str(ROOT), module)],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        )
        assert heavy & set(run.stdout.split()) == allowed
