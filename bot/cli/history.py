"""`moa-bot history …`: the conversations that are kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.app.attachments import read_attachment
from bot.cli.options import new_typer_app
from bot.cli.output import print_json, print_text, report_unreadable, terminal_width
from bot.errors import UsageError
from bot.history.documents import document_of, list_json, search_json
from bot.history.exports import export_conversation, format_of
from bot.history.import_json import import_json
from bot.history.terminal import list_text, search_text, show_text
from bot.settings import paths
from bot.store import Store
from bot.text.dates import parse_age
from bot.text.numbers import plural
from bot.text.sanitise import sanitise

if TYPE_CHECKING:
    from bot.store import StoredConversation

typer_app = new_typer_app("List, show, search, export and delete the conversations that are kept.")


class Form(StrEnum):
    """The formats of exported conversations."""

    MARKDOWN = "markdown"
    JSON = "json"
    JSONL = "jsonl"
    HTML = "html"


Id = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="A conversation's ID or its first letters; the latest if not given.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="At most N.")]


@typer_app.command("list")
def list_(*, limit: Limit = 30, as_json: Json = False) -> None:
    """List the latest conversations."""
    with _store() as store:
        rows = store.list_conversations(limit)
    if as_json:
        print_json(list_json(rows))
    elif rows:
        print_text(list_text(rows, terminal_width()))
    else:
        print("No conversations are kept yet.", file=sys.stderr)


@typer_app.command()
def show(
    *,
    identifier: Id = None,
    references: Annotated[
        bool, typer.Option("--references", help="Show every reference model's answers.")
    ] = False,
    reasoning: Annotated[bool, typer.Option("--reasoning", help="Show the models' thinking.")] = False,
    as_json: Json = False,
) -> None:
    """Show a conversation."""
    with _store() as store:
        conversation = _find(store, identifier)
        turns, calls = store.turns(conversation.id), store.all_calls(conversation.id)
    if as_json:
        print_json(document_of(conversation, turns, calls))
    else:
        print_text(show_text(conversation, turns, calls, references=references, reasoning=reasoning))


@typer_app.command()
def search(
    *,
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help="All of them must occur.", show_default=False)
    ],
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Search prompts and replies."""
    with _store() as store:
        hits = store.search(" ".join(words), limit)
    if as_json:
        print_json(search_json(hits))
    elif hits:
        print_text(search_text(hits, terminal_width(), colour=_colour()))
    else:
        print("Nothing found.", file=sys.stderr)


@typer_app.command()
def export(
    *,
    identifier: Id = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format", help="The form; without it, as FILE ends, else markdown.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there.", show_default=False)
    ] = None,
) -> None:
    """Export a conversation."""
    format_name = form.value if form else format_of(out)
    with _store() as store:
        text = export_conversation(store, _find(store, identifier), format_name)
    if out is None:
        print_text(text)
        return
    try:
        out.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}") from None


@typer_app.command("import")
def import_(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file written by export --format json.")],
) -> None:
    """Import a conversation that was exported as JSON."""
    text = read_attachment(file)
    with _store() as store:
        try:
            conversation = import_json(store, text)
        except UsageError as error:
            raise UsageError(f"{file}: {error.message}", error.hint) from None
    print(conversation.id)


@typer_app.command()
def delete(
    *,
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="The conversation to delete.", show_default=False)
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older_than",
            metavar="AGE",
            help="Delete all older than 30d, 12h, 4w or 2026-01-31.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Delete one conversation, or all older ones."""
    if (identifier is None) == (older_than is None):
        raise UsageError("Give either the ID of a conversation to delete, or --older_than AGE.")
    with _store() as store:
        if identifier is not None:
            conversation = store.delete(identifier)
            print(
                f"Deleted {conversation.id}: {sanitise(conversation.title, newlines=False)}", file=sys.stderr
            )
        elif older_than is not None:
            count = store.delete_older_than(parse_age(older_than))
            print(f"Deleted {plural(count, 'conversation')}.", file=sys.stderr)


@contextmanager
def _store() -> Iterator[Store]:
    with Store.open(paths.store_file(), report=report_unreadable) as store:
        yield store


def _find(store: Store, identifier: str | None) -> StoredConversation:
    conversation = store.latest() if identifier is None else store.conversation(identifier)
    if conversation is None:
        raise UsageError("No conversations are kept yet.")
    return conversation


def _colour() -> bool:
    """Whether output on stdout may be in colour."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if sys.platform != "win32":
        return True
    from rich.console import detect_legacy_windows  # noqa: PLC0415 - Windows only

    return not detect_legacy_windows()
