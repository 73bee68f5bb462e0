"""The levels at which an option can be given: each a table of values with their sources."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import UsageError
from bot.settings import paths
from bot.settings.files import Section, read_toml
from bot.settings.options import BY_NAME, OPTIONS
from bot.settings.preset import Preset
from bot.settings.settings import Level, Source
from bot.settings.user_file import UserFile
from bot.settings.values import InvalidValueError, check_value, parse_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.messages import Agent
    from bot.settings.option import Option


class Given(NamedTuple):
    """A value and its source."""

    value: Any
    source: Source


Values = dict[str, Given]
"""The values that are given at one level, by the option's name."""


def nearest_level(levels: Sequence[Values], name: str) -> int | None:
    """Return the index of the nearest level at which an option is given, None when there is none."""
    return next((index for index, level in enumerate(levels) if name in level), None)


def nearest_values(levels: Sequence[Values]) -> Values:
    """Return every option's value at its nearest level, or the option's own default."""
    picked: Values = {}
    for option in OPTIONS:
        at = nearest_level(levels, option.name)
        nothing = Given(option.default, Source(Level.DEFAULTS, "defaults"))
        picked[option.name] = nothing if at is None else levels[at][option.name]
    return picked


def from_command_line(values: Mapping[str, object], level: Level) -> Values:
    """Return the options of a command. UsageError for a wrong value."""
    given: Values = {}
    for key, value in values.items():
        option = BY_NAME[key.rstrip("_")]
        if value is None or (option.is_list and not value) or (value is False and not option.negative):
            continue
        flag = f"--{option.negative}" if value is False else option.flag
        try:
            given[option.name] = Given(check_value(option, value), Source(level, f"option {flag}"))
        except InvalidValueError as problem:
            raise UsageError(f"{flag}: {problem}") from None
    return given


def from_environment(environ: Mapping[str, str]) -> Values:
    """Return the options of MOA_BOT_* variables. UsageError for a wrong value."""
    given: Values = {}
    for option in OPTIONS:
        value = _variable(environ, option, option.variable)
        opposite = _variable(environ, option, option.negative_variable)
        if opposite is not None:
            opposite = opposite._replace(value=not opposite.value)
            if value is not None and value.value != opposite.value:
                both = f"{option.variable} and {option.negative_variable}"
                raise UsageError(f"environment {both}: expected one of them, not both")
        if found := value or opposite:
            given[option.name] = found
    return given


def _variable(environ: Mapping[str, str], option: Option, name: str) -> Given | None:
    text = environ.get(name, "") if name else ""
    if not text.strip():
        return None
    try:
        if name == option.negative_variable:
            option = replace(option, choices=())
        return Given(parse_text(option, text, os.pathsep), Source(Level.ENVIRONMENT, f"environment {name}"))
    except InvalidValueError as problem:
        raise UsageError(f"environment {name}: {problem}") from None


def from_file(user: UserFile) -> Values:
    """Return the options of config.toml."""
    source = Source(Level.FILE, str(user.file))
    return {name: Given(value, source) for name, value in user.options.items()}


def from_preset(preset: Preset) -> Values:
    """Return the options of a preset, its models included."""
    source = Source(Level.PRESET, f"preset {preset.name}")
    values = {
        **preset.values,
        "aggregator": _name(preset.aggregator),
        "reference_models": tuple(_name(agent) for agent in preset.layers[0]),
    }
    return {name: Given(value, source) for name, value in values.items()}


def _name(agent: Agent) -> str:
    return f"{agent.endpoint}:{agent.model}" if agent.endpoint else agent.model


def from_defaults() -> Values:
    """Return the options of the shipped defaults."""
    path = paths.shipped_file("defaults.toml")
    section = Section(path, read_toml(path))
    section.reject_unknown_keys(BY_NAME)
    source = Source(Level.DEFAULTS, "defaults")
    return {name: Given(section.option(BY_NAME[name]), source) for name in section.table}
