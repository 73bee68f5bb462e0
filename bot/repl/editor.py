"""Has a text written in the user's editor."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which

from bot.errors import UsageError


def editor_command() -> list[str]:
    """Return the user's editor as a command: $VISUAL, $EDITOR, or what there is; UsageError for none."""
    for name in ("VISUAL", "EDITOR"):
        if command := os.environ.get(name, "").strip():
            # A backslash is part of a path on Windows.
            return [part.strip('"') for part in shlex.split(command, posix=os.name != "nt")]
    for name in ("sensible-editor", "nano", "vim", "vi", "notepad"):
        if which(name):
            return [name]
    raise UsageError("There is no editor: set VISUAL or EDITOR to one.")


def edit(text: str, suffix: str = ".md") -> str:
    """Open `text` in the editor and return what was saved; UsageError when the editor fails."""
    handle, name = tempfile.mkstemp(prefix="moa-bot-", suffix=suffix)
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        command = [*editor_command(), name]
        try:
            with _without_interrupts():
                code = subprocess.call(command)
        except OSError as error:
            raise UsageError(f"The editor {command[0]} does not start: {error.strerror or error}") from None
        if code:
            raise UsageError(f"The editor {command[0]} ended with status {code}: nothing was taken over.")
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")
    finally:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let Ctrl-C mean what the editor makes of it, and nothing to this program."""
    try:
        # A handler that does nothing: to be ignored would be handed on to the editor.
        before = signal.signal(signal.SIGINT, lambda *_: None)
    except ValueError:  # not in the main thread: there Ctrl-C means nothing anyway
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
