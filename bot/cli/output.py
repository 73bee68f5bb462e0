"""What commands print on stdout: text and JSON. Replies are shown by `bot.render`."""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from typing import Any


def put(text: str) -> None:
    """Write text to stdout, whole lines. When nobody reads any more, that is the end of it, quietly."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing must be flushed into the pipe at the interpreter's end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def put_json(value: Any) -> None:
    """Write a value as JSON."""
    put(json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode())


def window() -> int | None:
    """Return the width of the window in cells, None when stdout is no terminal."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else None
