"""The chat at the `>>>` prompt.

    line_editor (what was typed) ─► a slash command, or a turn ─► view ─► line_editor …

How a reply comes about is the session's matter.
"""

from bot.repl.chat import run_chat

__all__ = ["run_chat"]
