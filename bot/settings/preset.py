"""Reads one preset's table, strictly, into a `Preset`.

    description = "…"                         one line for lists; `note` for what else there is to say
    aggregator = "MODEL"                      or a table
    reference_models = ["A", "B*2",           strings, or tables with values of their own
        {model = "C", temperature = 0.2}]
    extra_body = {…}                          further fields of all requests; agents can have their own
    rounds = 2                                and other options of the mixture, by name
    [[layers]]                                instead of reference_models: a layer with its own models
    [agents."MODEL"]                          values of a model, in whatever slots it is

Finding presets is `bot.settings.presets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot.errors import ConfigError
from bot.messages import Agent
from bot.settings.extra_body import merged, read_extra_body
from bot.settings.files import Section
from bot.settings.model_names import parse_models, split_endpoint
from bot.settings.options import BY_NAME, MAX_ROUNDS, PRESET_OPTIONS
from bot.settings.values import describe
from bot.text.nearest import expected_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bot.messages import Reasoning

_REASONING: tuple[Reasoning, ...] = ("off", "low", "medium", "high")
_OWN_KEYS = ("endpoint", "system", "temperature", "max_tokens", "reasoning", "tools", "extra_body")
_KEYS = (
    "description",
    "note",
    "extra_body",
    "aggregator",
    "reference_models",
    "layers",
    "agents",
    *PRESET_OPTIONS,
)
_MODEL = 'a model (a name, or a table such as {model = "NAME", temperature = 0.3})'


@dataclass(frozen=True, slots=True, eq=False)
class Preset:
    """A mixture. An agent's endpoint is "" when the default endpoint is meant.

    `layers` has at least one layer; `model_defaults` the values of a model in whatever slots it is, by
    "MODEL" or "ENDPOINT:MODEL"; `values` options by name; `source` is the file that it comes from,
    `extra_body` are further fields of all its requests (JSON, "" for none).
    """

    name: str
    description: str
    note: str
    aggregator: Agent
    layers: tuple[tuple[Agent, ...], ...]
    model_defaults: Mapping[str, Agent] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)
    source: str = ""
    extra_body: str = ""

    def with_model_defaults(self, agent: Agent) -> Agent:
        """Return the agent with the preset's values for its model where it has none of its own."""
        known = self.model_defaults.get(f"{agent.endpoint}:{agent.model}") or self.model_defaults.get(
            agent.model
        )
        if known is None:
            return replace(agent, extra_body=merged(self.extra_body, agent.extra_body))
        return Agent(
            agent.model,
            agent.endpoint or known.endpoint,
            known.system if agent.system is None else agent.system,
            known.temperature if agent.temperature is None else agent.temperature,
            known.max_tokens if agent.max_tokens is None else agent.max_tokens,
            known.reasoning if agent.reasoning is None else agent.reasoning,
            known.tools if agent.tools is None else agent.tools,
            merged(self.extra_body, known.extra_body, agent.extra_body),
        )

    def agents(self) -> tuple[Agent, ...]:
        """Return the agents of all slots, layer by layer, the aggregator last."""
        return (*(agent for layer in self.layers for agent in layer), self.aggregator)


def read_preset(name: str, section: Section, endpoints: Collection[str]) -> Preset:
    """Return the preset in this table; `endpoints` are the names that may precede a model's.

    ConfigError for any mistake in it.
    """
    return _Reader(section, endpoints).preset(name)


