"""Prints the output of commands on stdout, as text or JSON. Replies are shown by `bot.render`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from shutil import get_terminal_size
from typing import Any


def print_text(text: str) -> None:
    """Print whole lines. A reader that has closed the pipe is not an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing must be flushed into the pipe at the interpreter's end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print_text(json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode())


def report_unreadable(problem: str) -> None:
    """Print on stderr which record of the store is left out."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"moa-bot: {problem}", file=sys.stderr)


def terminal_width() -> int | None:
    """Return the width of the terminal in cells, None when stdout is not a terminal."""
    return get_terminal_size().columns if sys.stdout.isatty() else None
