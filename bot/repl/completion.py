"""Completion at the prompt: slash commands, and what can follow each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from bot.repl.commands import load

if TYPE_CHECKING:
    from bot.repl.room import Room

Choices = Iterable[tuple[str, str]]


class CommandCompleter(Completer):
    """Completes a line that begins with a slash; prompts themselves are the user's own words."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._paths = PathCompleter(expanduser=True)
        self._choices: dict[str, Callable[[], Choices]] = {
            "models": self._models,
            "presets": self._presets,
            "options": self._options,
            "conversations": self._conversations,
            "themes": self._themes,
        }

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what the word before the cursor may become."""
        text = document.text_before_cursor
        if not text.startswith("/") or text.startswith("//") or "\n" in text:
            return
        name, space, rest = text[1:].partition(" ")
        if not space:
            yield from self._commands(name)
            return
        entry = next((entry for entry in load().values() if name in entry.names), None)
        if entry is None:
            return
        # Models come in lists, with commas between them.
        word = rest.replace(",", " ").rpartition(" ")[2]
        if entry.completes == "files":
            yield from self._paths.get_completions(Document(word), complete_event)
        elif choices := self._choices.get(entry.completes):
            for choice, what in choices():
                if word.lower() in choice.lower():
                    yield Completion(choice, -len(word), display_meta=what)

    def _commands(self, typed: str) -> Iterator[Completion]:
        for entry in load().values():
            for name in entry.names:
                if name.startswith(typed):
                    yield Completion(f"/{name}", -len(typed) - 1, display_meta=entry.help)
                    break

    def _models(self) -> Choices:
        catalogue = self._room.settings.catalogue
        for model in catalogue.models:
            facts = catalogue.facts(model)
            if facts is not None and facts.status != "retired":
                yield model, facts.status or ""

    def _presets(self) -> Choices:
        return [(preset.name, preset.description) for preset in self._room.settings.presets.all()]

    def _options(self) -> Choices:
        from bot.settings.options import OPTIONS

        return [(option.name, option.help) for option in OPTIONS]

    def _conversations(self) -> Choices:
        store = self._room.program.store
        rows = store.list_conversations(50) if store else ()
        return [(row.conversation.id, row.conversation.title) for row in rows]

    def _themes(self) -> Choices:
        from bot.render.styles import THEMES

        return list(THEMES.items())
