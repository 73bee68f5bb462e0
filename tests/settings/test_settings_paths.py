"""Folders: one for everything, the platform's own, and the settings that come with the program."""

from __future__ import annotations

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import platformdirs
import pytest
from running import LIMIT

import bot
from bot.errors import MoaError
from bot.settings import paths


def test_one_folder_for_everything(tmp_path: Path) -> None:
    """With MOA_BOT_HOME everything lies in it, config.toml directly; nothing is created."""
    home = tmp_path / "new"
    environ = {"MOA_BOT_HOME": str(home)}
    assert paths.config_file(environ) == home / "config.toml"
    assert paths.config_dir(environ) == paths.data_dir(environ) == home
    assert paths.store_file(environ) == home / "conversations.db"
    assert paths.log_file(environ) == home / "logs" / "moa-bot.log"
    assert paths.prompt_history_file(environ) == home / "prompt_history"
    assert not home.exists()


def test_a_relative_home_is_made_absolute(tmp_path: Path) -> None:
    """A relative MOA_BOT_HOME starts at the working folder, and stays put when that changes."""
    with chdir(tmp_path):
        assert paths.home({"MOA_BOT_HOME": "here"}) == tmp_path / "here"
    assert paths.home({"MOA_BOT_HOME": "~"}) == Path.home()


@pytest.mark.parametrize("environ", [{}, {"MOA_BOT_HOME": ""}, {"MOA_BOT_HOME": " "}])
def test_the_platforms_own_folders(environ: dict[str, str]) -> None:
    """Without MOA_BOT_HOME the folders are the platform's."""
    assert paths.home(environ) is None
    assert paths.config_dir(environ) == platformdirs.user_config_path("moa-bot", appauthor=False)
    assert paths.data_dir(environ) == platformdirs.user_data_path("moa-bot", appauthor=False)


def test_shipped_settings_of_this_checkout() -> None:
    """The settings are found from the package that runs, and are all there."""
    for name in ("defaults.toml", "endpoints.toml", "models.toml", "aggregate.md", "presets/default.toml"):
        assert paths.shipped_file(name).is_file()


def test_shipped_settings_wherever_they_are(tmp_path: Path) -> None:
    """Beside the package in a checkout; inside it in a wheel, which goes first; else a plain error."""
    package = tmp_path / "bot"
    package.mkdir()
    with pytest.raises(MoaError, match="are missing"):
        paths.shipped_file("x.toml", package)
    for folder in (tmp_path / "config", package / "_config"):
        folder.mkdir()
        (folder / "defaults.toml").touch()
        assert paths.shipped_file("x.toml", package) == folder / "x.toml"


@pytest.mark.slow
def test_settings_import_nothing_heavy() -> None:
    """On the way to the prompt, settings load none of the slow libraries."""
    code = (
        "import sys\n"
        "from bot.app.make_plan import make_plan\n"
        "from bot.settings.resolve import resolve\n"
        "make_plan(resolve({}, environ={'MOA_BOT_HOME': sys.argv[1]}))\n"
        "heavy = {'together', 'typer', 'rich', 'prompt_toolkit', 'loguru', 'markdown_it', 'platformdirs',"
        " 'difflib', 'bot.settings.show'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "/nowhere"],
        cwd=Path(bot.__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout.strip() == "[]"
