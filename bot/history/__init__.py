"""What `moa-bot history …` says and exports, as pure functions from rows of the store to text.

Nothing here opens a file, prints, or knows of the command line.

    terminal.py    list, show and search as plain text for a terminal or a pipe
    documents.py   the same as JSON, and the exports as JSON and JSON lines
    importing.py   an exported document back into a store
    markdown.py    the export as Markdown
    phrases.py     the short phrases that these have in common: costs, dates, mixtures
    ages.py        "30d" or "2026-01-31" as a moment
"""

from __future__ import annotations

from bot.history.documents import document_of, export_json, export_jsonl, list_json, search_json
from bot.history.import_json import import_json
from bot.history.markdown import export_markdown
from bot.history.terminal import list_text, search_text, show_text
from bot.text.dates import parse_age

__all__ = [
    "document_of",
    "export_json",
    "export_jsonl",
    "export_markdown",
    "import_json",
    "list_json",
    "list_text",
    "parse_age",
    "search_json",
    "search_text",
    "show_text",
]
