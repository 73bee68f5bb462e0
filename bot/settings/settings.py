"""Settings: every option's value, typed, and its source.

Made by `bot.settings.resolve`; nothing is decided here. `endpoint()` returns a service with its key;
`bot.app.make_plan` makes the mixture's plan of the settings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from bot.settings.endpoints import (
    LOCAL,
    LOCAL_SERVICES,
    SHIPPED,
    TOGETHER,
    EndpointConfig,
    endpoint_with_key,
    unknown_endpoint,
)
from bot.settings.model_names import NONE
from bot.settings.options import BY_NAME
from bot.settings.presets import retired
from bot.settings.web import WebConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.messages import Endpoint, Mode
    from bot.settings.catalogue import Catalogue
    from bot.settings.mcp_servers import McpServer
    from bot.settings.preset import Preset
    from bot.settings.presets import Presets


_STORED = (
    "preset",
    "aggregator",
    "reference_models",
    "rounds",
    "temperature",
    "max_tokens",
    "reference_max_tokens",
    "min_references",
    "mode",
    "judge",
    "placement",
    "order",
    "fallbacks",
    "deadline",
    "quorum",
    "grace",
    "early_stop",
    "adaptive",
    "agreement",
    "light_aggregator",
    "tools",
    "tool_rounds",
    "tools_for",
    "when",
    "multi_turn",
    "endpoint",
    "seed",
    "schema",
)


class Level(IntEnum):
    """Where a value can be given; the nearest level, the smallest number, wins."""

    COMMAND = 0
    OUTER = 1
    ENVIRONMENT = 2
    FILE = 3
    PRESET = 4
    DEFAULTS = 5


class Source(NamedTuple):
    """Where a value was given, such as "option --rounds" or "preset moa"; `str` returns the text."""

    level: Level
    text: str

    def __str__(self) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """The values of all options, their sources, and the services, models and presets they refer to.

    Two fields have another name than the option: `continue_` (--continue) and `default_endpoint`
    (--endpoint). `preset` is the whole preset. `reference_models` has one name for each slot of the
    first layer; the layers themselves are in the plan (`bot.app.make_plan`). `sources` has the source
    of each option by the option's name. `folder` is the configuration folder. `mcp_servers` are those of
    config.toml. `local_models` are the models found on this computer, as "ENDPOINT:MODEL", and
    `local_left_out` lists in words the files that cannot chat; () and "" without --local.
    """

    preset: Preset
    aggregator: str
    reference_models: tuple[str, ...]
    rounds: int
    temperature: float
    max_tokens: int
    reference_max_tokens: int | None
    min_references: int
    mode: Mode
    judge: str | None
    placement: str
    order: str
    fallbacks: tuple[str, ...]
    deadline: float | None
    quorum: float | None
    grace: float
    early_stop: bool | Literal["shadow"]
    adaptive: bool
    agreement: float
    light_aggregator: str | None
    tools: tuple[str, ...]
    tool_rounds: int
    tools_for: Literal["references", "all"]
    when: Literal["always", "auto", "never"]
    allow: tuple[str, ...]
    multi_turn: bool
    system: str | None
    system_file: Path | None
    schema: str | None
    file: tuple[Path, ...]
    continue_: bool
    resume: str | None
    save: bool
    stream: bool
    plain: bool
    quiet: bool
    verbose: bool
    theme: str
    notify: str
    vi: bool
    json: bool
    null: bool
    demo: bool
    local: bool
    starter: bool
    models_dir: Path | None
    default_endpoint: str
    mcp_config: tuple[Path, ...]
    num_proc: int | None
    seed: int | None
    rate: float | None
    max_cost: float | None
    timeout: float

    preset_changed: bool
    sources: Mapping[str, Source] = field(repr=False)
    endpoints: Mapping[str, EndpointConfig] = field(repr=False)
    catalogue: Catalogue = field(repr=False)
    presets: Presets = field(repr=False)
    config_file: Path
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict, repr=False)
    web: WebConfig = field(default_factory=WebConfig, repr=False)
    local_models: tuple[str, ...] = ()
    local_left_out: str = ""

    @property
    def folder(self) -> Path:
        """The configuration folder."""
        return self.config_file.parent

    @property
    def preset_label(self) -> str:
        """The preset's name, with a star when the mixture is not just as in the preset."""
        return self.preset.name + ("*" if self.preset_changed else "")

    def value(self, name: str) -> object:
        """Return an option's value by the option's name; of the preset, its name."""
        return self.preset.name if name == "preset" else getattr(self, BY_NAME[name].attribute)

    def endpoint(self, name: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
        """Return a service with its key.

        UsageError for an unknown name; KeyMissingError, which says what can be done, when the service
        needs a key and there is none. A service on this computer needs none; with --local, no proxy is
        used for it, through which prompts would leave the computer.
        """
        if name not in self.endpoints:
            raise unknown_endpoint(name, self.endpoints)
        endpoint = endpoint_with_key(self.endpoints[name], environ)
        return replace(endpoint, own=True) if self.local and self.endpoints[name].runs_here else endpoint

    def is_free(self, model: str, endpoint: str) -> bool:
        """Return whether a model costs nothing: it runs on this computer, and no price is configured."""
        if endpoint in LOCAL_SERVICES and self.endpoints[endpoint].runs_here:
            return "input_price" not in self.catalogue.configured(model)
        return endpoint == LOCAL

    def with_endpoint(self, name: str, base_url: str, key: str | None = None) -> Settings:
        """Return settings in which that service is at `base_url` (and has this key)."""
        known = self.endpoints.get(name) or EndpointConfig(name, base_url)
        changed = replace(known, base_url=base_url.rstrip("/"), key=key, source="this run")
        return replace(self, endpoints={**self.endpoints, name: changed})

    def processes(self) -> int:
        """Return the number of worker processes: `num_proc`, else one per reference, at most one per core."""
        if self.num_proc is not None:
            return self.num_proc
        if not self.rounds:
            return 1
        layers = self.preset.layers if self._from_preset("reference_models") else (self.reference_models,)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return max(1, min(max(map(len, layers)), cores or 1))

    def notices(self) -> tuple[str, ...]:
        """Return what the user should know before the first prompt, in sentences."""
        if self.local_left_out:
            return (f"Left out of --local, because they cannot chat: {self.local_left_out}.",)
        # A service at another address may still serve what Together no longer does.
        elsewhere = self.endpoints[TOGETHER].source != SHIPPED
        if elsewhere or not (self._from_preset("aggregator") or self._from_preset("reference_models")):
            return ()
        _, sentence = retired(self.preset, self.catalogue, self.default_endpoint)
        return (sentence,) if sentence else ()

    def stored_options(self) -> dict[str, object]:
        """Return the options of the mixture that a stored conversation remembers, as values for JSON."""
        # The default endpoint is stored only if the user has chosen it.
        left_out = {"endpoint"} if self.sources["endpoint"].level is Level.DEFAULTS else set()
        values = {name: self.value(name) for name in _STORED if name not in left_out}
        stored = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        # An empty list would be read as one that is not given.
        return {**stored, "reference_models": stored["reference_models"] or [NONE]}

    def _from_preset(self, name: str) -> bool:
        return self.sources[name].level is Level.PRESET
