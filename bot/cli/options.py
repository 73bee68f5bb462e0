"""Adds the options of the table to commands, as Typer parameters.

A command declares its own parameters and `given`; the decorator adds a parameter for each option of
the table, and passes those that are given as one mapping. Both spellings work because every name is
normalised to underscores before it is looked up (`SPELLINGS`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from bot.errors import UsageError
from bot.settings import paths
from bot.settings.catalogue import load_catalogue
from bot.settings.options import CHOOSE, OPTIONS, Kind, Option
from bot.settings.presets import list_presets
from bot.settings.templates import Templates
from bot.settings.values import InvalidValueError, parse_text

SPELLINGS: dict[str, Any] = {
    "token_normalize_func": lambda name: name.replace("-", "_"),
    "help_option_names": ["--help", "-h"],
}
"""Context settings of the program: `--max-tokens` is `--max_tokens`."""

REJUDGE_UNREADABLE = "rejudge_unreadable"
"""The name of the hidden switch that `--rejudge unreadable` stands for."""


def _templates(incomplete: str) -> list[str]:
    return [name for name in Templates(paths.config_file()).names() if name.startswith(incomplete)]


TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        "-t",
        metavar="NAME",
        help="Fill this prompt template with the prompt.",
        show_default=False,
        autocompletion=_templates,
    ),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field", metavar="NAME=VALUE", help="A field of the template; may be repeated.", show_default=False
    ),
]
"""The options of the commands that fill templates."""
TEMPLATE, FIELDS = "moa-bot template", "moa-bot fields"
"""Their names in a context's `meta`, where they stand before the command."""

Given = dict[str, Any]
"""The options that are on the command line, by name."""


def with_options(names: Iterable[str] | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of the table (or those named) to a command that takes `given: Given`."""
    chosen = [option for option in OPTIONS if names is None or option.name in set(names)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "given"]

        @wraps(command)
        def call(**arguments: Any) -> Any:
            values = {option: arguments.pop(option.attribute) for option in chosen}
            for option, word, name in _words(chosen):
                values[option] = word if arguments.pop(name) else values[option]
            given = {
                option.name: _read(option, value)
                for option, value in values.items()
                if value not in (None, (), [])
            }
            if given.get("starter") and "preset" in given:
                # Inside a conversation a preset may replace the mixture of --starter.
                raise UsageError("option --starter and option --preset: expected one of them, not both")
            return command(**arguments, given=given)

        parameters = own + [_parameter(option) for option in chosen]
        parameters += [_word_parameter(name) for _, _, name in _words(chosen)]
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect and Typer read
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def join_words(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with each switch and its word (`--early_stop shadow`) as one hidden switch.

    The parser knows switches without a value, and options that always have one: so `--resume` gets one.
    """
    switches = {(option.flag, word): f"--{name}" for option, word, name in _words(OPTIONS)}
    switches["--rejudge", "unreadable"] = f"--{REJUDGE_UNREADABLE}"
    joined, rest = [], list(arguments)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        flag, equals, word = argument.partition("=")
        word = word if equals else next(iter(rest), "")
        if flag == "--resume" and not equals and (not word or word.startswith("-")):
            joined.append(f"{flag}={CHOOSE}")
            continue
        switch = switches.get((f"--{flag[2:].replace('-', '_')}", word)) if flag.startswith("--") else None
        if switch and not equals:
            rest.pop(0)
        joined.append(switch or argument)
    return joined + rest


def _words(options: Iterable[Option]) -> list[tuple[Option, str, str]]:
    """Return the words that switches accept: the switch, the word, and the name of its hidden switch."""
    switches = (option for option in options if option.kind is Kind.BOOL)
    return [(option, word, f"{option.attribute}_{word}") for option in switches for word in option.choices]


def _word_parameter(name: str) -> inspect.Parameter:
    info = typer.Option(False, f"--{name}", hidden=True)  # noqa: FBT003 - its default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=bool)


def _read(option: Option, value: Any) -> Any:
    """Return a value in the option's type; the command line has texts, as the environment has."""
    if option.kind not in {Kind.INT, Kind.FLOAT}:
        return list(value) if option.is_list else value
    try:
        return parse_text(option, value, "")
    except InvalidValueError as problem:
        raise UsageError(f"option {option.flag}: {problem}") from None


class HelpSections:
    """Mixed into a command: a help page of plain text whose options stand in sections by their group.

    Typer itself writes such sections with rich only, whose import takes twice the time of the page.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under the names of their groups, then the commands if there are any."""
        sections: dict[str, list[Any]] = {}
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]  # a command's, which this is mixed into
            if record := parameter.get_help_record(ctx):
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
        if hasattr(self, "format_commands"):
            self.format_commands(ctx, formatter)


class SectionedCommand(HelpSections, TyperCommand):
    """A command with such a help page."""


def new_typer_app(help_text: str | None = None) -> typer.Typer:
    """Return the Typer app of one command, or of a group of commands, which is what `help_text` says."""
    return typer.Typer(
        help=help_text, no_args_is_help=help_text is not None, add_completion=False, rich_markup_mode=None
    )


def _parameter(option: Option) -> inspect.Parameter:
    names = f"{option.flag}/--{option.negative}" if option.negative else option.flag
    declared = [names, option.short] if option.short else [names]
    info = typer.Option(
        None,
        *declared,
        help=option.help,
        metavar=option.metavar or None,
        rich_help_panel=str(option.group),
        show_default=False,
        autocompletion=_completion(option),
    )
    return inspect.Parameter(
        option.attribute, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=_annotation(option)
    )


def _annotation(option: Option) -> object:
    if option.kind is Kind.BOOL:
        return bool | None
    return list[str] | None if option.is_list else str | None


def _completion(option: Option) -> Callable[[str], list[str]] | None:
    """Return the function with which the shell completes names of presets or models."""
    if option.name == "preset":
        return _presets
    return _models if option.kind in {Kind.MODEL, Kind.MODELS} else None


def _presets(incomplete: str) -> list[str]:
    return [preset.name for preset in list_presets() if preset.name.startswith(incomplete)]


def _models(incomplete: str) -> list[str]:
    return [model for model in load_catalogue().models if incomplete.lower() in model.lower()]
