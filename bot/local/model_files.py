"""Which file a model local:NAME is: a path, a name in the models folder, or one on the hub."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from bot.errors import MoaError, UsageError
from bot.local.gguf_header import ModelFile, ModelFileError, read_model
from bot.local.hub import HubFile, find_downloaded

SUFFIX = ".gguf"
CONTEXT = 8192
"""Tokens of context that a model is loaded with, at most: memory grows with them."""
_MIN_PARTS = 3
_MAX_DEPTH = 3


def find_model_file(name: str, folder: Path | None) -> Path | HubFile:
    """Return the file that local:`name` means; `folder` is the models folder, if there is one.

    UsageError when there is no such file, and the name cannot be one on the hub.
    """
    path = Path(name).expanduser()
    candidates = [path] if folder is None else [path, folder / path, folder / f"{name}{SUFFIX}"]
    for file in candidates:
        if file.is_file():
            return file.absolute()
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
