"""What a run was made with, as `manifest.json` in its folder: enough to make it again.

Models, parameters, prompts and data by their digests, seeds, versions, options. A folder belongs
to one mixture: a run of another in the same folder is refused, because its figures would be a
mixture of the two. Written by the stages; nothing here runs anything.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.errors import MoaError, UsageError

if TYPE_CHECKING:
    from bot.method.plan import Plan

FILE = "manifest.json"
_LIBRARIES = ("together", "datasets", "scikit-learn", "scipy")


def mixture_of(plan: Plan) -> dict[str, Any]:
    """Return all of a plan that decides its answers, as JSON; instructions as digests."""
    fields = asdict(plan)
    for name in ("timeout", "patience", "fallbacks"):
        fields.pop(name, None)
    for name in ("instruction", "ranking"):
        fields[name] = sha256(fields[name]) if fields.get(name) else None
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain


def sha256(text: str) -> str:
    """Return the digest of a text in 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the program, of Python, and of the libraries that decide figures."""
    from importlib.metadata import PackageNotFoundError, version

    from bot import __version__

    found = {"moa-bot": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read(folder: Path) -> dict[str, Any]:
    """Return the folder's manifest, {} when it has none. MoaError when it cannot be read."""
    file = folder / FILE
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MoaError(f"{file}: cannot be read: {error}") from error
    return manifest if isinstance(manifest, dict) else {}


def claim(folder: Path, mixture: Mapping[str, Any], benchmark: str) -> dict[str, Any]:
    """Return the folder's manifest for this mixture, a new one in a new folder.

    UsageError when the folder holds a run of another mixture or benchmark.
    """
    kept = read(folder)
    if kept and (kept.get("benchmark") != benchmark or kept.get("mixture") != mixture):
        was = "" if kept.get("benchmark") == benchmark else f" ({kept.get('benchmark')})"
        different = ", ".join(name for name in mixture if kept.get("mixture", {}).get(name) != mixture[name])
        raise UsageError(
            f"{folder} holds a run of something else{was or f' (different: {different})'}.",
            hint="Give the same options as before, or another --out.",
        )
    return kept or {"benchmark": benchmark, "mixture": dict(mixture), "begun": now()}


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, whole or not at all. MoaError when that fails."""
    write_json(folder / FILE, {**manifest, "versions": versions(), "written": now()})


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all. MoaError when that fails."""
    text = json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(text + b"\n")
        beside.replace(path)
    except OSError as error:
        raise MoaError(f"{path}: cannot be written: {error.strerror}") from error


def now() -> str:
    """Return the time as ISO 8601, UTC, in seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
