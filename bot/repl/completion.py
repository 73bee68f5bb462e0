"""Completion at the prompt: slash commands, what can follow each of them, and `@path` in a prompt."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from bot.app.mentions import TYPED, unescape
from bot.render.styles import THEMES
from bot.repl.command_menu import opens_menu
from bot.repl.command_syntax import quote_argument, unquote_argument
from bot.repl.commands import COMMANDS
from bot.settings.options import BY_NAME, OPTIONS, Kind

if TYPE_CHECKING:
    from bot.repl.chat_context import ChatContext

Choices = Iterable[tuple[str, str]]

_LAST_WORD = re.compile(r"(?:\\.|[^\s\\])*\\?\Z")


class CommandCompleter(Completer):
    """Completes a line that begins with a slash, and the names of files that a prompt attaches."""

    def __init__(self, chat: ChatContext) -> None:
        self._chat = chat
        self._paths = PathCompleter(expanduser=True)
        self._choices: dict[str, Callable[[], Choices]] = {
            "commands": self._names,
            "models": self._models,
            "presets": self._presets,
            "templates": self._templates,
            "options": self._options,
            "conversations": self._conversations,
            "themes": self._themes,
            "exports": self._exports,
        }

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what the word before the cursor may become."""
        text = document.text_before_cursor
        if typed := TYPED.search(text):
            yield from self._mentions(typed, document, complete_event)
            return
        if not text.startswith("/") or text.startswith("//") or "\n" in text:
            return
        if complete_event.text_inserted and not opens_menu(text):
            return  # typed on since the menu was asked for
        name, space, rest = text[1:].partition(" ")
        if not space:
            yield from self._commands(name)
            return
        entry = next((entry for entry in COMMANDS.values() if name in entry.names), None)
        if entry is None:
            return
        what = entry.completes
        if what == "options" and " " in rest.lstrip():
            yield from self._values(*rest.lstrip().split(" ", 1))
            return
        # Models come in lists, with commas between them.
        yield from self._matching(what, rest.replace(",", " ").rpartition(" ")[2])
        if what in {"files", "exports"}:
            yield from self._files(rest, complete_event)

    def _commands(self, typed: str) -> Iterator[Completion]:
        for entry in COMMANDS.values():
            for name in entry.names:
                if name.startswith(typed):
                    yield Completion(f"/{name}", -len(typed) - 1, display_meta=entry.summary)
                    break

    def _matching(self, what: str, word: str) -> Iterator[Completion]:
        choices = self._choices.get(what)
        for choice, meta in choices() if choices else ():
            if word.lower() in choice.lower():
                yield Completion(choice, -len(word), display_meta=meta)

    def _files(self, rest: str, event: CompleteEvent) -> Iterator[Completion]:
        """Yield paths; blanks in them are written as a shell writes them."""
        found = _LAST_WORD.search(rest)
        word = found[0] if found else ""
        for path in self._paths.get_completions(Document(unquote_argument(word)), event):
            yield Completion(quote_argument(path.text), path.start_position, display=path.display)

    def _mentions(
        self, typed: re.Match[str], document: Document, event: CompleteEvent
    ) -> Iterator[Completion]:
        """Yield the rest of a file's name and its closing quotation mark, for a folder a slash after it."""
        quoted = typed[1] is not None
        name = typed[1] if quoted else unescape(typed[2])
        closing = '"' if quoted and not document.text_after_cursor.startswith('"') else ""
        for found in self._paths.get_completions(Document(name), event):
            path, folder = found.text, found.display_text.endswith("/")
            if not path.isprintable():
                continue  # it would break the line, and perhaps not be read as a name
            plain = re.sub(r"([\s\\\"'`])", r"\\\1", path) if os.name == "posix" and not quoted else path
            end = "/" if folder else closing
            yield Completion(plain + end, found.start_position, display=found.display)

    def _values(self, name: str, typed: str) -> Iterator[Completion]:
        """Yield what an option may be set to."""
        option = BY_NAME.get(name.lstrip("-").replace("-", "_"))
        if option is None:
            return
        what = {Kind.MODEL: "models", Kind.MODELS: "models"}.get(option.kind, "")
        what = {"preset": "presets", "theme": "themes"}.get(option.name, what)
        yield from self._matching(what, typed.replace(",", " ").rpartition(" ")[2])
        if option.kind is Kind.BOOL:
            values = ("on", "off", *option.choices)
            yield from (Completion(value, -len(typed)) for value in values if value.startswith(typed))

    def _names(self) -> Choices:
        names = [(entry.name, entry.help) for entry in COMMANDS.values()]
        return [*names, ("all", "List all commands and keys.")]

    def _models(self) -> Choices:
        if self._chat.settings.local:
            yield from ((model, "on this computer") for model in self._chat.settings.local_models)
            return
        catalogue = self._chat.settings.catalogue
        for model in catalogue.models:
            facts = catalogue.facts(model)
            if facts is not None and facts.status != "retired":
                yield model, facts.status or ""

    def _presets(self) -> Choices:
        return [(preset.name, preset.description) for preset in self._chat.settings.presets.all()]

    def _templates(self) -> Choices:
        from bot.settings.templates import Templates  # noqa: PLC0415 - not on the way to the prompt

        templates = Templates(self._chat.settings.config_file).all()
        return [(each.name, each.problem or each.description or " ".join(each.fields)) for each in templates]

    def _options(self) -> Choices:
        return [(option.name, option.help) for option in OPTIONS]

    def _conversations(self) -> Choices:
        store = self._chat.app.store
        rows = store.list_conversations(50) if store else ()
        return [(row.conversation.id, row.conversation.title) for row in rows]

    def _themes(self) -> Choices:
        return list(THEMES.items())

    def _exports(self) -> Choices:
        from bot.history.exports import FORMATS  # noqa: PLC0415 - not on the way to the prompt

        return [(name, "") for name in FORMATS]
