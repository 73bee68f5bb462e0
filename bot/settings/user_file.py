"""The user's config.toml, read strictly and split into its kinds of tables.

rounds = 2                        options by name, at the top
[endpoints.NAME]                  services: bot.settings.endpoints
[presets.NAME]                    mixtures: bot.settings.presets
[prompts.NAME]                    prompt templates: bot.settings.templates
[models."ID"]                     facts: bot.settings.catalogue
[mcp.NAME]                        servers with tools: bot.settings.mcp_servers
[web]                             what the web's tools may do: bot.settings.web
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.settings.files import Section, read_toml
from bot.settings.options import BY_NAME, FILE_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TABLES = ("endpoints", "presets", "models", "mcp", "prompts")
_WEB = "web"
PROMPT_KEYS = ("text", "system", "preset", "description")


class UserFile(NamedTuple):
    """The contents of config.toml: checked option values by name, and its tables, not yet read."""

    file: Path
    options: Mapping[str, object]
    endpoints: Mapping[str, Section]
    presets: Mapping[str, Section]
    models: Mapping[str, Section]
    mcp: Mapping[str, Section]
    prompts: Mapping[str, Section]
    web: Section | None = None

    @property
    def folder(self) -> Path:
        """The configuration folder; relative paths in the file start here."""
        return self.file.parent


def read_user_file(file: Path) -> UserFile:
    """Read config.toml; a file that does not exist is an empty one. ConfigError for any mistake."""
    root = Section(file, read_toml(file, optional=True))
    for name, option in BY_NAME.items():
        if name in root and not option.in_file:
            raise root.error(name, f"not a setting for a file; expected {option.flag} or {option.variable}")
    root.reject_unknown_keys((*FILE_OPTIONS, *_TABLES, _WEB))
    options = {name: root.option(BY_NAME[name], file.parent) for name in FILE_OPTIONS if name in root}
    endpoints, presets, models, mcp, prompts = (root.sections(name) for name in _TABLES)
    for template in prompts.values():
        template.reject_unknown_keys(PROMPT_KEYS)
    return UserFile(file, options, endpoints, presets, models, mcp, prompts, root.section(_WEB))
