"""One model in a process of its own, which serves it on a free port of this computer.

    EngineProcess ─► python engine_server.py ◄─ one line of orders ─► one line: where it listens, or why not
         └ holds its stdin: when this process is gone, however it died, the pipe ends and so does it

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
from bot.local.gguf import ModelFile
from bot.messages import Endpoint

START: Final = 300.0
"""Seconds: reading a large model from a slow disk takes minutes."""
_STOP: Final = 2.0
EXTRA = "pip install 'moa-bot[local]'"


def installed() -> bool:
    """Whether the engine is there; it is an extra."""
    return find_spec("xllamacpp") is not None


class EngineProcess:
    """A model's process. `context` in tokens, `threads` of the processor that it may use.

    It starts at once and loads in the background; `wait` waits until it listens, `stop` ends it.
    """

    def __init__(self, file: ModelFile, context: int, threads: int) -> None:
        self.file, self.context = file, context
        self._key = secrets.token_urlsafe(24)
        self._base_url = ""
        self._ended = False
        self._process = subprocess.Popen(
            # -P keeps the folder of this file off the path; nothing of the program is imported there.
            [sys.executable, "-P", str(Path(__file__).with_name("engine_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Out of reach of the terminal's Ctrl-C, also before the child can ignore it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        orders = {"path": str(file.path), "context": context, "threads": threads, "key": self._key}
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(OSError):  # one that died at once is told by `wait`
            self._process.stdin.write(json.dumps(orders).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._ended and self._process.poll() is None

    def wait(self, seconds: float = START) -> Endpoint:
        """Return the service once it listens. It blocks.

        MoaError, which names file and cause, when the model cannot be loaded.
        """
        if not self._base_url:
            self._base_url = self._read(seconds)
        return Endpoint("local", self._base_url, self._key)

    def stop(self) -> None:
        """End the process and wait until it is gone; a second call does nothing."""
        self._ended = True
        process = self._process
        for end in (process.terminate, process.kill):
            if process.poll() is None:
                end()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP)
                break
        # Not before: whoever reads a pipe holds its lock until the process is gone.
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _read(self, seconds: float) -> str:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        alarm = threading.Timer(seconds, give_up)
        alarm.daemon = True
        alarm.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        except ValueError:
            line = b""  # it was stopped meanwhile, and the pipe closed
        finally:
            alarm.cancel()
        news = json.loads(line) if line.startswith(b"{") else {}
        if "base_url" in news:
            return str(news["base_url"])
        raise self._failed(news, late=late.is_set())

    def _failed(self, news: dict[str, object], *, late: bool) -> MoaError:
        stopped = self._ended
        self.stop()
        if news.get("missing"):
            return MoaError(f"{self.file.path}: {news['error']}.", hint=f"Install it: {EXTRA}")
        if late:
            cause = "it was not loaded in time"
        elif stopped:
            cause = "it was unloaded while it was being loaded"
        else:
            code = self._process.returncode
            how = f"by signal {-code}" if code and code < 0 else f"with status {code}"
            cause = str(news.get("error") or f"the engine ended {how} while loading it")
        return MoaError(f"{self.file.path}: cannot be loaded: {cause}.")
