"""Which file a model local:NAME is: a path, a name in the models folder, or one on the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bot.client.model_list import ListedModel, ModelList
from bot.errors import Failure, FailureKind, MoaError, UsageError
from bot.local.gguf_header import ModelFile, ModelFileError, part_names, read_model
from bot.settings.paths import data_dir
from bot.text.sanitise import one_line

SUFFIX = ".gguf"
STARTER = "SmolLM2-135M-Instruct"
"""The starter model's name: local:NAME, without suffix (`bot.local.starter`)."""
FETCH_STARTER = "moa-bot models fetch starter"
CONTEXT = 8192
"""Tokens of context that a model is loaded with, at most: memory grows with them."""
_MIN_PARTS = 3
_MAX_DEPTH = 3
_SHOWN = 6
"""How many files a message names, at most."""


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

    A name without a folder may also be that of a downloaded file. UsageError when there is no such file,
    and the name cannot be one on the hub.
    """
    path = Path(name).expanduser()
    folders = [folder] if folder is not None else []
    if "/" not in name:
        folders.append(downloads_dir())
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


class FolderModels(NamedTuple):
    """The models in a folder by their paths in it, and the files that are none, with the cause."""

    models: list[tuple[str, ModelFile]]
    unusable: list[tuple[str, str]]

    def left_out(self) -> list[tuple[str, str]]:
        """Return what --local leaves out, with the cause: unusable files, and models that cannot chat."""
        return sorted(self.unusable + [(name, file.no_chat) for name, file in self.models if file.no_chat])


def model_folders(folder: Path | None) -> list[Path]:
    """Return the folders of models that exist: the models folder, and that of downloaded files."""
    return [each for each in (folder, downloads_dir()) if each is not None and each.is_dir()]


def find_models(folder: Path) -> FolderModels:
    """Return the models in a folder and below. UsageError when there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder.", hint="Name one with --models_dir.")
    found = FolderModels([], [])
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        name = path.relative_to(folder).as_posix()
        first = path.with_name(part_names(path.name)[0])
        if name.count("/") > _MAX_DEPTH or (first != path and first.exists()):
            continue
        if {",", "*"}.intersection(name):
            found.unusable.append((name, "its name has a character that separates models: rename it"))
            continue
        try:
            found.models.append((name, read_model(path)))
        except ModelFileError as error:
            found.unusable.append((name, error.cause))
    return found


def list_left_out(found: list[tuple[str, str]]) -> str:
    """Return a list in words of what is left out, for a message of one line."""
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(one_line(f"{name} ({cause})") for name, cause in found[:_SHOWN]) + more


def context_length(name: str, folder: Path | None) -> int | None:
    """Return the context that local:`name` is loaded with, in tokens; None before it is downloaded."""
    file = _known_file(name, folder)
    return None if file is None else load_context(file)


def shows_tools(name: str, folder: Path | None) -> bool | None:
    """Return whether the template of local:`name` shows tools to it; None before it is downloaded."""
    file = _known_file(name, folder)
    return None if file is None else file.shows_tools


def _known_file(name: str, folder: Path | None) -> ModelFile | None:
    try:
        found = find_model_file(name, folder)
        path = find_downloaded(found) if isinstance(found, HubFile) else found
        return None if path is None else read_model(path)
    except MoaError:
        return None


def load_context(file: ModelFile) -> int:
    """Return how many tokens of context a model is loaded with."""
    return min(file.context or CONTEXT, CONTEXT)


def listed_models(folder: Path | None) -> ModelList | Failure:
    """Return the models in the folder, and those downloaded from the hub."""
    downloads = downloads_dir()
    try:
        found = find_models(folder).models if folder is not None else []
        found += find_models(downloads).models if downloads.is_dir() else []
    except UsageError as error:
        return Failure(FailureKind.NOT_FOUND, error.message, hint=error.hint)
    names = {name: ListedModel(name, load_context(file), kind=file.no_chat) for name, file in found}
    return ModelList(tuple(names[name] for name in sorted(names, key=str.casefold)))
