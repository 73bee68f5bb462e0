"""The settings in force, with the models on this computer for --local."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bot.local.local_preset import find_local_models
from bot.settings.resolve import resolve
from bot.settings.settings import Settings


def load_settings(
    cli: Mapping[str, object],
    outer: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> Settings:
    """Return the settings in force; parameters and errors are those of `bot.settings.resolve.resolve`.

    With --local also MoaError, when no service on this computer answers.
    """
    return resolve(cli, outer, environ, config_file, find_local_models)
