"""Slash commands: one decorated table, from which help, completion and the README are made.

A command is an async function of the room and of what follows its name; the first line of its
docstring is its help. The modules of this package only add to the table:

    conversation    what was said and what comes next
    replies         looking at a reply and where it came from
    mixture         who answers, and how
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.repl.chat_context import ChatContext

_COMMAND = re.compile(r"/[^\s/*]*(?:\s|\Z)")

Run = Callable[["ChatContext", str], Awaitable[None]]


class Quit(Exception):  # noqa: N818 - not an error: the user leaves
    """The user leaves the chat."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: its names (the first is the one to teach), what follows, what it does.

    `completes` says what may be completed after it: "commands", "models", "presets", "options",
    "files", "exports", "conversations", "themes" or "".
    """

    names: tuple[str, ...]
    arguments: str
    help: str
    run: Run
    completes: str = ""

    @property
    def name(self) -> str:
        """The first name, with its slash."""
        return f"/{self.names[0]}"


COMMANDS: dict[str, Command] = {}
"""Commands by their first name, in the order of the help page."""


def command(*names: str, arguments: str = "", completes: str = "") -> Callable[[Run], Run]:
    """Add a function to the table."""

    def add(function: Run) -> Run:
        summary = (function.__doc__ or "").partition("\n")[0]
        COMMANDS[names[0]] = Command(names, arguments, summary, function, completes)
        return function

    return add


def load() -> dict[str, Command]:
    """Return the whole table, in the order of the help page whichever module was imported first."""
    from bot.repl.commands import conversation, mixture, replies

    order = [module.__name__ for module in (conversation, mixture, replies)]
    entries = sorted(COMMANDS.values(), key=lambda entry: order.index(entry.run.__module__))
    return {entry.names[0]: entry for entry in entries}


def find(name: str) -> Command:
    """Return the command of that name (without its slash).

    Raises UsageError for an unknown one, naming the nearest.
    """
    table = load()
    known = {alias: entry for entry in table.values() for alias in entry.names}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    raise UsageError(
        f"There is no command /{name}." + (f" Did you mean /{near[0]}?" if near else ""),
        hint="/help lists them. A prompt that begins with a slash is typed with two: //…",
    )


def is_command(line: str) -> bool:
    """Tell whether a line is a command: it begins with a slash and a word, not with a path or a comment."""
    return _COMMAND.match(line) is not None


async def run_command(chat: ChatContext, line: str) -> None:
    """Run the command of a line that begins with a slash; Quit when the user leaves."""
    name, _, argument = line[1:].strip().partition(" ")
    await find(name).run(chat, argument.strip())


def words(argument: str) -> list[str]:
    """Cut an argument into words as a shell does; quotes that do not end are part of a name."""
    try:
        # A backslash is part of a path on Windows.
        found = shlex.split(argument, posix=os.name != "nt")
    except ValueError:
        return argument.split()
    return [word.strip("\"'") for word in found] if os.name == "nt" else found


def spelled(name: str) -> str:
    """Return (a piece of) a name so that `words` reads it as it is."""
    return name if os.name == "nt" else re.sub(r"([\s\\\"'])", r"\\\1", name)


def unspelled(word: str) -> str:
    """Return the name that `spelled` has written as `word`, also while it is being typed."""
    return word if os.name == "nt" else re.sub(r"\\(.?)", r"\1", word)


def number(argument: str, highest: int, of_what: str) -> int:
    """Return the number that was asked for, from 1 on; UsageError names what there is."""
    if argument.isdecimal() and 1 <= int(argument[:9]) <= highest:
        return int(argument)
    there = f"is only {of_what} 1" if highest == 1 else f"are {of_what}s 1 to {highest}"
    raise UsageError(f"There {there}.")


KEYS: tuple[tuple[str, str], ...] = (
    ('"""', "begin and end a prompt of several lines"),
    ("Alt-Enter, Ctrl-J", "a new line in the prompt"),
    ("Ctrl-X Ctrl-E", "write the prompt in your editor"),
    ("Ctrl-R, ↑ ↓", "search earlier prompts, go through them"),
    ("→", "take the suggestion"),
    ("Tab", "complete commands, options, models, presets, files"),
    ("Ctrl-C", "while models think: go on with what is there; again, or in the reply: stop"),
    ("Ctrl-O", "while models think: show their answers as they come"),
    ("Ctrl-Z", "put moa-bot into the background"),
    ("Ctrl-D", "leave"),
    ("//", "begins a prompt that begins with a slash"),
)
"""Keys at the prompt, for the help page."""
