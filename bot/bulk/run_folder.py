"""A run's folder: held by one process at a time, and belonging to one mixture.

`manifest.json` in it says what the run was made with, enough to make it again: models, parameters,
prompts and data by their digests, seeds, versions, options. A run of another mixture in the same
folder is refused, because its figures would be a mixture of the two.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bot import __version__
from bot.bulk.files import write_json
from bot.errors import MoaError, UsageError

if TYPE_CHECKING:
    from bot.method.plan import Plan

MANIFEST = "manifest.json"
_LIBRARIES = ("together", "datasets", "scikit-learn", "scipy")


def lock(folder: Path) -> AbstractContextManager[object]:
    """Make the folder, and lock it until the context is left or the process ends, however it ends.

    Raises MoaError when another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / "lock").acquire(timeout=0)
    except Timeout:
        raise MoaError(
            f"{folder}: another run is using this folder.", hint="Wait for it, or give another --out."
        ) from None
    except OSError as error:
        raise MoaError(f"{folder}: cannot be used as a folder for a run: {error.strerror}") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the folder's manifest, {} when it has none. Raises MoaError when it cannot be read."""
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MoaError(f"{file}: cannot be read: {error}") from error
    return manifest if isinstance(manifest, dict) else {}


def differences(kept: Mapping[str, Any], mixture: Mapping[str, Any]) -> str:
    """Return what is different in two mixtures, by name."""
    return ", ".join(name for name in {**mixture, **kept} if kept.get(name) != mixture.get(name))


def manifest_for(folder: Path, plan: Plan, benchmark: str) -> dict[str, Any]:
    """Return the folder's manifest, a new one in a new folder.

    Raises UsageError when the folder holds a run of another mixture or benchmark.
    """
    mixture, kept = mixture_of(plan), read_manifest(folder)
    if kept and (kept.get("benchmark") != benchmark or kept.get("mixture") != mixture):
        was = "" if kept.get("benchmark") == benchmark else f" ({kept.get('benchmark')})"
        different = differences(kept.get("mixture", {}), mixture)
        raise UsageError(
            f"{folder} holds a run of something else{was or f' (different: {different})'}.",
            hint="Give the same options as before, or another --out.",
        )
    return kept or {"benchmark": benchmark, "mixture": mixture, "begun": now()}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest with the versions of today. Raises MoaError when that fails."""
    write_json(folder / MANIFEST, {**manifest, "versions": _versions(), "written": now()})


_FIRST = frozenset(
    {"system", "light_aggregator", "mode", "judge", "placement", "tool_rounds", "tools_for_all"}
)
"""Fields with a default that are named at their default too, as they were in the first manifests."""


def mixture_of(plan: Plan) -> dict[str, Any]:
    """Return all of a plan that decides its answers, as JSON; instructions as SHA-256 digests."""
    mixture: dict[str, Any] = json.loads(json.dumps(asdict(plan)), object_hook=_without_tools)
    # As in the manifests of version 0.1, whose runs are continued: it had no placement but "system".
    mixture["depth"] = mixture.pop("early_stop")
    if plan.placement == "system":
        del mixture["placement"]
    if plan.on_demand:
        mixture["consult"] = _digest(plan.instructions.get("consult", ""))
    if not plan.uses_tools:
        for name in ("tools", "tool_rounds", "tools_for_all"):
            mixture.pop(name, None)
    for name in ("timeout", "round_timeout", "fallbacks", "reply_fields"):
        del mixture[name]
    for each in fields(plan):
        # What a later version can do changes nothing where it is not used: older runs do not name it.
        if each.name not in _FIRST and getattr(plan, each.name) == each.default:
            mixture.pop(each.name, None)
    mixture["instruction"] = _digest(plan.instruction)
    mode, texts, judge = (mixture.pop(name) for name in ("mode", "instructions", "judge"))
    digests = {name: _digest(text) for name, text in texts.items()}
    mixture["ranking"] = digests.pop("rank", None)
    if mode not in {"moa", "rank"}:
        mixture.update(mode=mode, instructions=digests, judge=judge)
    return mixture


def _without_tools(values: dict[str, Any]) -> dict[str, Any]:
    """Return an agent, or whatever else, without tools and further fields that are none."""
    kept = {name: value for name, value in values.items() if name != "tools" or value is not None}
    return {name: value for name, value in kept.items() if name != "extra_body" or value}


def _digest(text: str) -> str | None:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else None


def now() -> str:
    """Return the time as ISO 8601, UTC, in seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _versions() -> dict[str, str]:
    """Return the versions of the program, of Python, and of the libraries that decide figures."""
    found = {"moa-bot": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
