"""The user's editor ($VISUAL, $EDITOR): opens a file, or has a text written."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import which

from bot.app.signals import ignore_interrupts
from bot.errors import MoaError, UsageError

FALLBACKS = ("sensible-editor", "nano", "vim", "vi", "notepad")


def run_editor(file: Path) -> None:
    """Open a file in the editor and wait until it is closed.

    UsageError when there is no editor or it does not start, MoaError when it fails.
    """
    command = [*_editor_command(), str(file)]
    try:
        with ignore_interrupts():
            status = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise UsageError(
            f"The editor {command[0]} does not start: {error.strerror or error}",
            hint="Set VISUAL or EDITOR to your editor.",
        ) from None
    if status:
        raise MoaError(f"The editor {command[0]} ended with status {status}.")


def edit_text(text: str) -> str:
    """Open a text in the editor; returns what was saved. Raises as `run_editor` does."""
    descriptor, name = tempfile.mkstemp(prefix="moa-bot-", suffix=".md")
    file = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
        run_editor(file)
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\n")
    finally:
        with suppress(OSError):
            file.unlink()


def _editor_command() -> list[str]:
    for name in ("VISUAL", "EDITOR"):
        if text := os.environ.get(name, "").strip():
            try:
                # On Windows a path has backslashes, which are no escapes.
                return [word.strip('"') for word in shlex.split(text, posix=os.name != "nt")]
            except ValueError:
                raise UsageError(f"{name} is not a command.") from None
    for name in FALLBACKS:
        if which(name):
            return [name]
    raise UsageError("There is no editor: set VISUAL or EDITOR to one.")
