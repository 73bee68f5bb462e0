"""The table of slash commands; the other modules of this package add to it.

A command is an async function of the chat's context and of the text after its name; the first line of
its docstring is its help.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.errors import UsageError
from bot.repl.chat_context import ChatContext
from bot.repl.pastes import PASTED_AT
from bot.text.nearest import nearest_name

Run = Callable[[ChatContext, str], Awaitable[None]]


class Quit(Exception):  # noqa: N818 - not an error: the user leaves
    """The user leaves the chat."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: its names (help shows the first), its arguments, what it does.

    `completes` says what Tab completes after it: "commands", "models", "presets", "templates", "options",
    "files", "exports", "conversations", "themes" or "".
    """

    names: tuple[str, ...]
    arguments: str
    help: str
    run: Run
    completes: str = ""

    @property
    def group(self) -> str:
        """The heading under which the help page has it."""
        return self.run.__module__.rpartition(".")[2].capitalize()

    @property
    def summary(self) -> str:
        """What it does in a few words: its help up to the first comma or semicolon outside parentheses."""
        return re.split(r"[,;](?![^(]*\))", self.help)[0].rstrip(".")

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


def find_command(name: str) -> Command:
    """Return the command of that name (without its slash).

    Raises UsageError for an unknown one, naming the nearest.
    """
    known = {alias: entry for entry in COMMANDS.values() for alias in entry.names}
    if name in known:
        return known[name]
    near = nearest_name(name, known)
    raise UsageError(
        f"There is no command /{name}." + (f" Did you mean /{near}?" if near else ""),
        hint="/help lists them. A prompt that begins with a slash is typed with two: //…",
    )


async def run_command(chat: ChatContext, line: str) -> None:
    """Run the command of a line that begins with a slash; Quit when the user leaves."""
    name, *argument = line[1:].split(maxsplit=1) or [""]
    entry = find_command(name)
    words = argument[0].strip() if argument else ""
    await entry.run(chat, words if "PROMPT" in entry.arguments else words.replace(PASTED_AT, "@"))


FIRST = ("retry", "undo", "new", "file", "refs", "copy", "cost", "preset", "model", "exit")
"""The commands that people need first."""

MAIN_KEYS = "Alt-Enter new line · Ctrl-C stop · Ctrl-R search · Ctrl-D leave"
"""The keys that people need first."""

KEYS: tuple[tuple[str, str], ...] = (
    ('"""', "begin and end a prompt of several lines"),
    ("Alt-Enter, Ctrl-J", "a new line in the prompt"),
    ("Ctrl-X Ctrl-E", "write the prompt in your editor"),
    ("Ctrl-R, ↑ ↓", "search earlier prompts, browse them"),
    ("→", "accept the suggestion"),
    ("/", "opens the menu of commands: ↑ ↓ choose, Esc closes it"),
    ("Tab", "complete commands, options, models, presets, files"),
    ("Ctrl-C", "while models think: use the answers so far; again, or during the reply: stop"),
    ("Ctrl-O", "while models think: show their answers as they come"),
    ("Ctrl-O", "at the prompt: show the text of a paste that is folded to [pasted 300 lines]"),
    ("Ctrl-Z", "suspend moa-bot"),
    ("Ctrl-D", "leave"),
    ("@path", 'in a prompt: attaches this file; also @~/path, @src/*.py, @"a name"; Tab completes it'),
    ("//", "starts a prompt that starts with a slash"),
)
"""Keys at the prompt, for the help page."""
