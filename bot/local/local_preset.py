"""A mixture out of the models on this computer: one of each family first, the largest aggregates.

What is installed is found once and stays so while the program runs; a mixture does not change
under a conversation.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import MoaError, UsageError
from bot.messages import Agent
from bot.settings.endpoints import LOCAL, EndpointConfig
from bot.settings.preset import Preset

if TYPE_CHECKING:
    from bot.local.discovery import LocalService

MOST = 4
"""Reference models."""
ALONE = 3
"""How often the only model is asked: its answers differ, too."""
BYTES_PER_WEIGHT = 0.6
"""About what files of models take nowadays, to compare those whose number of weights is not said."""
NAME = "local"

_FAMILY = re.compile(r"[a-z]+")
_WEIGHTS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)\s*([bm])(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Installed:
    """A model on this computer. `size` in billions of weights, about; None when nobody says."""

    endpoint: str
    model: str
    family: str
    size: float | None = None


def mixture_here(endpoints: Mapping[str, EndpointConfig], folder: Path | None) -> Preset:
    """Return a mixture of the models in `folder`, or without one of the services found here.

    UsageError when there is no folder or no model in it; MoaError when no service is found.
    """
    if folder is not None:
        return _of_folder(folder)
    near = (config for config in endpoints.values() if config.on_this_computer and config.name != LOCAL)
    return _of_services(tuple((config.name, config.base_url) for config in near))


def family_of(name: str) -> str:
    """Return the family of a model by its name: "qwen/Qwen3-8B" and "qwen2.5:7b" are both "qwen"."""
    bare = name.lower().rpartition("/")[2].removeprefix("meta-")
    found = _FAMILY.search(bare)
    return found[0] if found else bare


def weights_in(text: str) -> float | None:
    """Return the billions of weights that a name or a size says, such as "8b", "0.6B" or "135M"."""
    found = _WEIGHTS.search(text)
    if not found:
        return None
    return float(found[1]) / (1 if found[2].lower() == "b" else 1000)


def choose(installed: Iterable[Installed], description: str) -> Preset:
    """Return a mixture: the largest of each family, then the next, four at most; the largest aggregates.

    There must be at least one model.
    """
    by_size = sorted(installed, key=lambda model: (-(model.size or 0), model.endpoint, model.model))
    taken: dict[str, int] = {}
    ranked: list[tuple[int, int, Installed]] = []
    for place, model in enumerate(by_size):
        taken[model.family] = taken.get(model.family, 0) + 1
        ranked.append((taken[model.family], place, model))
    references = [_agent(model) for _, _, model in sorted(ranked, key=lambda each: each[:2])[:MOST]]
    if len(references) == 1:
        references *= ALONE
    return Preset(NAME, description, "", _agent(by_size[0]), (tuple(references),), source="this computer")


def installed_at(service: LocalService) -> list[Installed]:
    """Return the models of a service that look as if they could hold a chat."""
    from bot.local.chat_models import usable

    more = _tags(service.tags)
    found = []
    for model in usable(service.model_list.models):
        family, size = more.get(model, ("", None))
        found.append(
            Installed(
                service.endpoint.name,
                model,
                family_of(family) if family else family_of(model),
                size if size is not None else weights_in(model),
            )
        )
    return found


def _tags(answer: object) -> dict[str, tuple[str, float | None]]:
    """Return family and billions of weights by model, of Ollama's answer to GET /api/tags."""
    entries = answer.get("models") if isinstance(answer, Mapping) else None
    found: dict[str, tuple[str, float | None]] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(name := entry.get("name"), str):
            continue
        details = entry.get("details")
        said = details if isinstance(details, Mapping) else {}
        family, weights, size = said.get("family"), said.get("parameter_size"), entry.get("size")
        number = weights_in(weights) if isinstance(weights, str) else None
        if number is None and isinstance(size, int) and size > 0:
            number = size / BYTES_PER_WEIGHT / 1e9
        found[name] = (family if isinstance(family, str) else "", number)
    return found


def _agent(model: Installed) -> Agent:
    return Agent(model.model, model.endpoint)


@lru_cache(maxsize=16)
def _of_folder(folder: Path) -> Preset:
    from bot.local.model_files import models_in

    found = [
        Installed(LOCAL, name, family_of(name), file.size / BYTES_PER_WEIGHT / 1e9)
        for name, file in models_in(folder)
    ]
    if not found:
        raise UsageError(
            f"{folder}: there is no model in this folder.",
            hint="Put GGUF files there, or let one be fetched: -r local:OWNER/REPO/FILE.gguf.",
        )
    return choose(found, f"Models in {folder}")


@lru_cache(maxsize=16)
def _of_services(near: tuple[tuple[str, str], ...]) -> Preset:
    """Return a mixture of what the services at these (name, address) have."""
    services = _looked([EndpointConfig(name, url) for name, url in near])
    found = [model for service in services for model in installed_at(service)]
    if found:
        names = ", ".join(dict.fromkeys(model.endpoint for model in found))
        return choose(found, f"Models of {names} on this computer")
    hint = (
        "Start Ollama, LM Studio, vLLM or llama.cpp's server, or name a folder of GGUF files:"
        " --local --models_dir FOLDER. Or have three small models fetched: --preset local."
    )
    if services:
        empty = " and ".join(service.endpoint.name for service in services)
        raise MoaError(f"{empty} runs on this computer, but has no model that can chat.", hint=hint)
    asked = ", ".join(f"{name} ({url})" for name, url in near)
    raise MoaError(f"No service answers on this computer; asked were {asked or 'none'}.", hint=hint)


def _looked(near: Sequence[EndpointConfig]) -> list[LocalService]:
    """Have the look in a thread: settings are also made while an event loop runs."""
    from bot.local.discovery import look

    found: list[LocalService] = []
    thread = threading.Thread(target=lambda: found.extend(asyncio.run(look(near, tags=True))))
    thread.start()
    thread.join()
    return found
