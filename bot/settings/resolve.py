"""Decides every option's value: the nearest place where it was said wins.

    command line, nearer option > option before the subcommand > environment > config.toml
    > preset > defaults

The preset itself is chosen in the same order. `--demo` brings its preset and its endpoint along to
the place where it was said itself: what is said further away must not ask for models that only
exist elsewhere, what is said as near or nearer still wins. So does `--local`, with a mixture of the
models that are found on this computer then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import ConfigError, UsageError
from bot.settings import paths
from bot.settings.catalogue import Catalogue
from bot.settings.endpoints import DEMO, EndpointConfig, read_endpoints, unknown_endpoint
from bot.settings.files import Section, read_toml
from bot.settings.options import BY_NAME, EXCLUSIVE, OPTIONS
from bot.settings.preset import Preset
from bot.settings.presets import Presets, load_presets
from bot.settings.settings import Level, Settings, Source
from bot.settings.user_file import UserFile, read_user_file
from bot.settings.values import WrongValue, check, from_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.messages import Agent
    from bot.settings.option import Option

__all__ = ["Level", "Settings", "Source", "resolve"]


class _Said(NamedTuple):
    value: Any
    source: Source


_Place = dict[str, _Said]
"""What was said in one place, by the option's name."""

FindLocal = Callable[["Mapping[str, EndpointConfig]", "Path | None"], Preset]
"""Makes a mixture of the models on this computer, of the services' or of a folder's."""


def resolve(
    cli: Mapping[str, object],
    outer: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
    find_local: FindLocal | None = None,
) -> Settings:
    """Return the settings in force.

    `cli` and `outer` hold the options of the subcommand and those before it, by name; None means
    not given, and so do an empty list and False where nothing switches the option off.
    `find_local` makes a mixture of the models on this computer, for --local; without it --local
    changes nothing.
    UsageError for a wrong value, ConfigError for a mistake in a file.
    """
    user = read_user_file(config_file or paths.config_file(environ))
    endpoints = read_endpoints(user.endpoints, environ)
    presets = load_presets(user, endpoints)
    places = [
        _from_command_line(cli, Level.COMMAND),
        _from_command_line(outer or {}, Level.OUTER),
        _from_environment(environ),
        _from_file(user),
    ]
    _settle_pairs(places)
    defaults = _defaults()
    demo, local = _switched_on(places, "demo"), _switched_on(places, "local")
    if demo is not None:
        endpoints[DEMO] = EndpointConfig(DEMO, "", source=str(places[demo]["demo"].source))
        preset, chosen = _with_demo(places, demo, presets)
    elif local is not None and find_local is not None:
        folder = _nearest(places, "models_dir")
        found = find_local(endpoints, None if folder is None else places[folder]["models_dir"].value)
        preset, chosen = _with_local(places, local, presets, found)
    else:
        at = _nearest(places, "preset")
        chosen = defaults["preset"] if at is None else places[at]["preset"]
        preset = _find_preset(presets, chosen)
        places.append(_from_preset(preset))
    said = _pick([*places, defaults])
    said["preset"] = _Said(preset, chosen.source)
    home = said["endpoint"]
    if home.value not in endpoints:
        raise _blame(unknown_endpoint(home.value, endpoints), home.source, "endpoint")
    values = {BY_NAME[name].attribute: each.value for name, each in said.items()}
    return Settings(
        **values,
        sources={name: each.source for name, each in said.items()},
        endpoints=endpoints,
        catalogue=Catalogue(user.models),
        presets=presets,
        config_file=user.file,
    )


def _with_demo(places: list[_Place], at: int, presets: Presets) -> tuple[Preset, _Said]:
    """Put what --demo brings along right behind the place where it was said."""
    source = places[at]["demo"].source
    asked = _nearest(places[: at + 1], "preset")
    if asked is None:
        chosen = _Said(DEMO, source)
        preset = presets.get(DEMO)
        places.insert(at + 1, {**_from_preset(preset), "endpoint": _Said(DEMO, source)})
    else:
        chosen = places[asked]["preset"]
        preset = _find_preset(presets, chosen)
        places.insert(at + 1, {"endpoint": _Said(DEMO, source)})
        places.append(_from_preset(preset))
    return preset, chosen


def _with_local(places: list[_Place], at: int, presets: Presets, found: Preset) -> tuple[Preset, _Said]:
    """Put the mixture of what was found on this computer right behind the place of --local."""
    source = places[at]["local"].source
    asked = _nearest(places[: at + 1], "preset")
    places.insert(at + 1, _from_preset(found))
    if asked is None:
        return found, _Said(found.name, source)
    # The models are those found here, how they are asked is what the preset says.
    chosen = places[asked]["preset"]
    preset = _find_preset(presets, chosen)
    places.append(_from_preset(preset))
    return replace(preset, aggregator=found.aggregator, layers=found.layers), chosen


