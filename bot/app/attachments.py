"""Adds text files and piped input to the words of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.errors import UsageError
from bot.settings.bounded_read import read_bounded

MAX_BYTES = 16_000_000


def read_attachment(path: Path) -> str:
    """Return a text file's text; UsageError when it cannot be read, or is not text."""
    try:
        raw = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8.") from None
    if "\0" in text:
        raise UsageError(f"{path}: not a text file.")
    return text


def attach(words: str, files: Sequence[Path], piped: str = "") -> str:
    """Return the prompt: the words, then what was piped in, then each file under its name.

    Words by themselves stay as they are, line ends and all.
    """
    if not files and not piped.strip():
        return words
    parts = [words.strip("\r\n"), piped.strip("\r\n")]
    for path in files:
        text = read_attachment(path)
        fence = "```"
        while fence in text:
            fence += "`"
        parts.append(f"File {path.name}:\n{fence}\n{text.rstrip()}\n{fence}")
    return "\n\n".join(part for part in parts if part.strip())
