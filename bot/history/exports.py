"""The formats that a conversation can be exported in, by name and by a file's suffix.

One table for the command line and the chat. Each format is written by the module named after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.history.documents import export_json, export_jsonl
from bot.history.markdown import export_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from bot.store import Store, StoredCall, StoredConversation, StoredTurn

Export = Callable[["StoredConversation", "Sequence[StoredTurn]", "Sequence[StoredCall]"], str]
"""Makes the text of an export from a conversation, its turns and its calls."""


def _html(conversation: StoredConversation, turns: Sequence[StoredTurn], calls: Sequence[StoredCall]) -> str:
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

_LONGEST_NAME = 40
_FORMAT_OF_SUFFIX = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "markdown",
    ".json": "json",
    ".jsonl": "jsonl",
    ".html": "html",
    ".htm": "html",
}


def format_of(path: Path | None) -> str:
    """Return the format of a file's suffix, Markdown without one; UsageError for an unknown suffix."""
    suffix = path.suffix.lower() if path else ""
    if suffix and suffix not in _FORMAT_OF_SUFFIX:
        raise UsageError(
            f"{path}: no format has the ending {suffix}; there are {', '.join(_FORMAT_OF_SUFFIX)}.",
            hint=f"Or name the format: {', '.join(FORMATS)}.",
        )
    return _FORMAT_OF_SUFFIX.get(suffix, "markdown")


def named_format(word: str) -> str:
    """Return the format of that name or ending, in any case; "" where there is none."""
    word = word.lower()
    return word if word in FORMATS else _FORMAT_OF_SUFFIX.get(f".{word}", "")


def default_name(conversation: StoredConversation, format_name: str) -> str:
    """Return a file's name for an export: words of the title, the ID, and the format's ending."""
    words = "-".join(re.findall(r"\w+", conversation.title.lower()))[:_LONGEST_NAME].strip("-_")
    suffix = next(suffix for suffix, name in _FORMAT_OF_SUFFIX.items() if name == format_name)
    return f"{words}-{conversation.id}{suffix}".lstrip("-")


def export_conversation(store: Store, conversation: StoredConversation, format_name: str) -> str:
    """Return a stored conversation as text in one of `FORMATS`; KeyError for another, or StoreError."""
    return FORMATS[format_name](conversation, store.turns(conversation.id), store.all_calls(conversation.id))