def _switched_on(places: list[_Place], name: str) -> int | None:
    """Return the place where an option is switched on, None when it is off."""
    at = _nearest(places, name)
    return at if at is not None and places[at][name].value else None


def _find_preset(presets: Presets, chosen: _Said) -> Preset:
    try:
        return presets.get(chosen.value)
    except ConfigError:
        raise
    except UsageError as problem:
        raise _blame(problem, chosen.source, "preset") from None


def _blame(problem: UsageError, source: Source, name: str) -> UsageError:
    """Put where a value was said in front of what is wrong with it."""
    if source.level is Level.FILE:
        return ConfigError(" ".join(f"{source}: {name}: {problem.message} {problem.hint}".split()))
    return UsageError(f"{source}: {problem.message}", hint=problem.hint)


def _nearest(places: list[_Place], name: str) -> int | None:
    return next((index for index, place in enumerate(places) if name in place), None)


def _pick(places: list[_Place]) -> _Place:
    picked: _Place = {}
    for option in OPTIONS:
        at = _nearest(places, option.name)
        nothing = _Said(option.default, Source(Level.DEFAULTS, "defaults"))
        picked[option.name] = nothing if at is None else places[at][option.name]
    return picked


def _settle_pairs(places: list[_Place]) -> None:
    """Of two options that exclude each other keep the nearer one; UsageError for a tie."""
    for pair in EXCLUSIVE:
        for index, place in enumerate(places):
            said = [name for name in pair if name in place and place[name].value is not False]
            if len(said) == len(pair):
                first, second = (place[name].source for name in pair)
                both = f"expected either {pair[0]} or {pair[1]}, not both"
                if first.level is Level.FILE:
                    raise ConfigError(f"{first}: {pair[1]}: {both}")
                raise UsageError(f"{first} and {second}: {both}")
            if said:
                for further in places[index + 1 :]:
                    for name in pair:
                        further.pop(name, None)
                break


def _from_command_line(values: Mapping[str, object], level: Level) -> _Place:
    place: _Place = {}
    for key, value in values.items():
        option = BY_NAME[key.rstrip("_")]
        if value is None or (option.is_list and not value) or (value is False and not option.negative):
            continue
        flag = f"--{option.negative}" if value is False else option.flag
        try:
            place[option.name] = _Said(check(option, value), Source(level, f"option {flag}"))
        except WrongValue as problem:
            raise UsageError(f"{flag}: {problem}") from None
    return place


def _from_environment(environ: Mapping[str, str]) -> _Place:
    place: _Place = {}
    for option in OPTIONS:
        said = _variable(environ, option, option.variable)
        opposite = _variable(environ, option, option.negative_variable)
        if opposite is not None:
            opposite = opposite._replace(value=not opposite.value)
            if said is not None and said.value != opposite.value:
                both = f"{option.variable} and {option.negative_variable}"
                raise UsageError(f"environment {both}: expected one of them, not both")
        if found := said or opposite:
            place[option.name] = found
    return place


def _variable(environ: Mapping[str, str], option: Option, name: str) -> _Said | None:
    text = environ.get(name, "") if name else ""
    if not text.strip():
        return None
    try:
        return _Said(from_text(option, text, os.pathsep), Source(Level.ENVIRONMENT, f"environment {name}"))
    except WrongValue as problem:
        raise UsageError(f"environment {name}: {problem}") from None


def _from_file(user: UserFile) -> _Place:
    source = Source(Level.FILE, str(user.file))
    return {name: _Said(value, source) for name, value in user.options.items()}


def _from_preset(preset: Preset) -> _Place:
    source = Source(Level.PRESET, f"preset {preset.name}")
    values = {
        **preset.values,
        "aggregator": _name(preset.aggregator),
        "reference_models": tuple(_name(agent) for agent in preset.layers[0]),
    }
    return {name: _Said(value, source) for name, value in values.items()}


def _name(agent: Agent) -> str:
    return f"{agent.endpoint}:{agent.model}" if agent.endpoint else agent.model


def _defaults() -> _Place:
    path = paths.shipped("defaults.toml")
    section = Section(path, read_toml(path))
    section.only(BY_NAME)
    source = Source(Level.DEFAULTS, "defaults")
    return {name: _Said(section.option(BY_NAME[name]), source) for name in section.table}
