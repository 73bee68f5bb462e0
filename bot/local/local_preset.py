"""A mixture of the models on this computer: one of each family first, the largest aggregates.

The models are looked up once per run, so that a mixture does not change during a conversation.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bot.client.model_list import ListedModel
from bot.errors import MoaError, UsageError
from bot.local.engine_process import is_installed
from bot.local.model_files import (
    FETCH_STARTER,
    STARTER,
    SUFFIX,
    downloads_dir,
    find_models,
    list_left_out,
    model_folders,
)
from bot.messages import Agent
from bot.settings.endpoints import LOCAL, EndpointConfig
from bot.settings.local_models import LocalModels, runs_elsewhere
from bot.settings.preset import Preset
from bot.settings.presets import list_presets
from bot.text.names import family_of

if TYPE_CHECKING:
    from bot.local.discovery import LocalService

MAX_REFERENCES = 4
SINGLE_MODEL_CALLS = 3
"""How often the only model is asked: its answers differ, too."""
BYTES_PER_PARAMETER = 0.6
"""Roughly what today's model files take, to compare models whose parameter count is not given."""
NAME = "local"
STARTER_PRESET = "starter"
TINY = 0.4
"""Billions of parameters; a model with fewer is tiny."""
TINY_VALUES = {"temperature": 0.3, "placement": "system"}

# Most services do not give a model's kind; by their names, these hold no chat.
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|tts|dall-e|moderation|transcri|realtime|image|sora", re.IGNORECASE
)
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)\s*([bm])(?![a-z0-9])", re.IGNORECASE)


class NoLocalModelError(MoaError):
    """--local, and no service on this computer has a model, nor was one downloaded."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on this computer. `parameters` in billions, approximate; None when unknown."""

    endpoint: str
    model: str
    family: str
    parameters: float | None = None


def find_local_models(endpoints: Mapping[str, EndpointConfig], folder: Path | None) -> LocalModels:
    """Return the models in `folder`, or without one of the services on this computer, and a mixture.

    Where no service has a model, it is a mixture of the downloaded files; else these can be named as
    well. UsageError when there is no such folder or no model in it; NoLocalModelError when there is no
    model at all.
    """
    if folder is not None:
        return _of_folder(folder)
    local = (config for config in endpoints.values() if config.runs_here and config.name != LOCAL)
    return _of_services(tuple((config.name, config.base_url) for config in local))


def chat_models(models: Iterable[ListedModel]) -> list[str]:
    """Return the names of the models that look as if they could hold a chat."""
    return [
        model.id
        for model in models
        if model.chats and not _NO_CHAT.search(model.id) and not {",", "*"}.intersection(model.id)
    ]


def parameters_in(text: str) -> float | None:
    """Return the billions of parameters in a name or a size, such as "8b", "0.6B" or "135M"."""
    found = _PARAMETERS.search(text)
    if not found:
        return None
    return float(found[1]) / (1 if found[2].lower() == "b" else 1000)


def make_preset(models: Iterable[InstalledModel], description: str) -> Preset:
    """Return a mixture of at least one model: the largest of each family, then the second largest.

    At most `MAX_REFERENCES` models answer; the largest aggregates. If that is a tiny one, all are asked as
    in the preset of the starter model: tiny models ramble at higher temperatures, and repeat what their
    last message ends with, the instruction included.
    """
    by_size = sorted(models, key=lambda model: (-(model.parameters or 0), model.endpoint, model.model))
    in_family: dict[str, int] = {}
    ranked: list[tuple[int, int, InstalledModel]] = []
    for place, model in enumerate(by_size):
        in_family[model.family] = in_family.get(model.family, 0) + 1
        ranked.append((in_family[model.family], place, model))
    agents = [Agent(model.model, model.endpoint) for _, _, model in sorted(ranked, key=lambda each: each[:2])]
    references = agents[:MAX_REFERENCES] if len(agents) > 1 else agents * SINGLE_MODEL_CALLS
    largest = by_size[0].parameters
    values = TINY_VALUES if largest is not None and largest < TINY else {}
    return Preset(
        NAME, description, "", agents[0], (tuple(references),), values=values, source="this computer"
    )


def installed_models(service: LocalService) -> list[InstalledModel]:
    """Return the models of a service that look as if they could hold a chat."""
    details = _ollama_details(service.tags)
    found = []
    for name in chat_models(service.model_list.models):
        if runs_elsewhere(name):
            continue
        family, parameters = details.get(name, ("", None))
        if parameters is None:
            parameters = parameters_in(name)
        found.append(InstalledModel(service.endpoint.name, name, family_of(family or name), parameters))
    return found


