"""What the tests of settings share: a home folder of their own, and a short way to resolve in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.settings.resolve import resolve
from bot.settings.settings import Settings


class Home:
    """A user's folder with its environment; nothing of the real one is seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.toml"

    def config(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def preset(self, name: str, text: str) -> Path:
        file = self.folder / "presets" / f"{name}.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def resolve(
        self,
        cli: Mapping[str, object] | None = None,
        outer: Mapping[str, object] | None = None,
        /,
        **environ: str,
    ) -> Settings:
        return resolve(cli or {}, outer, {"MOA_BOT_HOME": str(self.folder), **environ})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home."""
    return Home(tmp_path)
