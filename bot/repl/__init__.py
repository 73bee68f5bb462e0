"""The chat at the `>>>` prompt.

    line (what was typed) ─► commands (/…) or a turn ─► view ─► line …

Nothing here knows how a reply comes about; that is the session's.
"""

from bot.repl.chat import chat

__all__ = ["chat"]
