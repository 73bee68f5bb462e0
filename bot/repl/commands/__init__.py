"""Slash commands: one decorated table, from which help, completion and the documentation are made.

registry        the table, and running a command by its name
conversation    start, continue, undo, attach, store and export
mixture         who answers, and how
prompts         one prompt with another mixture, or a mode of its own
replies         looking at a reply and where it came from
proposals       another reply from the same answers
tools           the tools that models can be given
"""

# Imported in the order of the help page: each adds its commands to the table.
from bot.repl.commands import conversation, mixture, prompts, proposals, replies, tools  # noqa: F401 - imported for that
from bot.repl.commands.registry import COMMANDS, FIRST, KEYS, Quit, run_command

__all__ = ["COMMANDS", "FIRST", "KEYS", "Quit", "run_command"]
