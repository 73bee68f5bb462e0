"""Paths of the user's files, and of the settings that come with the program. Nothing is created here.

MOA_BOT_HOME set     config.toml, presets/, conversations.db, logs/ … all in that one folder
else                 the platform's own folders for settings and for data
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import MoaError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME_VARIABLE = "MOA_BOT_HOME"
INSTRUCTION = "aggregate.md"
"""The aggregator's instruction: shipped in `config/`, or the user's own beside config.toml."""
_NAME = "moa-bot"


def home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that MOA_BOT_HOME names, made absolute; None when it is not set."""
    text = environ.get(HOME_VARIABLE, "").strip()
    if not text:
        return None
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        return Path(text).absolute()


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of config.toml, aggregate.md and presets/."""
    if folder := home(environ):
        return folder
    from platformdirs import user_config_path  # noqa: PLC0415 - with MOA_BOT_HOME the start goes without it

    return user_config_path(_NAME, appauthor=False)


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of conversations, logs and the prompt's history."""
    if folder := home(environ):
        return folder
    from platformdirs import user_data_path  # noqa: PLC0415 - with MOA_BOT_HOME the start goes without it

    return user_data_path(_NAME, appauthor=False)


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's config.toml, which need not exist."""
    return config_dir(environ) / "config.toml"


def store_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the database of conversations."""
    return data_dir(environ) / "conversations.db"


def responses_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the database of the service's responses."""
    return data_dir(environ) / "responses.db"


def log_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the current log file; older ones are beside it."""
    return data_dir(environ) / "logs" / "moa-bot.log"


def prompt_history_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of the prompts that the arrow keys recall."""
    return data_dir(environ) / "prompt_history"


def shipped_file(name: str, package: Path = Path(__file__).parent.parent) -> Path:
    """Return the path of `name` in the settings that come with the program.

    In an installed wheel they are in the package's folder `_config`, in a checkout or an editable
    install in the folder `config` beside the package. MoaError when they are in neither.
    """
    for folder in (package / "_config", package.parent / "config"):
        if (folder / "defaults.toml").is_file():
            return folder / name
    raise MoaError(
        "The program's own settings (config/) are missing.", hint="Install moa-bot anew; it is not complete."
    )
