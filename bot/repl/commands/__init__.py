"""Slash commands: one decorated table, from which help, completion and the README are made.

A command is an async function of the room and of what follows its name; the first line of its
docstring is its help. The modules of this package only add to the table:

    conversation    what was said and what comes next
    replies         looking at a reply and where it came from
    mixture         who answers, and how
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.repl.room import Room

Run = Callable[["Room", str], Awaitable[None]]


class Quit(Exception):  # noqa: N818 - not an error: the user leaves
    """The user leaves the chat."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: its names (the first is the one to teach), what follows, what it does.

    `completes` says what may be completed after it: "models", "presets", "options", "files",
    "conversations", "themes" or "".
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
    """Return the whole table."""
    from bot.repl.commands import conversation, mixture, replies

    assert conversation and mixture and replies  # noqa: S101, PT018 - importing them fills the table
    return COMMANDS


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
    """Tell whether a line is a command: it begins with one slash, not two."""
    return line.startswith("/") and not line.startswith("//")


async def run_command(room: Room, line: str) -> None:
    """Run the command of a line that begins with a slash; Quit when the user leaves."""
    name, _, argument = line[1:].strip().partition(" ")
    await find(name).run(room, argument.strip())


KEYS: tuple[tuple[str, str], ...] = (
    ('"""', "begin and end a prompt of several lines"),
    ("Alt-Enter, Ctrl-J", "a new line in the prompt"),
    ("Ctrl-X Ctrl-E", "write the prompt in your editor"),
    ("Ctrl-R", "search earlier prompts; → takes the suggestion"),
    ("Tab", "complete commands, options, models, presets, files"),
    ("Ctrl-C", "while models think: go on with what is there; again, or in the reply: stop"),
    ("Ctrl-O", "while models think: show their answers as they come"),
    ("Ctrl-Z", "put moa-bot into the background"),
    ("Ctrl-D", "leave"),
    ("//", "begins a prompt that begins with a slash"),
)
"""Keys at the prompt, for the help page."""
