"""The engine's process: loads one model and serves it until nobody holds its standard input any more.

Run by `bot.local.engine_process` and by nobody else. It reads its orders as one line of JSON from standard
input, and writes one line of JSON to standard output: where it listens, or why it cannot.
It imports nothing of the program, so that it starts quickly.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

_LOOK_AFTER_PARENT = 0.5
_TELLING = re.compile(r" E (.*)")
_EMPTY_WORDS = re.compile(r"exiting due to|failed to load model|failed to fit|encountered an error while")


def main() -> None:
    """Serve; ends with the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = json.loads(_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = _load(orders)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    if "base_url" in answer:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
    # The engine's own threads would take their time.
    os._exit(0)


def _line() -> bytes:
    """Read the orders; not through `sys.stdin`, which would keep a lock of its own."""
    line = b""
    while not line.endswith(b"\n"):
        if not (piece := os.read(0, 4096)):
            os._exit(0)
        line += piece
    return line


def _load(orders: dict[str, Any]) -> dict[str, object]:
    """Load the model; returns the line to write."""
    with tempfile.TemporaryFile() as told:
        # The engine tells what is wrong on stderr only, from another language.
        os.dup2(told.fileno(), 2)
        try:
            server = _server(orders)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        except ImportError as problem:
            return {"error": f"the engine is not installed: {problem}", "missing": True}
        except (RuntimeError, ValueError, MemoryError) as problem:
            return {"error": _cause(told) or str(problem)}
    _KEPT.append(server)
    return {"base_url": f"{server.listening_address}/v1"}


_KEPT: list[Any] = []
"""The server serves as long as it is not collected."""


def _server(orders: dict[str, Any]) -> Any:
    xllamacpp = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    wanted: dict[str, object] = {
        "hostnames": ["127.0.0.1"],
        "port": 0,
        "api_keys": [orders["key"]],
        "n_ctx": orders["context"],
        "n_parallel": 1,
        # A long prompt is read in silence; without a sign of life it would be given up.
        "sse_ping_interval": 10,
        "warmup": False,
        "ui": False,
        "use_jinja": True,
        "verbosity": 1,
        # Earlier prompts are kept in the slot; more would cost memory that was not counted.
        "cache_ram_mib": 0,
    }
    for name, value in wanted.items():
        # Which of these there are differs between the engine's versions.
        if hasattr(params, name):
            setattr(params, name, value)
    if not hasattr(params, "hostnames"):
        params.hostname = "127.0.0.1"
    params.model.path = orders["path"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders["threads"]
    return xllamacpp.Server(params)


def _cause(told: IO[bytes]) -> str:
    """Return the engine's own words on what went wrong, the first that say something."""
    told.seek(0)
    lines = [found[1].strip() for line in told if (found := _TELLING.search(line.decode("utf-8", "replace")))]
    lines = [line for line in lines if not _EMPTY_WORDS.search(line)] or lines
    return re.sub(r"^[\w:]+: +(error loading model: +)?", "", lines[0])[:300] if lines else ""


def _end_with_parent() -> None:
    """End when this process has been inherited by another: the pipe alone can outlive the parent."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_LOOK_AFTER_PARENT)
    os._exit(0)


if __name__ == "__main__":
    main()
