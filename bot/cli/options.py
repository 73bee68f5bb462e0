"""Hangs the table of options on commands, so that Typer sees them as ordinary parameters.

A command declares its own parameters and `given`; the decorator adds one parameter per option of
the table and hands over those that were given as one mapping. Both spellings work because every
name is normalised to underscores before it is looked up (`SPELLINGS`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import typer

from bot.settings.options import OPTIONS, Kind, Option

SPELLINGS: dict[str, Any] = {
    "token_normalize_func": lambda name: name.replace("-", "_"),
    "help_option_names": ["--help", "-h"],
}
"""Context settings of the program: `--max-tokens` is `--max_tokens`."""

Given = dict[str, Any]
"""Options by name, those that stood on the command line."""


def with_options(names: Iterable[str] | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of the table (or those named) to a command that takes `given: Given`."""
    chosen = [option for option in OPTIONS if names is None or option.name in set(names)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "given"]

        @wraps(command)
        def call(**arguments: Any) -> Any:
            values = {option.name: arguments.pop(option.attribute) for option in chosen}
            given = {name: value for name, value in values.items() if value not in (None, [])}
            return command(**arguments, given=given)

        parameters = own + [_parameter(option) for option in chosen]
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect and Typer read
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


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
        option.attribute, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=option.python_type
    )


def _completion(option: Option) -> Callable[[str], list[str]] | None:
    """Return what the shell may complete: presets and models by name."""
    if option.name == "preset":
        return _presets
    return _models if option.kind in {Kind.MODEL, Kind.MODELS} else None


def _presets(incomplete: str) -> list[str]:
    from bot.settings.presets import list_presets

    return [preset.name for preset in list_presets() if preset.name.startswith(incomplete)]


def _models(incomplete: str) -> list[str]:
    from bot.settings.catalogue import load_catalogue

    return [model for model in load_catalogue().models if incomplete.lower() in model.lower()]
