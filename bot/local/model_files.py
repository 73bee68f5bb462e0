"""Which file a model local:NAME is: a path, a name in the models folder, or one on the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.client.model_list import ListedModel, ModelList
from bot.errors import Failure, FailureKind, MoaError, UsageError
from bot.local.gguf_header import ModelFile, ModelFileError, read_model
from bot.settings.paths import data_dir

SUFFIX = ".gguf"
STARTER = "SmolLM2-135M-Instruct"
"""The starter model's name: local:NAME, without suffix (`bot.local.starter`)."""
FETCH_STARTER = "moa-bot models fetch starter"
CONTEXT = 8192
"""Tokens of context that a model is loaded with, at most: memory grows with them."""
_MIN_PARTS = 3
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the Hugging Face hub: "owner/repo" and the path in it."""

    repo: str
    file: str

    def __str__(self) -> str:
        """Return it as it is written after local:."""
        return f"{self.repo}/{self.file}"


def downloads_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of downloaded files."""
    return data_dir(environ) / "models"


def find_downloaded(hub_file: HubFile, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file if it is on this computer already; the hub is not asked.

    MoaError for a name that no file on the hub can have.
    """
    own = downloads_dir(environ) / hub_file.repo / hub_file.file
    if own.is_file():
        return own
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - few local models are the hub's

    try:
        found = try_to_load_from_cache(hub_file.repo, hub_file.file)
    except ValueError:
        raise MoaError(f"{hub_file}: not a name that a file on the Hugging Face hub can have.") from None
    return Path(found) if isinstance(found, str) else None


def find_model_file(name: str, folder: Path | None) -> Path | HubFile:
    """Return the file that local:`name` means; `folder` is the models folder, if there is one.

    Names are also looked up in the folder of downloaded files.

    UsageError when there is no such file, and the name cannot be one on the hub.
    """
    path = Path(name).expanduser()
    folders = [each for each in (folder, downloads_dir()) if each is not None]
    for file in (path, *(each / end for each in folders for end in (path, f"{name}{SUFFIX}"))):
        if file.is_file():
            return file.absolute()
    if name == STARTER:
        raise UsageError(
            f"local:{name}: the starter model is not on this computer yet.", hint=f"Fetch it: {FETCH_STARTER}"
        )
    parts = name.split("/")
    if len(parts) >= _MIN_PARTS and name.endswith(SUFFIX) and parts[0] not in {"", ".", "..", "~"}:
        return HubFile("/".join(parts[:2]), "/".join(parts[2:]))
    where = "" if folder is None else f" (nor in {folder})"
    raise UsageError(
        f"local:{name}: there is no such file{where}.",
        hint="Write local:PATH.gguf, or local:OWNER/REPO/FILE.gguf for a file on the Hugging Face hub.",
    )


def list_models(folder: Path) -> list[tuple[str, ModelFile]]:
    """Return the models in a folder and below, by their paths in it; other files are skipped.

    UsageError when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder.", hint="Name one with --models_dir.")
    found = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        name = path.relative_to(folder).as_posix()
        later_part = "-of-" in path.stem and not path.stem.rpartition("-of-")[0].endswith("00001")
        # Names with "," or "*" cannot be written in a list of models.
        if later_part or {",", "*"}.intersection(name) or name.count("/") > _MAX_DEPTH:
            continue
        try:
            found.append((name, read_model(path, complete=False)))
        except ModelFileError:
            continue
    return found


def context_length(name: str, folder: Path | None) -> int | None:
    """Return the context that local:`name` is loaded with, in tokens; None before it is downloaded."""
    try:
        found = find_model_file(name, folder)
        path = find_downloaded(found) if isinstance(found, HubFile) else found
        return None if path is None else _context_in(path)
    except MoaError:
        return None


@lru_cache(maxsize=256)
def _context_in(path: Path) -> int:
    return load_context(read_model(path, complete=False))


def load_context(file: ModelFile) -> int:
    """Return how many tokens of context a model is loaded with."""
    return min(file.context or CONTEXT, CONTEXT)


def listed_models(folder: Path | None) -> ModelList | Failure:
    """Return the models in the folder, and those downloaded from the hub."""
    downloads = downloads_dir()
    try:
        found = list_models(folder) if folder is not None else []
        found += list_models(downloads) if downloads.is_dir() else []
    except UsageError as error:
        return Failure(FailureKind.NOT_FOUND, error.message, hint=error.hint)
    names = {name: ListedModel(name, load_context(file)) for name, file in found}
    return ModelList(tuple(names[name] for name in sorted(names, key=str.casefold)))
