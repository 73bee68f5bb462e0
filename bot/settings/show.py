"""What `moa-bot config show` shows: every value and its source, never a key. The caller prints it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import KeyMissingError
from bot.settings.model_names import join_models
from bot.settings.option import Kind
from bot.settings.options import OPTIONS
from bot.settings.paths import INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.settings.endpoints import EndpointConfig
    from bot.settings.settings import Settings


class SettingRow(NamedTuple):
    """One line: a key, its value as text on one line, and the value's source."""

    key: str
    value: str
    source: str


def config_rows(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[SettingRow]:
    """Return a row for each option in the order of their table, then for services and files."""
    rows = []
    for option in OPTIONS:
        value = settings.value(option.name)
        if option.kind is Kind.MODELS and isinstance(value, tuple):
            value = join_models(value)
        rows.append(SettingRow(option.name, _line(value), str(settings.sources[option.name])))
    for name, endpoint in settings.endpoints.items():
        rows.append(SettingRow(f"endpoints.{name}", _service(endpoint, environ), endpoint.source))
    instruction = settings.folder / INSTRUCTION
    own = instruction.is_file()
    rows.append(
        SettingRow("instruction", str(instruction) if own else INSTRUCTION, "file" if own else "defaults")
    )
    return rows


def config_json(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Return the same for JSON: config_file, options {name: {value, source}}, endpoints."""
    options = {
        option.name: {
            "value": _plain(settings.value(option.name)),
            "source": str(settings.sources[option.name]),
        }
        for option in OPTIONS
    }
    endpoints = {
        name: {
            "base_url": endpoint.base_url,
            "key": _key(endpoint, environ),
            "key_env": endpoint.key_env,
            "headers": sorted(endpoint.headers),
            "source": endpoint.source,
        }
        for name, endpoint in settings.endpoints.items()
    }
    return {"config_file": str(settings.config_file), "options": options, "endpoints": endpoints}


def _key(endpoint: EndpointConfig, environ: Mapping[str, str]) -> str:
    try:
        found = bool(endpoint.key_source(environ))
    except KeyMissingError:
        return "not usable"
    if found:
        return "set"
    return "not set" if endpoint.key_env and not endpoint.on_this_computer else "not needed"


def _service(endpoint: EndpointConfig, environ: Mapping[str, str]) -> str:
    variable = f" ({endpoint.key_env})" if endpoint.key_env else ""
    parts = [endpoint.base_url or "(not running)", f"key {_key(endpoint, environ)}{variable}"]
    if endpoint.headers:
        parts.append(f"headers {', '.join(sorted(endpoint.headers))}")
    return ", ".join(parts)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _line(value: object) -> str:
    match value:
        case None | ():
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(str(item) for item in value)
        case _:
            return " ".join(str(value).split()) or '""'
