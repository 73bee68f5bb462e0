"""A key that a command prints: `key_cmd` of an endpoint, for password managers and vaults.

The command is started without a shell, gets no input, and what it writes is the key and nothing
else's business: no message repeats any of it. It is run once in the life of the program.
"""

from __future__ import annotations

import shlex
import subprocess
from functools import cache

from bot.errors import KeyMissingError
from bot.text.numbers import duration

SECONDS = 10.0
"""How long a command may take; one that waits for somebody to unlock something needs some."""


def split_command(value: object) -> tuple[str, ...] | None:
    """Return a command as its words, from a text (in a shell's quotation) or a list; None for neither."""
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
    """Return what the command prints, without blanks around it; `name` is the endpoint's, for errors.

    KeyMissingError when it cannot be started, fails, takes too long or prints nothing.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no command"
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
    # Only the program's name: what follows it may be secret as well.
    return KeyMissingError(
        f"No API key for {name}: its key_cmd {command[0]} {how}.",
        hint=f"Run the command yourself to see why, or set the key another way: moa-bot keys set {name}.",
    )
