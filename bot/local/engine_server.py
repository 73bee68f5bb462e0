"""The engine's process: loads one model and serves it until its standard input closes.

Run by `bot.local.engine_process`. It reads its settings as one line of JSON from standard input, and
writes one line of JSON to standard output: its address, or the error. It imports nothing of the
program, so that it starts quickly.
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

_PARENT_POLL_SECONDS = 0.5
_SLOTS = 4
"""Prompts that are kept, so that agents with system prompts of their own find theirs again next turn."""
_SIMILARITY = 0.2
"""The share of a prompt that the beginning of a kept one must make up to be replaced by it.

With the engine's 0.1, agents that share the user's system prompt all replace the same one.
"""
_SPINS = "5000"
"""How often a thread looks for the others before it sleeps (some 0.05 ms).

With OpenMP's own 300,000, a thread that runs uses up its time waiting for one that does not, as soon as
other programs use the processor. With 0 each wait costs a sleep, and there are hundreds per token.
`tests/bench/engine.py` compares settings.
"""
_LOG_SECONDS = 1.0
"""How long the cause of an error is waited for in the engine's log."""
_ERROR_LINE = re.compile(r" E (.*)")
_VAGUE = re.compile(r"exiting due to|failed to load model|failed to fit|encountered an error while")


def main() -> None:
    """Serve; ends with the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    config = json.loads(_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = _load(config)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    if "base_url" in answer:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
    # The engine's own threads would delay a normal exit.
    os._exit(0)


def _line() -> bytes:
    """Read the settings; not through `sys.stdin`, whose lock would be held at exit."""
    line = b""
    while not line.endswith(b"\n"):
        if not (piece := os.read(0, 4096)):
            os._exit(0)
        line += piece
    return line


def _load(config: dict[str, Any]) -> dict[str, object]:
    """Load the model; returns the line to write."""
    with tempfile.TemporaryFile() as stderr:
        # The engine, which is native code, writes the cause of an error to stderr only.
        os.dup2(stderr.fileno(), 2)
        try:
            server = _server(config)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        except ImportError as problem:
            return {"error": f"the engine is not installed: {problem}", "missing": True}
        except (RuntimeError, ValueError, MemoryError) as problem:
            return {"error": _cause(stderr) or str(problem)}
    _KEPT.append(server)
    return {"base_url": f"{server.listening_address}/v1"}


_KEPT: list[Any] = []
"""Holds the server, which stops when it is garbage-collected."""


def _server(config: dict[str, Any]) -> Any:
    xllamacpp = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    options: dict[str, object] = {
        "hostnames": ["127.0.0.1"],
        "port": 0,
        "api_keys": [config["key"]],
        "n_ctx": config["context"],
        # Pings keep the connection from timing out while a long prompt is read.
        "sse_ping_interval": 10,
        "warmup": False,
        "ui": False,
        "use_jinja": True,
        "verbosity": 1,
        # The slots keep the last prompts; a larger cache would need memory that is not counted.
        "cache_ram_mib": 0,
        # All slots share one context, in which a slot that is not in use makes room for one that is.
        "kv_unified": True,
        "slot_prompt_similarity": _SIMILARITY,
        "n_parallel": _SLOTS if hasattr(params, "kv_unified") else 1,
    }
    for name, value in options.items():
        # The engine's versions differ in which of these they have.
        if hasattr(params, name):
            setattr(params, name, value)
    if not hasattr(params, "hostnames"):
        params.hostname = "127.0.0.1"
    params.model.path = config["path"]
    params.cpuparams_batch.n_threads = config["threads"]
    params.cpuparams.n_threads = config["writing_threads"]
    return xllamacpp.Server(params)


def _cause(stderr: IO[bytes]) -> str:
    """Return the engine's first error message that says more than that loading failed.

    The engine's log has a thread of its own, which may write the message only after the failure.
    """
    until = time.monotonic() + _LOG_SECONDS
    while True:
        stderr.seek(0)
        texts = [line.decode("utf-8", "replace") for line in stderr]
        lines = [found[1].strip() for text in texts if (found := _ERROR_LINE.search(text))]
        if clear := [line for line in lines if not _VAGUE.search(line)]:
            lines = clear
            break
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    return re.sub(r"^[\w:]+: +(error loading model: +)?", "", lines[0])[:300] if lines else ""


def _end_with_parent() -> None:
    """End when the parent has ended: other processes may hold the pipe open."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
