"""The syntax of a slash command's line: what is a command, and how its arguments are quoted."""

from __future__ import annotations

import os
import re
import shlex

from bot.errors import UsageError

_COMMAND = re.compile(r"/[^\s/*]*(?:\s|\Z)")


BARE_COMMANDS = {
    **dict.fromkeys(("exit", "quit", "exit()", "quit()", ":q", ":q!", ":wq", ":x"), "/exit"),
    **dict.fromkeys(("help", "help()", "?"), "/help"),
}
"""What other programs call their commands: typed alone, each is a command here too."""


def bare_command(line: str) -> str | None:
    """Return the command that a line without a slash stands for, None for all other lines."""
    return BARE_COMMANDS.get(line.strip().lower())


def quote_prompt(prompt: str) -> str:
    """Return the line that, typed at the prompt, asks this prompt: what looks like a command is quoted."""
    if bare_command(prompt):
        return f'"""{prompt}"""'
    return "/" + prompt if is_command(prompt) or prompt.startswith("//") else prompt


def is_command(line: str) -> bool:
    """Tell whether a line is a command: it begins with a slash and a word, not with a path or a comment."""
    return _COMMAND.match(line) is not None


def split_arguments(argument: str) -> list[str]:
    """Cut an argument into words as a shell does; quotes that do not end are part of a name."""
    try:
        # A backslash is part of a path on Windows.
        found = shlex.split(argument, posix=os.name != "nt")
    except ValueError:
        return argument.split()
    return [word.strip("\"'") for word in found] if os.name == "nt" else found


def quote_argument(name: str) -> str:
    """Return (a piece of) a name so that `split_arguments` reads it as it is."""
    return name if os.name == "nt" else re.sub(r"([\s\\\"'])", r"\\\1", name)


def unquote_argument(word: str) -> str:
    """Return the name that `quote_argument` has written as `word`, also while it is being typed."""
    return word if os.name == "nt" else re.sub(r"\\(.?)", r"\1", word)


def parse_number(argument: str, highest: int, of_what: str) -> int:
    """Return the number that was asked for, from 1 on; UsageError names what there is."""
    if argument.isdecimal() and 1 <= int(argument[:9]) <= highest:
        return int(argument)
    there = f"is only {of_what} 1" if highest == 1 else f"are {of_what}s 1 to {highest}"
    raise UsageError(f"There {there}.")
