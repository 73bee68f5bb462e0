"""One model in a process of its own, which serves it on a free port of this computer.

    EngineProcess ─► python engine_server.py ◄─ one line of settings ─► one line: its address, or an error
         └ holds its stdin: when this process ends, however it dies, the pipe closes and the child ends too

Which model is loaded, when, and for how long is decided in `bot.local.engine_cache`.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bot.errors import MoaError
from bot.local.gguf_header import ModelFile
from bot.messages import Endpoint

START_TIMEOUT: Final = 300.0
"""Seconds: reading a large model from a slow disk takes minutes."""
_STOP_TIMEOUT: Final = 2.0
EXTRA = "pip install 'moa-bot[local]'"


def is_installed() -> bool:
    """Whether the engine is installed; it is an extra."""
    return find_spec("xllamacpp") is not None


class EngineProcess:
    """A model's process, with a context of so many tokens and so many threads.

    It starts at once and loads in the background; `wait` returns once it listens, `stop` ends it. It writes
    with one thread less than it reads with, unless `writing_threads` says otherwise: writing gains little by
    the last core, and all threads wait for the one on it as soon as another program uses it.
    """

    def __init__(
        self, file: ModelFile, context: int, threads: int, writing_threads: int | None = None
    ) -> None:
        self.file, self.context = file, context
        self._key = secrets.token_urlsafe(24)
        self._base_url = ""
        self._ended = False
        self._process = subprocess.Popen(
            # -P keeps this folder off sys.path: the child imports nothing of the program.
            [sys.executable, "-P", str(Path(__file__).with_name("engine_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Keeps the terminal's Ctrl-C away, also before the child ignores it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        config = {"path": str(file.path), "context": context, "threads": threads, "key": self._key}
        config["writing_threads"] = writing_threads or max(1, threads - 1)
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(OSError):  # `wait` reports a process that died at once
            self._process.stdin.write(json.dumps(config).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._ended and self._process.poll() is None

    def wait(self, seconds: float = START_TIMEOUT) -> Endpoint:
        """Return the service once it listens. Blocks.

        MoaError, which names file and cause, when the model cannot be loaded.
        """
        if not self._base_url:
            self._base_url = self._read(seconds)
        return Endpoint("local", self._base_url, self._key, turn_markers=self.file.turn_markers)

    def stop(self) -> None:
        """End the process and wait until it has ended; a second call does nothing."""
        self._ended = True
        process = self._process
        for end in (process.terminate, process.kill):
            if process.poll() is None:
                end()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT)
                break
        # Only now: a thread that reads from a pipe holds its lock until the process has ended.
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _read(self, seconds: float) -> str:
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            self._process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        except ValueError:
            line = b""  # `stop` closed the pipe meanwhile
        finally:
            timer.cancel()
        answer = json.loads(line) if line.startswith(b"{") else {}
        if "base_url" in answer:
            return str(answer["base_url"])
        raise self._failed(answer, timed_out=timed_out.is_set())

    def _failed(self, answer: dict[str, object], *, timed_out: bool) -> MoaError:
        stopped = self._ended
        self.stop()
        if answer.get("missing"):
            return MoaError(f"{self.file.path}: {answer['error']}.", hint=f"Install it: {EXTRA}")
        if timed_out:
            cause = "it was not loaded in time"
        elif stopped:
            cause = "it was unloaded while it was being loaded"
        else:
            code = self._process.returncode
            how = f"by signal {-code}" if code and code < 0 else f"with status {code}"
            cause = str(answer.get("error") or f"the engine ended {how} while loading it")
        return MoaError(f"{self.file.path}: cannot be loaded: {cause}.")
