"""Decides every option's value: of all levels at which it is given, the nearest one wins.

    option of the command > option before the command > environment > config.toml > preset > defaults

The preset itself is chosen in the same order. `--demo` puts its preset and its endpoint at its own
level: farther levels must not ask for models that the offline service does not have, the same level
and nearer ones still win. `--local` does the same with a mixture of the models that are found on this
computer, and names of models mean those alone (`bot.settings.local_models`). `--starter` puts the
preset of that name there, unless a preset is chosen at the same level or a nearer one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.errors import ConfigError, UsageError
from bot.settings import paths
from bot.settings.catalogue import Catalogue
from bot.settings.endpoints import DEMO, EndpointConfig, read_endpoints, unknown_endpoint
from bot.settings.levels import (
    Given,
    Values,
    from_command_line,
    from_defaults,
    from_environment,
    from_file,
    from_preset,
    nearest_level,
    nearest_values,
)
from bot.settings.local_models import LocalModels, find_local_model
from bot.settings.mcp_servers import read_servers
from bot.settings.option import Group
from bot.settings.options import BY_NAME, EXCLUSIVE, OPTIONS, Kind
from bot.settings.preset import Preset
from bot.settings.presets import Presets, load_presets
from bot.settings.settings import Level, Settings, Source
from bot.settings.user_file import read_user_file
from bot.settings.web import read_web

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


__all__ = ["Level", "Settings", "Source", "resolve"]


STARTER = "starter"
"""The option and its preset."""

_MODEL_KINDS = frozenset({Kind.MODEL, Kind.MODELS})

_MIXTURE = [option.name for option in OPTIONS if option.in_preset and option.group is Group.MIXTURE] + [
    "reference_models"
]
"""The options that make a mixture another one."""

FindLocal = Callable[["Mapping[str, EndpointConfig]", "Path | None"], LocalModels]
"""Finds the models on this computer: those of the endpoints, or those in a folder."""


def resolve(
    cli: Mapping[str, object],
    outer: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
    find_local: FindLocal | None = None,
) -> Settings:
    """Return the settings in force.

    `cli` and `outer` hold the options of the command and those before it, by name; None means not
    given, and so do an empty list, and False where the option has no negative form. `find_local`
    finds the models on this computer, for --local; without it --local changes nothing.
    UsageError for a wrong value, ConfigError for a mistake in a file.
    """
    user = read_user_file(config_file or paths.config_file(environ))
    endpoints = read_endpoints(user.endpoints, environ)
    presets = load_presets(user, endpoints)
    levels = [
        from_command_line(cli, Level.COMMAND),
        from_command_line(outer or {}, Level.OUTER),
        from_environment(environ),
        from_file(user),
    ]
    _drop_excluded(levels)
    defaults = from_defaults()
    preset, chosen, found = _choose_mixture(levels, endpoints, presets, defaults["preset"], find_local)
    values = nearest_values([*levels, defaults])
    as_in_preset = nearest_values([from_preset(preset), defaults])
    changed = any(values[name].value != as_in_preset[name].value for name in _MIXTURE)
    values["preset"] = Given(preset, chosen.source)
    if found is not None:
        _find_local_models(values, found.names, endpoints)
    endpoint = values["endpoint"]
    if endpoint.value not in endpoints:
        raise _with_source(unknown_endpoint(endpoint.value, endpoints), endpoint.source, "endpoint")
    attributes = {BY_NAME[name].attribute: given.value for name, given in values.items()}
    return Settings(
        **attributes,
        preset_changed=changed,
        sources={name: given.source for name, given in values.items()},
        endpoints=endpoints,
        catalogue=Catalogue(user.models),
        presets=presets,
        config_file=user.file,
        mcp_servers=read_servers(user.mcp),
        web=read_web(user.web),
        local_models=found.names if found else (),
        local_left_out=found.left_out if found else "",
    )


def _choose_mixture(
    levels: list[Values],
    endpoints: dict[str, EndpointConfig],
    presets: Presets,
    default: Given,
    find_local: FindLocal | None,
) -> tuple[Preset, Given, LocalModels | None]:
    """Add the values of the preset that is chosen, or of --demo, --local or --starter, to the levels.

    Returns the preset, the choice of it with its source, and with --local the models on this computer.
    With --demo its endpoint is added to `endpoints`.
    """
    demo, local, starter = (_switched_on(levels, name) for name in ("demo", "local", STARTER))
    found: LocalModels | None = None
    if demo is not None:
        endpoints[DEMO] = EndpointConfig(DEMO, "", source=str(levels[demo]["demo"].source))
        preset, chosen = _with_demo(levels, demo, presets)
    elif local is not None and find_local is not None:
        folder = nearest_level(levels, "models_dir")
        found = find_local(endpoints, None if folder is None else levels[folder]["models_dir"].value)
        preset, chosen = _with_local(levels, local, presets, found.preset)
    elif starter is not None and nearest_level(levels[: starter + 1], "preset") is None:
        preset, chosen = presets.get(STARTER), Given(STARTER, levels[starter][STARTER].source)
        _insert_mixture(levels, starter, preset)
    else:
        preset, chosen = _with_preset(levels, presets, default)
    return preset, chosen, found


def _with_preset(levels: list[Values], presets: Presets, default: Given) -> tuple[Preset, Given]:
    """Append the preset that is chosen, or the default one."""
    at = nearest_level(levels, "preset")
    chosen = default if at is None else levels[at]["preset"]
    preset = _find_preset(presets, chosen)
    values = from_preset(preset)
    if at is None and nearest_level(levels, "reference_models") is not None:
        # A preset that nobody named: its mode belongs to its models.
        values.pop("mode", None)
    levels.append(values)
    return preset, chosen


def _with_demo(levels: list[Values], at: int, presets: Presets) -> tuple[Preset, Given]:
    """Insert the preset and the endpoint of --demo right behind the level of --demo."""
    source = levels[at]["demo"].source
    asked = nearest_level(levels[: at + 1], "preset")
    if asked is None:
        chosen = Given(DEMO, source)
        preset = presets.get(DEMO)
        levels.insert(at + 1, {**from_preset(preset), "endpoint": Given(DEMO, source)})
    else:
        chosen = levels[asked]["preset"]
        preset = _find_preset(presets, chosen)
        levels.insert(at + 1, {"endpoint": Given(DEMO, source)})
        levels.append(from_preset(preset))
    return preset, chosen


def _with_local(levels: list[Values], at: int, presets: Presets, found: Preset) -> tuple[Preset, Given]:
    """Insert the mixture that was found on this computer right behind the level of --local."""
    source = levels[at]["local"].source
    asked = nearest_level(levels[: at + 1], "preset")
    _insert_mixture(levels, at, found)
    if asked is None:
        return found, Given(found.name, source)
    # The models are those found here; how they are asked is as in the preset.
    chosen = levels[asked]["preset"]
    preset = _find_preset(presets, chosen)
    how = from_preset(preset)
    levels.append({name: given for name, given in how.items() if BY_NAME[name].kind not in _MODEL_KINDS})
    return replace(preset, aggregator=found.aggregator, layers=found.layers), chosen


def _insert_mixture(levels: list[Values], at: int, preset: Preset) -> None:
    """Insert a mixture of models on this computer right behind a level; farther levels name no models."""
    for level in levels[at + 1 :]:
        # The aggregator and the reference models of farther levels are replaced by the mixture's.
        for name in ("fallbacks", "light_aggregator", "judge"):
            level.pop(name, None)
    levels.insert(at + 1, from_preset(preset))


def _find_local_models(
    values: Values, names: tuple[str, ...], endpoints: Mapping[str, EndpointConfig]
) -> None:
    """Replace the models that the user named by those on this computer. UsageError for any other."""
    for name, given in values.items():
        named = given.value is not None and given.source.level < Level.PRESET
        if not named or BY_NAME[name].kind not in _MODEL_KINDS:
            continue
        try:
            if isinstance(given.value, tuple):
                value: Any = tuple(find_local_model(each, names, endpoints) for each in given.value)
            else:
                value = find_local_model(given.value, names, endpoints)
        except UsageError as problem:
            raise _with_source(problem, given.source, name) from None
        values[name] = given._replace(value=value)


def _switched_on(levels: list[Values], name: str) -> int | None:
    """Return the index of the level at which an option is switched on, None when it is off."""
    at = nearest_level(levels, name)
    return at if at is not None and levels[at][name].value else None


def _find_preset(presets: Presets, chosen: Given) -> Preset:
    try:
        return presets.get(chosen.value)
    except ConfigError:
        raise
    except UsageError as problem:
        raise _with_source(problem, chosen.source, "preset") from None


def _with_source(problem: UsageError, source: Source, name: str) -> UsageError:
    """Return the error with the source of the value in front."""
    if source.level is Level.FILE:
        return ConfigError(" ".join(f"{source}: {name}: {problem.message} {problem.hint}".split()))
    return UsageError(f"{source}: {problem.message}", hint=problem.hint)


def _drop_excluded(levels: list[Values]) -> None:
    """Of two options that exclude each other keep the nearer one; UsageError when both are at one level."""
    for pair in EXCLUSIVE:
        for index, level in enumerate(levels):
            given = [name for name in pair if name in level and level[name].value is not False]
            if len(given) == len(pair):
                first, second = (level[name].source for name in pair)
                both = f"expected either {pair[0]} or {pair[1]}, not both"
                if first.level is Level.FILE:
                    raise ConfigError(f"{first}: {pair[1]}: {both}")
                raise UsageError(f"{first} and {second}: {both}")
            if given:
                for farther in levels[index + 1 :]:
                    for name in pair:
                        farther.pop(name, None)
                break
