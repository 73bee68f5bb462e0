"""Which file a model named local:… is: a path, a name in the folder of models, or one on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.errors import MoaError, UsageError
from bot.local.gguf import ModelFile, ModelFileError, read_model

SUFFIX = ".gguf"
CONTEXT = 8192
"""Tokens of context that a model is loaded with, if it knows so many: memory grows with them."""
_LEAST_PARTS = 3
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the Hugging Face hub: "owner/repo" and the path in it."""

    repo: str
    file: str

    def __str__(self) -> str:
        """Return it the way it is written behind local:."""
        return f"{self.repo}/{self.file}"


def find(name: str, folder: Path | None) -> Path | HubFile:
    """Return the file that local:`name` means; `folder` is the folder of models, if there is one.

    UsageError when it is none, and cannot be one on the hub.
    """
    path = Path(name).expanduser()
    tried = [path] if folder is None else [path, folder / path, folder / f"{name}{SUFFIX}"]
    for file in tried:
        if file.is_file():
            return file.absolute()
    parts = name.split("/")
    if len(parts) >= _LEAST_PARTS and name.endswith(SUFFIX) and parts[0] not in {"", ".", "..", "~"}:
        return HubFile("/".join(parts[:2]), "/".join(parts[2:]))
    where = "" if folder is None else f" (nor in {folder})"
    raise UsageError(
        f"local:{name}: there is no such file{where}.",
        hint="Say local:PATH.gguf, or local:OWNER/REPO/FILE.gguf for one of the Hugging Face hub.",
    )


def models_in(folder: Path) -> list[tuple[str, ModelFile]]:
    """Return the models in a folder by their names in it, and those below it; what is none is passed over.

    UsageError when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder.", hint="Name one with --models_dir.")
    found = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        name = path.relative_to(folder).as_posix()
        later_part = "-of-" in path.stem and not path.stem.rpartition("-of-")[0].endswith("00001")
        # Names with these cannot be written in a list of models.
        if later_part or {",", "*"}.intersection(name) or name.count("/") > _DEEPEST:
            continue
        try:
            found.append((name, read_model(path, whole=False)))
        except ModelFileError:
            continue
    return found


def context_of(name: str, folder: Path | None) -> int | None:
    """Return the context that local:`name` is loaded with, in tokens; None while its file is not here."""
    from bot.local.hub import fetched

    try:
        found = find(name, folder)
        path = fetched(found) if isinstance(found, HubFile) else found
        return None if path is None else _context_in(path)
    except MoaError:
        return None


@lru_cache(maxsize=256)
def _context_in(path: Path) -> int:
    return context_for(read_model(path, whole=False))


def context_for(file: ModelFile) -> int:
    """Return how many tokens of context a model is loaded with."""
    return min(file.context or CONTEXT, CONTEXT)
