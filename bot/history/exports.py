"""The formats that a conversation can be exported in, by name and by a file's suffix.

One table for the command line and the chat. Each format is written by the module named after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.history.documents import export_json, export_jsonl
from bot.history.markdown import export_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from bot.store import Conversation, Store, StoredCall, Turn

Export = Callable[["Conversation", "Sequence[Turn]", "Sequence[StoredCall]"], str]
"""Makes the text of an export from a conversation, its turns and its calls."""


def _html(conversation: Conversation, turns: Sequence[Turn], calls: Sequence[StoredCall]) -> str:
    # It loads Jinja and a Markdown parser, which the other formats do without.
    from bot.history.html import export_html  # noqa: PLC0415 - a Markdown parser and Jinja2, for this format only

    return export_html(conversation, turns, calls)


FORMATS: dict[str, Export] = {
    "markdown": export_markdown,
    "json": export_json,
    "jsonl": export_jsonl,
    "html": _html,
}
"""Every format by its name."""

_FORMAT_OF_SUFFIX = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
    ".jsonl": "jsonl",
    ".html": "html",
    ".htm": "html",
}


def format_of(path: Path | None) -> str:
    """Return the format that a file's suffix asks for, Markdown for any other and without a file."""
    return _FORMAT_OF_SUFFIX.get(path.suffix.lower() if path else "", "markdown")


def export_conversation(store: Store, conversation: Conversation, format_name: str) -> str:
    """Return a stored conversation as text in one of `FORMATS`; KeyError for another, or StoreError."""
    return FORMATS[format_name](conversation, store.turns(conversation.id), store.all_calls(conversation.id))
