"""Facts about models: context, price, how they think, whether they are still served.

The shipped file is read when the first model is looked up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from bot.settings import paths
from bot.settings.extra_body import read_extra_body
from bot.settings.files import Section, read_toml
from bot.settings.quirks import LENGTHS, read_rejects
from bot.settings.user_file import read_user_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.messages import Reasoning, Usage
    from bot.settings.quirks import ThinkingSwitch

Thinking = Literal["toggle", "effort", "always"]
Status = Literal["deprecated", "retired"]

_THINKING: tuple[Thinking, ...] = ("toggle", "effort", "always")
_STATUS: tuple[Status, ...] = ("deprecated", "retired")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """What a model's tokens cost at its service, in US dollars per million; None where not known.

    `cached_input` is for prompt tokens that the service had in its cache.
    """

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Return a call's cost in US dollars, None when its price or its tokens are unknown.

        Without a price of their own, cached tokens cost as much as the others.
        """
        if self.input is None or self.output is None:
            return None
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        cached_input = self.input if self.cached_input is None else self.cached_input
        price = (usage.prompt_tokens - cached) * self.input + cached * cached_input
        return (price + usage.completion_tokens * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model. None means not known; of `reasoning`, that the model does not think.

    `context` and `max_output` are in tokens, prices in US dollars per million tokens. `endpoint` is the
    service whose prices they are, "" for any. `rejects` are fields of a request that the model refuses,
    `max_tokens_field` is its name for that field (None: the service's). Without `system_role` it takes no
    system messages; with `alternate_roles`, no two messages of one role after each other. `vision`: it
    takes images; `tools`: it calls tools; `structured_output`: it keeps to a JSON schema.
    `extra_body` are further fields of its requests (JSON, "" for none).
    """

    context: int | None = None
    max_output: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    reasoning: Thinking | None = None
    status: Status | None = None
    released: str | None = None
    note: str | None = None
    endpoint: str = "together"
    cached_input_price: float | None = None
    rejects: tuple[str, ...] = ()
    max_tokens_field: str | None = None
    system_role: bool = True
    alternate_roles: bool = False
    vision: bool | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    extra_body: str = ""


_PRICES = frozenset({"input_price", "output_price", "cached_input_price"})
_ABILITIES = ("vision", "tools", "structured_output")
_NAMES = tuple(field.name for field in fields(ModelFacts))


class Catalogue:
    """All models by id: the shipped ones, and those of the user's tables, which win.

    The constructor raises ConfigError for a mistake in the user's tables.
    """

    def __init__(self, own: Mapping[str, Section] | None = None) -> None:
        self._own: dict[str, dict[str, Any]] = {}
        for model, section in (own or {}).items():
            given = _read(section)
            if given.keys() & _PRICES:
                given.setdefault("endpoint", "")
            if "input_price" in given:
                # The shipped one belongs to the shipped price.
                given.setdefault("cached_input_price", None)
            self._own[model] = given
        self._shipped: Section | None = None

    def facts(self, model: str) -> ModelFacts | None:
        """Return the facts about a model, None when there are none."""
        section = self._read_shipped().section(model)
        own = self._own.get(model)
        if section is None and own is None:
            return None
        return ModelFacts(**{**(_read(section) if section else {}), **(own or {})})

    def configured(self, model: str) -> frozenset[str]:
        """Return the names of the facts that the user has configured for a model."""
        return frozenset(self._own.get(model) or ())

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of all models."""
        return tuple(dict.fromkeys((*self._read_shipped().table, *self._own)))

    def cost(self, model: str, usage: Usage, endpoint: str = "") -> float | None:
        """Return a call's price in US dollars, None when its price or its tokens are unknown.

        With an `endpoint`, prices of another service are not used.
        """
        return self.prices(model, endpoint).cost(usage)

    def prices(self, model: str, endpoint: str = "") -> Prices:
        """Return a model's prices; with an `endpoint`, none of another service's."""
        facts = self.facts(model)
        if facts is None or (endpoint and facts.endpoint and endpoint != facts.endpoint):
            return Prices()
        return Prices(facts.input_price, facts.output_price, facts.cached_input_price)

    def _read_shipped(self) -> Section:
        if self._shipped is None:
            path = paths.shipped_file("models.toml")
            self._shipped = Section(path, read_toml(path))
        return self._shipped


def load_catalogue(environ: Mapping[str, str] = os.environ, config_file: Path | None = None) -> Catalogue:
    """Return the catalogue without the rest of the settings. ConfigError for a mistake in config.toml."""
    return Catalogue(read_user_file(config_file or paths.config_file(environ)).models)


def reasoning_fields(
    facts: ModelFacts | None, level: Reasoning | None, switch: ThinkingSwitch = "reasoning"
) -> dict[str, object]:
    """Return the fields of a request's body that set how much a model thinks, as far as that is possible.

    `switch` says with which field the service sets it.
    """
    # A chat template ignores variables that it does not use, so an unknown model can be sent the field.
    unknown = "toggle" if switch == "chat_template_kwargs" else None
    kind = facts.reasoning if facts else unknown
    if level is None or switch == "none" or kind not in {"toggle", "effort"}:
        return {}
    if kind == "effort":
        return _effort("low" if level == "off" else level, switch)
    on = level != "off"
    fields: dict[ThinkingSwitch, dict[str, object]] = {
        "reasoning": {"reasoning": {"enabled": on}, **({"reasoning_effort": level} if on else {})},
        "reasoning_effort": {"reasoning_effort": level if on else "none"},
        "chat_template_kwargs": {"chat_template_kwargs": {"enable_thinking": on}},
        "think": {"think": on},
        "thinking": {"thinking": {"type": "enabled" if on else "disabled"}},
    }
    return fields[switch]


def _effort(effort: str, switch: ThinkingSwitch) -> dict[str, object]:
    """Return the fields for a model that always thinks, and lets the request say how much."""
    if switch == "think":
        return {"think": effort}
    fields: dict[str, object] = {"reasoning_effort": effort}
    if switch == "chat_template_kwargs":
        fields["chat_template_kwargs"] = dict(fields)
    return fields


def _read(section: Section) -> dict[str, Any]:
    section.reject_unknown_keys(_NAMES)
    given: dict[str, Any] = {
        "context": section.positive_int("context"),
        "max_output": section.positive_int("max_output"),
        "input_price": section.price("input_price"),
        "output_price": section.price("output_price"),
        "cached_input_price": section.price("cached_input_price"),
        "rejects": read_rejects(section) if "rejects" in section else None,
        "max_tokens_field": section.choice("max_tokens_field", LENGTHS),
        "system_role": section.boolean("system_role"),
        "alternate_roles": section.boolean("alternate_roles"),
        **{name: section.boolean(name) for name in _ABILITIES},
        "reasoning": section.choice("reasoning", _THINKING),
        "status": section.choice("status", _STATUS),
        "released": section.text("released"),
        "note": section.text("note"),
        "endpoint": section.text("endpoint"),
        "extra_body": read_extra_body(section) if "extra_body" in section else None,
    }
    return {name: value for name, value in given.items() if value is not None}
