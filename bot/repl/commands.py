"""Slash commands: one decorated table, from which help and completion are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.cli.streams import Streams
    from bot.program import Program
    from bot.session import Session


class Quit(Exception):  # noqa: N818 - not an error: the user leaves
    """The user leaves the chat."""


@dataclass(slots=True)
class Room:
    """What commands act on: the open program, the session, the streams."""

    program: Program
    session: Session
    streams: Streams

    def say(self, text: str) -> None:
        """Tell the user something that is not a reply."""
        self.streams.say(text)


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: its names, what follows it, what it does in one line."""

    names: tuple[str, ...]
    arguments: str
    help: str
    run: Callable[[Room, str], None]


COMMANDS: list[Command] = []


def command(
    *names: str, arguments: str = ""
) -> Callable[[Callable[[Room, str], None]], Callable[[Room, str], None]]:
    """Add a function to the table; its docstring's first line is the help."""

    def add(function: Callable[[Room, str], None]) -> Callable[[Room, str], None]:
        summary = (function.__doc__ or "").partition("\n")[0]
        COMMANDS.append(Command(names, arguments, summary, function))
        return function

    return add


def run_command(room: Room, line: str) -> None:
    """Run the command of a line that begins with a slash.

    Raises UsageError for an unknown one (naming the nearest), Quit when the user leaves.
    """
    name, _, argument = line[1:].strip().partition(" ")
    for candidate in COMMANDS:
        if name in candidate.names:
            candidate.run(room, argument.strip())
            return
    known = [name for candidate in COMMANDS for name in candidate.names]
    near = get_close_matches(name, known, n=1)
    raise UsageError(
        f"There is no command /{name}." + (f" Did you mean /{near[0]}?" if near else ""),
        hint="/help lists them; a prompt that begins with a slash begins with two: //…",
    )


@command("help", "?")
def _help(room: Room, argument: str) -> None:  # noqa: ARG001 - every command takes one
    """Show the commands and keys."""
    for entry in COMMANDS:
        names = ", ".join(f"/{name}" for name in entry.names)
        room.say(f"  {names:<16} {entry.help}")
    room.say("")
    for keys, what in KEYS:
        room.say(f"  {keys:<16} {what}")


@command("clear", "new")
def _clear(room: Room, argument: str) -> None:  # noqa: ARG001
    """Forget what was said and start a new conversation."""
    room.session.clear()
    room.say("A new conversation.")


@command("exit", "quit", "bye")
def _exit(room: Room, argument: str) -> None:  # noqa: ARG001
    """Leave."""
    raise Quit


KEYS: tuple[tuple[str, str], ...] = (
    ('"""', "begins and ends a prompt of several lines"),
    ("Alt-Enter", "a new line in the prompt (also Ctrl-J)"),
    ("Ctrl-C", "stops waiting for the reference models, or the reply; what came is kept"),
    ("Ctrl-D", "leaves"),
    ("Ctrl-R", "searches earlier prompts"),
)
