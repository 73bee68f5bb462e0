"""Fixtures for all tests: a home of their own, the program as a process, and proof that none survives."""

from __future__ import annotations

import asyncio
import functools
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from running import LIMIT, Tag, end, slowness
from services import start_service
from virtual_time import VirtualTimeLoop

from bot.__main__ import main
from bot.demo.process import DemoProcess
from bot.workers.forkserver import start_forkserver

if TYPE_CHECKING:
    from pty_window import PtyWindow

# Not an audit hook: it would be called for every import and attribute that CPython reports.
STARTS = [(subprocess.Popen, "__init__"), (BaseProcess, "start")] + [
    (os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system") if hasattr(os, name)
]


def pytest_configure(config: pytest.Config) -> None:
    """Make the suite the same whoever starts it."""
    _refuse_processes_and_sleep()
    # Hundreds of programs are started: without kept bytecode each would compile the package anew.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # No test sees the settings, keys and conversations of whoever runs it.
    for name in list(os.environ):
        own = name.startswith("MOA_BOT_") and not name.startswith("MOA_BOT_TEST_")
        if own or name.endswith("_API_KEY") or name in {"TOGETHER_BASE_URL", "NO_COLOR"}:
            del os.environ[name]
    # How long an example takes says nothing on a busy machine.
    settings.register_profile(
        "suite",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.register_profile("quick", settings.get_profile("suite"), max_examples=10, database=None)
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "suite")
    # The SDK's headers name the processor, for which Python asks the program `uname` once in a process.
    platform.processor()
    # In a background job signals may be ignored, which children would inherit; handlers they do not.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # nohup: ignored here, but not by children


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Spread a run of all folders over the cores; a part of them runs in this process.

    There are two workers more than cores, as many tests wait: for processes, or for time limits.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min((os.cpu_count() or 1) + 2, 8)


LONGEST = (
    "test_eval_run_stages.py",
    "test_faults_in_a_chat.py",
    "test_faults_in_a_pipe.py",
    "test_faults_one_shot.py",
    "test_faults_of_processes.py",
    "test_local_engine.py",
    "test_pty_chat.py",
    "test_eval_similarity.py",
)
"""Modules that take the longest: they begin, so that no core waits for one of them at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a process through a fixture; the longest modules come first."""
    for item in items:
        if "processes" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


_homes = count()
_fast: list[str] = []
"""The test without the mark `slow` that runs at present."""


def _refuse(what: str) -> None:
    if _fast:
        pytest.fail(f"{_fast[0]} is not marked `slow`, and {what}")


def _refuse_processes_and_sleep() -> None:
    """Let no test without the mark `slow` start a process or sleep."""

    def before(owner: Any, name: str, what: str) -> None:
        call = getattr(owner, name)

        @functools.wraps(call)
        def checked(*args: Any, **kwargs: Any) -> Any:
            _refuse(what)
            return call(*args, **kwargs)

        setattr(owner, name, checked)

    for owner, name in STARTS:
        before(owner, name, f"starts a process ({name})")
    before(time, "sleep", "sleeps")
    sleep = asyncio.sleep

    @functools.wraps(sleep)
    async def slept(delay: float, result: Any = None) -> Any:
        await sleep(delay)
        # One that is cancelled was only a limit.
        if delay > 0 and not isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            _refuse(f"sleeps {delay} s")
        return result

    asyncio.sleep = slept


@contextmanager
def _only_if_slow(item: pytest.Item) -> Iterator[None]:
    """Name the test as one that must neither start a process nor sleep, unless it is marked `slow`."""
    if not item.get_closest_marker("slow"):
        _fast.append(item.name)
    try:
        yield
    finally:
        _fast.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Guard the test's fixtures."""
    with _only_if_slow(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Guard the test itself."""
    with _only_if_slow(item):
        yield


@pytest.fixture(autouse=True)
def _own_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each test has a home of its own, and every process that it has started is gone at its end."""
    if "tmp_path" in request.fixturenames:
        home = request.getfixturevalue("tmp_path") / "home"
    else:  # making a folder takes longer than many a test
        home = tmp_path_factory.getbasetemp() / f"home-{next(_homes)}"
    os.environ["MOA_BOT_HOME"] = str(home)
    if request.node.get_closest_marker("slow") is None:
        yield
        return
    if "_offline" in request.fixturenames:
        request.getfixturevalue("_offline")
    before = set(psutil.Process().children(recursive=True))
    yield
    started = set(psutil.Process().children(recursive=True)) - before
    _, left = psutil.wait_procs([process for process in started if not _lasting(process)], timeout=10)
    if left:
        _, left = psutil.wait_procs(left, timeout=10 * slowness())
    assert not left, "processes survived the test"


def _lasting(process: psutil.Process) -> bool:
    """Whether multiprocessing keeps the process until the interpreter ends."""
    with suppress(psutil.Error):
        line = " ".join(process.cmdline())
        return process.ppid() == os.getpid() and (
            "forkserver import main" in line or "resource_tracker" in line
        )
    return False


@pytest.fixture(scope="session")
def processes() -> None:
    """Asked for by every fixture that starts a process; the tests that need it are marked `slow`."""


@pytest.fixture
def tag(processes: None) -> Iterator[Tag]:
    """A mark on every process of a test; at the end of the test none may be left that carries it."""
    mark = Tag()
    yield mark
    assert mark.none_left(), "processes survived the test"


@pytest.fixture
def tagged(tag: Tag) -> dict[str, str]:
    """An environment whose processes can be recognised."""
    return {**os.environ, tag.name: tag.value, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def _offline(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    with start_service(tmp_path_factory.mktemp("service"), {}) as running:
        yield running


@pytest.fixture
def offline(_offline: DemoProcess) -> Callable[[Mapping[str, Any]], DemoProcess]:
    """Give the offline service, which all tests share, a behaviour; it remembers no request of before."""

    def programmed(behaviour: Mapping[str, Any]) -> DemoProcess:
        _offline.set_behaviour(behaviour)
        _offline.clear_requests()
        return _offline

    return programmed


Moa = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def moa(tagged: dict[str, str]) -> Moa:
    """Run the program as a user would, with arguments and standard input; returns what came out."""

    def run(
        *arguments: str,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = LIMIT,
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
def here(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Moa]:
    """Like `moa`, but within this process, which saves the imports of a program and of its fork server.

    For what a command answers; `moa` is for what concerns it as a process. A test that asks models
    this way starts workers, and is marked `slow`.
    """
    if request.node.get_closest_marker("slow"):
        start_forkserver()  # one for all tests of this process, without the environment of any of them
    numbers = [
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGWINCH") if hasattr(signal, name)
    ]
    handlers = {number: signal.getsignal(number) for number in numbers}

    def run(
        *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "stdin"
        file.write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        capsys.readouterr()
        with monkeypatch.context() as patch, file.open(encoding="utf-8") as given:
            for name, value in (env or {}).items():
                if name != Tag.name:  # multiprocessing's own processes outlive the test
                    patch.setenv(name, value)
            patch.setattr(sys, "argv", ["moa-bot", *arguments])
            patch.setattr(sys, "stdin", given)
            code = main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


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