def _ollama_details(tags: object) -> dict[str, tuple[str, float | None]]:
    """Return (family, billions of parameters) by model, from Ollama's answer to GET /api/tags."""
    entries = tags.get("models") if isinstance(tags, Mapping) else None
    found: dict[str, tuple[str, float | None]] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(name := entry.get("name"), str):
            continue
        details = entry.get("details")
        details = details if isinstance(details, Mapping) else {}
        family, parameters, size = details.get("family"), details.get("parameter_size"), entry.get("size")
        number = parameters_in(parameters) if isinstance(parameters, str) else None
        if number is None and isinstance(size, int) and size > 0:
            number = size / BYTES_PER_PARAMETER / 1e9
        found[name] = (family if isinstance(family, str) else "", number)
    return found


@lru_cache(maxsize=16)
def _of_folder(folder: Path) -> LocalModels:
    found = _files_in(folder)
    left_out = _left_out(folder)
    if not found:
        none = (
            f"no model in it can chat: {list_left_out(left_out)}"
            if left_out
            else "there is no model in this folder"
        )
        raise UsageError(
            f"{folder}: {none}.",
            hint="Put GGUF files there, or have one downloaded: -r local:OWNER/REPO/FILE.gguf.",
        )
    return _local_models(found, f"Models in {folder}", folder)


def _files_in(folder: Path) -> list[InstalledModel]:
    """Return the models in a folder that can chat."""
    left_out = dict(_left_out(folder))
    return [
        InstalledModel(LOCAL, name, family_of(name), file.size / BYTES_PER_PARAMETER / 1e9)
        for name, file in find_models(folder).models
        if name not in left_out
    ]


def _left_out(folder: Path) -> list[tuple[str, str]]:
    """Return the files in a folder that are not asked, with the cause; a name may say it, too."""
    found = find_models(folder)
    known = dict(found.left_out())
    named = [name for name, _ in found.models if _NO_CHAT.search(name.rpartition("/")[2])]
    return sorted({**dict.fromkeys(named, "by its name no chat model"), **known}.items())


def _downloaded() -> list[InstalledModel]:
    """Return the downloaded models, the starter model only when there are no others."""
    downloads = downloads_dir()
    found = _files_in(downloads) if downloads.is_dir() and is_installed() else []
    return [model for model in found if model.model != f"{STARTER}{SUFFIX}"] or found


def _local_models(
    found: Sequence[InstalledModel], description: str, folder: Path | None = None
) -> LocalModels:
    """Return a mixture of what was found; `folder` is where, if it is one of files."""
    named = [f"{model.endpoint}:{model.model}" for model in found]
    named += [f"{LOCAL}:{name}" for each in model_folders(folder) for name, _ in find_models(each).models]
    left_out = list_left_out(_left_out(folder)) if folder is not None else ""
    return LocalModels(make_preset(found, description), tuple(dict.fromkeys(named)), left_out)


def _say(line: str) -> None:
    # Settings are made before there is a view that could show it.
    print(f"moa-bot: {line}", file=sys.stderr, flush=True)


@lru_cache(maxsize=16)
def _of_services(addresses: tuple[tuple[str, str], ...]) -> LocalModels:
    """Return the models of the services at these (name, base URL)."""
    from bot.local.discovery import find_services  # noqa: PLC0415 - imports httpx, which a folder of models does not need

    endpoints = [EndpointConfig(name, url) for name, url in addresses]
    # In a thread, because settings are also made while an event loop runs.
    with ThreadPoolExecutor(1) as thread:
        services = thread.submit(asyncio.run, find_services(endpoints, tags=True, say=_say)).result()
    found = [model for service in services for model in installed_models(service)]
    if found:
        names = ", ".join(dict.fromkeys(model.endpoint for model in found))
        return _local_models(found, f"Models of {names} on this computer")
    if downloaded := _downloaded():
        local_models = _local_models(downloaded, "Models downloaded to this computer", downloads_dir())
        if {model.model for model in downloaded} == {f"{STARTER}{SUFFIX}"}:
            # So small a model needs the roles and limits of its own preset.
            own = next(preset for preset in list_presets() if preset.name == STARTER_PRESET)
            return local_models._replace(preset=own)
        return local_models
    hint = (
        "Start Ollama, LM Studio, vLLM or llama.cpp's server, or name a folder of GGUF files:"
        " --local --models_dir FOLDER.\n"
        f"Or have models downloaded: three small ones with --preset local, or a tiny one: {FETCH_STARTER}"
    )
    if services:
        empty = " and ".join(service.endpoint.name for service in services)
        if any(service.loading for service in services):
            raise NoLocalModelError(
                f"{empty} is still loading its model.", hint="Try again when it is loaded."
            )
        raise NoLocalModelError(f"{empty} runs on this computer, but has no model that can chat.", hint=hint)
    asked = ", ".join(f"{name} ({url})" for name, url in addresses)
    raise NoLocalModelError(f"No service answers on this computer; asked were {asked or 'none'}.", hint=hint)
