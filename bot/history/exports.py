"""The forms that a conversation can be exported in, by name and by a file's ending.

One table, so that the command line and the chat offer the same. What a form looks like is in the
module that writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.history.documents import export_json, export_jsonl
from bot.history.markdown import export_markdown

if TYPE_CHECKING:
    from bot.store import Conversation, Store, StoredCall, Turn

Write = Callable[["Conversation", "Sequence[Turn]", "Sequence[StoredCall]"], str]
"""Makes the text of an export from a conversation, its turns and its calls."""

DEFAULT = "markdown"


def _html(conversation: Conversation, turns: Sequence[Turn], calls: Sequence[StoredCall]) -> str:
    # It brings a Markdown parser along, which the other forms do without.
    from bot.history.html import export_html

    return export_html(conversation, turns, calls)


FORMS: dict[str, Write] = {
    "markdown": export_markdown,
    "json": export_json,
    "jsonl": export_jsonl,
    "html": _html,
}
"""Every form by its name."""

FORM_OF: dict[str, str] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
    ".jsonl": "jsonl",
    ".html": "html",
    ".htm": "html",
}
"""The form that a file's ending (in lower case) asks for."""


def exported(store: Store, conversation: Conversation, form: str) -> str:
    """Return a stored conversation as text in `form`, one of `FORMS`; KeyError for another.

    May raise StoreError.
    """
    return FORMS[form](conversation, store.turns(conversation.id), store.all_calls(conversation.id))
