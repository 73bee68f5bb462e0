"""A key that a command prints: `key_cmd` of an endpoint, for password managers and vaults.

The command is started without a shell and gets no input. What it prints is the key, so no message
repeats it. It runs once in the life of the process.
"""

from __future__ import annotations

import shlex
import subprocess
from functools import cache

from bot.errors import KeyMissingError
from bot.text.names import service_title
from bot.text.numbers import duration

SECONDS = 10.0
"""How long a command may take; the user may have to unlock something first."""


def split_command(value: object) -> tuple[str, ...] | None:
    """Return the words of a command, which is a text quoted as in a shell, or a list; None for others."""
    match value:
        case str():
            try:
                words = shlex.split(value)
            except ValueError:
                return None
        case list() if all(isinstance(word, str) for word in value):
            words = value
        case _:
            return None
    return tuple(words) if words and words[0] and not any("\0" in word for word in words) else None


@cache
def key_from(command: tuple[str, ...], name: str, seconds: float = SECONDS) -> str:
    """Return what the command prints, without the blanks around it; `name` is the endpoint's, for errors.

    KeyMissingError when it cannot be started, fails, takes too long or prints nothing.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a valid command"
        raise _failed(name, command, f"cannot be started: {why}") from None
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _failed(name, command, f"was not done after {duration(seconds)}") from None
    finally:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()
    if process.returncode:
        raise _failed(name, command, f"ended with status {process.returncode}")
    key = printed.decode("utf-8", "replace").strip()
    if not key:
        raise _failed(name, command, "printed nothing")
    return key


def _failed(name: str, command: tuple[str, ...], how: str) -> KeyMissingError:
    # Only the program's name: its arguments may be secret as well.
    return KeyMissingError(
        f"No {service_title(name)} API key: its key_cmd {command[0]} {how}.",
        hint=f"Run the command yourself to see why, or set the key another way: moa-bot keys set {name}.",
    )
