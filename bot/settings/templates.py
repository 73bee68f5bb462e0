"""Prompt templates: a text with gaps, a preset, and a system prompt, by name.

A template is a file prompts/NAME.md or NAME.txt (the text), prompts/NAME.toml, or a table [prompts.NAME] in
config.toml. One without a text is a role: the prompt is what was typed, with the template's system prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import MoaError, UsageError
from bot.settings import paths
from bot.settings.files import Section, read_text, read_toml
from bot.settings.presets import list_presets
from bot.settings.user_file import PROMPT_KEYS, read_user_file
from bot.settings.values import quote
from bot.text.nearest import did_you_mean
from bot.text.sanitise import one_line

INPUT = "input"
_GAP = re.compile(r"\{\{(\w+)\}\}|\{([^\W\d]\w*)\}")
"""A literal name in two braces, or a field's name in one. All other braces are text."""
_SUFFIXES = (".md", ".txt", ".toml")
_LONGEST_SUMMARY = 300
ONE_MODEL = ("demo", "local", "starter")
"""Options that bring a mixture of their own, which the template's preset does not replace."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template; what it does not set is ""."""

    name: str
    source: Path
    text: str = ""
    system: str = ""
    preset: str = ""
    description: str = ""
    problem: str = ""
    """Why it cannot be used."""

    @property
    def summary(self) -> str:
        """The beginning of what it is, on one line, for a list."""
        shown = self.problem or self.description or self.text or self.system
        return one_line(shown[:_LONGEST_SUMMARY])

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields in the text, in their order, without `input`."""
        names = (found[2] for found in _GAP.finditer(self.text) if found[2])
        return tuple(dict.fromkeys(name for name in names if name != INPUT))

    @property
    def takes_words(self) -> bool:
        """Whether the text has a place for the words of the prompt."""
        return any(found[2] == INPUT for found in _GAP.finditer(self.text))

    def fill(self, words: str, fields: Mapping[str, str] | None = None, *, needs_words: bool = True) -> str:
        """Return the prompt: the text with the words and fields in it; words without a place follow it.

        UsageError for a field that is missing or that the text does not have.
        """
        values, words = dict(fields or {}), words.strip()
        if unknown := next((name for name in values if name not in self.fields), None):
            known = f"Its fields: {', '.join(self.fields)}." if self.fields else "It has no fields."
            raise UsageError(f"The template {self.name} has no field {unknown}.", hint=known)
        if missing := [name for name in self.fields if name not in values]:
            given = " ".join(f"--field {name}=…" for name in missing)
            raise UsageError(
                f"The template {self.name} needs {', '.join(missing)}.",
                hint=f"{given} (/t {self.name} {missing[0]}=… in the chat); braces that are text: "
                f"{{{{{missing[0]}}}}}",
            )
        if self.takes_words and needs_words and not words:
            raise UsageError(f"The template {self.name} needs words: the text that it is about.")
        values[INPUT] = words
        # In one pass: braces in what is filled in are text.
        text = _GAP.sub(lambda found: f"{{{found[1]}}}" if found[1] else values[found[2]], self.text)
        return text if self.takes_words or not words else f"{text}\n\n{words}".strip()

    def options(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return the options that it sets, without those that are given otherwise."""
        values: dict[str, object] = {}
        if self.preset and not any(given.get(name) for name in ("preset", *ONE_MODEL)):
            values["preset"] = self.preset
        if self.system and not any(given.get(name) for name in ("system", "system_file")):
            values["system"] = self.system
        return values


class Templates:
    """The user's templates by name; each is read when it is asked for."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self.folder = config_file.parent / "prompts"
        self._own = read_user_file(config_file).prompts

    def names(self) -> tuple[str, ...]:
        """Return the names in alphabetical order."""
        return tuple(sorted({*self._own, *self._files()}))

    def get(self, name: str) -> Template:
        """Return a template. UsageError when there is none of that name, ConfigError for a mistake in it."""
        if name in self._own:
            return self._read(name, self._own[name])
        files = self._files()
        if name not in files:
            shown = name if name.isprintable() else "?"
            names = ", ".join(self.names())
            hint = (
                f"{did_you_mean(name, self.names())}Templates: {names}. " if names else "There are none yet. "
            )
            raise UsageError(
                f'no template "{shown}".', hint=f"{hint}`moa-bot prompts edit NAME` writes one.".strip()
            )
        file = files[name]
        if file.suffix == ".toml":
            return self._read(name, Section(file, read_toml(file)))
        return Template(name, file, read_text(file, "The template"))

    def all(self) -> tuple[Template, ...]:
        """Return every template, in the order of `names`, also those with a mistake."""
        return tuple(map(self._get_or_problem, self.names()))

    def source(self, name: str) -> Path:
        """Return the file of one of the `names`, whatever is in it."""
        return Path(self._own[name].file) if name in self._own else self._files()[name]

    def _get_or_problem(self, name: str) -> Template:
        try:
            return self.get(name)
        except MoaError as error:
            return Template(name, self.source(name), problem=error.message)

    def _read(self, name: str, section: Section) -> Template:
        section.reject_unknown_keys(PROMPT_KEYS)
        values = {key: (section.text(key) or "").strip() for key in PROMPT_KEYS}
        if not any(values[key] for key in ("text", "system", "preset")):
            raise section.error("text", "expected a text, a system prompt or a preset")
        if values["preset"] and values["preset"] not in {
            preset.name for preset in list_presets(config_file=self._config_file)
        }:
            raise section.error("preset", f"there is no preset {quote(values['preset'])}")
        return Template(name, Path(section.file), **values)

    def _files(self) -> dict[str, Path]:
        found = (self.folder.glob(f"*{suffix}") for suffix in _SUFFIXES)
        return {file.stem: file for files in found for file in files}


def parse_fields(given: Sequence[str]) -> dict[str, str]:
    """Return the fields of texts such as "lang=French". UsageError for one without "=", or given twice."""
    fields: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"--field: expected NAME=VALUE, found {each!r}")
        if name in fields:
            raise UsageError(f"--field: {name} is given twice")
        fields[name] = value
    return fields


@dataclass(frozen=True, slots=True)
class ChosenTemplate:
    """The template of a command, with the fields that were given; without one, prompts stay as they are."""

    template: Template | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise UsageError for fields without a template."""
        if self.fields and self.template is None:
            raise UsageError("Fields fill a template: which one?")

    def with_options(
        self, given: Mapping[str, Any], outer: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the given options, and those of the template that are not among them."""
        own = self.template.options({**(outer or {}), **given}) if self.template else {}
        return {**given, **own}

    def fill(self, words: str, *, needs_words: bool = True) -> str:
        """Return the prompt. UsageError as `Template.fill`."""
        return self.template.fill(words, self.fields, needs_words=needs_words) if self.template else words

    @property
    def is_prompt(self) -> bool:
        """Whether the template is a prompt by itself."""
        return self.template is not None and bool(self.template.text) and not self.template.takes_words


def choose_template(name: str | None, given: Sequence[str] = (), outer: Sequence[str] = ()) -> ChosenTemplate:
    """Return the template of that name with fields such as "lang=French". UsageError.

    `given` fields replace `outer` ones of the same name.
    """
    if name is None:
        if given or outer:
            raise UsageError("--field fills a template: which one? (-t NAME)")
        return ChosenTemplate()
    return ChosenTemplate(find_template(name), {**parse_fields(outer), **parse_fields(given)})


def find_template(name: str | None) -> Template | None:
    """Return the user's template of that name, None for none. UsageError when there is no such template."""
    return None if name is None else Templates(paths.config_file()).get(name)
