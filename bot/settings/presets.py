"""Presets: whole mixtures by name, shipped or the user's own.

A preset is a file presets/NAME.toml, or a table [presets.NAME] in config.toml; the user's replace
shipped ones of the same name. `bot.settings.preset` reads them; what the command line
changes of one is decided in `bot.app.make_plan`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.settings import paths
from bot.settings.endpoints import DEMO, read_endpoints
from bot.settings.files import Section, read_toml
from bot.settings.preset import Preset, read_preset
from bot.settings.user_file import read_user_file
from bot.text.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from bot.settings.catalogue import Catalogue
    from bot.settings.endpoints import EndpointConfig
    from bot.settings.user_file import UserFile


class Presets:
    """All presets by name; each is read when it is asked for."""

    def __init__(self, own: Mapping[str, Section], folder: Path, endpoints: Collection[str]) -> None:
        """Take the user's tables, the folder of the user's files, and the names of endpoints."""
        self._own = own
        self._endpoints = endpoints
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Return the names, "default" first, the others in alphabetical order."""
        names = {*self._own, *_stems(self._folder), *_stems(paths.shipped_file("presets"))}
        return tuple(sorted(names, key=lambda name: (name != "default", name)))

    def get(self, name: str) -> Preset:
        """Return a preset.

        UsageError, with the nearest name and the list, when there is none of that name; ConfigError
        for a mistake in it.
        """
        if name in self._own:
            return read_preset(name, self._own[name], self._endpoints)
        for folder in (self._folder, paths.shipped_file("presets")):
            # Names are compared with the folder's list, so that none can be a path out of it.
            if name in _stems(folder):
                file = folder / f"{name}.toml"
                return read_preset(name, Section(file, read_toml(file)), self._endpoints)
        shown = name if name.isprintable() else "?"
        hint = did_you_mean(name, self.names())
        raise UsageError(f'no preset "{shown}".', hint=f"{hint}Presets: {', '.join(self.names())}.")

    def all(self) -> tuple[Preset, ...]:
        """Return every preset, in the order of `names`."""
        return tuple(self.get(name) for name in self.names())


def _stems(folder: Path) -> frozenset[str]:
    return frozenset(file.stem for file in folder.glob("*.toml"))


def load_presets(user: UserFile, endpoints: Mapping[str, EndpointConfig]) -> Presets:
    """Return the presets of config.toml and its folder. ConfigError for a mistake in config.toml."""
    presets = Presets(user.presets, user.folder / "presets", (*endpoints, DEMO))
    for name in user.presets:
        presets.get(name)  # a mistake is an error even while its preset is not in use
    return presets


def list_presets(
    environ: Mapping[str, str] = os.environ, config_file: Path | None = None
) -> tuple[Preset, ...]:
    """Return every preset there is, the default first. ConfigError for a mistake in one."""
    user = read_user_file(config_file or paths.config_file(environ))
    return load_presets(user, read_endpoints(user.endpoints, environ)).all()


def retired(preset: Preset, catalogue: Catalogue, endpoint: str = "together") -> tuple[tuple[str, ...], str]:
    """Return the preset's models that Together no longer serves, and a sentence about them.

    `endpoint` is the default endpoint in force. Nothing retired, or all of it asked elsewhere,
    gives ((), "").
    """
    asked = dict.fromkeys((agent.endpoint or endpoint, agent.model) for agent in preset.agents())
    gone = tuple(
        model
        for service, model in asked
        if service == "together" and (facts := catalogue.facts(model)) and facts.status == "retired"
    )
    if not gone:
        return (), ""
    return gone, (
        f"Preset {preset.name}: Together no longer serves {len(gone)} of its {len(asked)} models"
        f" ({', '.join(gone)}). It can still run where they are served: --preset {preset.name}"
        " --endpoint NAME; for models served today use --preset default."
    )