class _Reader:
    """Reads one preset."""

    def __init__(self, root: Section, endpoints: Collection[str]) -> None:
        self.root = root
        self.endpoints = endpoints

    def preset(self, name: str) -> Preset:
        root = self.root
        root.reject_unknown_keys(_KEYS)
        folder = Path(root.file).parent
        values = {key: root.option(BY_NAME[key], folder) for key in PRESET_OPTIONS if key in root}
        if "system" in values and "system_file" in values:
            raise root.error("system_file", "expected either system or system_file, not both")
        layers = self.layers()
        if "layers" in root:
            values.setdefault("rounds", len(layers))
        preset = Preset(
            name,
            root.text("description") or "",
            root.text("note") or "",
            self.aggregator(),
            layers,
            {model: self.agent(section) for model, section in root.sections("agents").items()},
            values,
            str(root.file),
            read_extra_body(root),
        )
        return replace(
            preset,
            aggregator=preset.with_model_defaults(preset.aggregator),
            layers=tuple(tuple(preset.with_model_defaults(agent) for agent in layer) for layer in layers),
        )

    def aggregator(self) -> Agent:
        if "aggregator" not in self.root:
            raise self.root.error("aggregator", f"missing; expected {_MODEL}")
        agents = self.agents_of(self.root.table["aggregator"], self.root.key("aggregator"))
        if len(agents) != 1:
            raise self.root.error("aggregator", f"expected one model, found {len(agents)}")
        return agents[0]

    def layers(self) -> tuple[tuple[Agent, ...], ...]:
        root = self.root
        if root.table.get("rounds") == 0 and not {"layers", "reference_models"} & {*root.table}:
            return ((),)
        if ("layers" in root) == ("reference_models" in root):
            raise root.error("reference_models", "expected either reference_models or [[layers]]")
        if "layers" not in root:
            return (self.layer(root),)
        tables = root.table["layers"]
        if not (isinstance(tables, list) and 1 <= len(tables) <= MAX_ROUNDS):
            raise root.wrong_type("layers", f"from 1 to {MAX_ROUNDS} tables [[layers]]")
        layers = []
        for number, table in enumerate(tables, start=1):
            where = f"{root.key('layers')}[{number}]"
            if not isinstance(table, dict):
                raise self.error(where, f"expected a table [[layers]], found {describe(table)}")
            section = Section(root.file, table, where)
            section.reject_unknown_keys(("reference_models",))
            if "reference_models" not in section:
                raise section.error("reference_models", "missing; expected a list of models")
            layers.append(self.layer(section))
        return tuple(layers)

    def layer(self, section: Section) -> tuple[Agent, ...]:
        items = section.table["reference_models"]
        if not isinstance(items, list):
            raise section.wrong_type("reference_models", "a list of models")
        key = section.key("reference_models")
        numbered = enumerate(items, start=1)
        return tuple(agent for number, item in numbered for agent in self.agents_of(item, f"{key}[{number}]"))

    def agents_of(self, item: object, where: str) -> tuple[Agent, ...]:
        """Read one item of a list, a string or a table; it may stand for several agents."""
        own, text = Agent("", ""), item
        if isinstance(item, dict):
            table = Section(self.root.file, item, where)
            table.reject_unknown_keys(("model", *_OWN_KEYS))
            if "model" not in table:
                raise table.error("model", "missing; expected a model's name")
            own, text, where = self.agent(table), item["model"], table.key("model")
        if not isinstance(text, str):
            raise self.error(where, f"expected {_MODEL}, found {describe(text)}")
        try:
            models = parse_models(text)
            pairs = [(own.endpoint, m) if own.endpoint else split_endpoint(m, self.endpoints) for m in models]
        except ValueError as problem:
            raise self.error(where, f"expected {_MODEL}, found {problem}") from None
        return tuple(replace(own, model=model, endpoint=endpoint) for endpoint, model in pairs)

    def agent(self, section: Section) -> Agent:
        """Read the values of an agent in a table, all but its model."""
        section.reject_unknown_keys(("model", *_OWN_KEYS) if "model" in section else _OWN_KEYS)
        endpoint = section.text("endpoint") or ""
        if endpoint and endpoint not in self.endpoints:
            hint = expected_names(endpoint, list(self.endpoints))
            raise section.error("endpoint", f"no such endpoint; {hint}")
        checked = {
            key: section.option(BY_NAME[key])
            for key in ("temperature", "max_tokens", "tools")
            if key in section
        }
        return Agent(
            "",
            endpoint,
            section.text("system"),
            cast("float | None", checked.get("temperature")),
            cast("int | None", checked.get("max_tokens")),
            cast("Reasoning | None", section.choice("reasoning", _REASONING)),
            cast("tuple[str, ...] | None", checked.get("tools")),
            read_extra_body(section),
        )

    def error(self, where: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.root.file}: {where}: {problem}")
