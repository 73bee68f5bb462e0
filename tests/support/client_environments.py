"""Environments of real clients: one for each, made when it is needed, and kept in the user's cache folder.

They install gigabytes. So a client is tried only if MOA_BOT_TEST_CLIENTS names it (a comma-separated list
of names, or "all"), apart from those that the tests' own environment has.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

SCRIPTS = Path(__file__).parents[1] / "clients" / "scripts"
VARIABLE = "MOA_BOT_TEST_CLIENTS"


@dataclass(frozen=True)
class Client:
    """A client: its script, and the packages of PyPI or npm that it needs (none: it is installed here)."""

    script: str
    packages: tuple[str, ...] = ()

    @property
    def on_node(self) -> bool:
        return self.script.endswith(".mjs")

    def command(self) -> list[str]:
        """Return the command that runs its script in its environment. Skips a test that is not asked for."""
        name = Path(self.script).stem
        if not self.packages:
            return [sys.executable, str(SCRIPTS / self.script)]
        wanted = os.environ.get(VARIABLE, "").replace(" ", "").split(",")
        if not {name, "all"} & set(wanted):
            pytest.skip(f"{VARIABLE} does not name {name}: its packages are installed only if asked for")
        if self.on_node and shutil.which("npm") is None:
            pytest.skip("there is no npm here")
        folder = self._environment(name)
        if self.on_node:
            # Node looks for packages beside the script.
            script = shutil.copy(SCRIPTS / self.script, folder)
            return ["node", str(script)]
        if self.script.endswith(".sh"):
            return ["sh", str(SCRIPTS / self.script)]
        return [str(folder / "bin" / "python"), str(SCRIPTS / self.script)]

    def path(self) -> str:
        """Return the PATH with the programs of its environment first."""
        folder = _cache(Path(self.script).stem, self.packages) / "bin"
        return f"{folder}{os.pathsep}{os.environ['PATH']}"

    def _environment(self, name: str) -> Path:
        folder = _cache(name, self.packages)
        done = folder / "installed"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if self.on_node:
                npm = shutil.which("npm") or "npm"
                _install([npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *self.packages])
            else:
                _install([sys.executable, "-m", "venv", str(folder)])
                _install([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *self.packages])
            done.touch()
        return folder


def _cache(name: str, packages: Sequence[str]) -> Path:
    """Return the folder of an environment: another one for other packages."""
    mark = hashlib.sha256(repr((sys.version_info[:2], packages)).encode()).hexdigest()[:8]
    return Path(platformdirs.user_cache_dir("moa-bot-test-clients", appauthor=False)) / f"{name}-{mark}"


def _install(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}"[-4000:])
