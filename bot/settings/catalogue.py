"""What is known of the models: context, price, how they think, whether they are still served.

Facts only; the file is read at the first question. Which model sits where is in the presets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from bot.settings import paths
from bot.settings.files import Section, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bot.messages import Reasoning, Usage
    from bot.settings.quirks import Switch

Thinking = Literal["toggle", "effort", "always"]
Status = Literal["deprecated", "retired"]

_THINKING: tuple[Thinking, ...] = ("toggle", "effort", "always")
_STATUS: tuple[Status, ...] = ("deprecated", "retired")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model. None means not known; for `reasoning`, that it does not think.

    `context` and `max_output` in tokens, prices in US dollars per million tokens. `endpoint` is
    the service that the prices are of, "" for any.
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


_NAMES = tuple(field.name for field in fields(ModelFacts))


class Catalogue:
    """All models by id: the shipped ones, and what the user's tables add or correct.

    ConfigError for a mistake in the user's tables when made.
    """

    def __init__(self, own: Mapping[str, Section] | None = None) -> None:
        self._own: dict[str, dict[str, Any]] = {}
        for model, section in (own or {}).items():
            given = _read(section)
            if given.keys() & {"input_price", "output_price"}:
                given.setdefault("endpoint", "")
            self._own[model] = given
        self._shipped: Section | None = None

    def facts(self, model: str) -> ModelFacts | None:
        """Return what is known of a model, None when nothing is."""
        section = self._read_shipped().section(model)
        own = self._own.get(model)
        if section is None and own is None:
            return None
        return ModelFacts(**{**(_read(section) if section else {}), **(own or {})})

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that something is known of."""
        return tuple(dict.fromkeys((*self._read_shipped().table, *self._own)))

    def cost(self, model: str, usage: Usage, endpoint: str = "") -> float | None:
        """Return a call's price in US dollars, None when its price or its tokens are unknown.

        With an `endpoint`, prices of another service do not count.
        """
        facts = self.facts(model)
        if facts is None or facts.input_price is None or facts.output_price is None:
            return None
        if endpoint and facts.endpoint and endpoint != facts.endpoint:
            return None
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        price = usage.prompt_tokens * facts.input_price + usage.completion_tokens * facts.output_price
        return price / _MILLION

    def _read_shipped(self) -> Section:
        if self._shipped is None:
            path = paths.shipped("models.toml")
            self._shipped = Section(path, read_toml(path))
        return self._shipped


def load_catalogue(environ: Mapping[str, str] = os.environ, config_file: Path | None = None) -> Catalogue:
    """Return the catalogue without the rest of the settings. ConfigError for a mistake in config.toml."""
    from bot.settings.user_file import read_user_file

    return Catalogue(read_user_file(config_file or paths.config_file(environ)).models)


def reasoning_fields(
    facts: ModelFacts | None, wish: Reasoning | None, switch: Switch = "reasoning"
) -> dict[str, object]:
    """Return the fields of a request's body that make a model think as wished, as far as it can.

    `switch` is how the service that is asked has its models' thinking switched.
    """
    # A template takes no notice of what it does not know, so an unknown model can be told as well.
    unknown = "toggle" if switch == "chat_template_kwargs" else None
    kind = facts.reasoning if facts else unknown
    if wish is None or switch == "none" or kind not in {"toggle", "effort"}:
        return {}
    if kind == "effort":
        return _effort("low" if wish == "off" else wish, switch)
    on = wish != "off"
    fields: dict[Switch, dict[str, object]] = {
        "reasoning": {"reasoning": {"enabled": on}, **({"reasoning_effort": wish} if on else {})},
        "reasoning_effort": {"reasoning_effort": wish if on else "none"},
        "chat_template_kwargs": {"chat_template_kwargs": {"enable_thinking": on}},
        "think": {"think": on},
        "thinking": {"thinking": {"type": "enabled" if on else "disabled"}},
    }
    return fields[switch]


def _effort(effort: str, switch: Switch) -> dict[str, object]:
    """Return the fields for a model that cannot but think, and can be told how much."""
    if switch == "think":
        return {"think": effort}
    fields: dict[str, object] = {"reasoning_effort": effort}
    if switch == "chat_template_kwargs":
        fields["chat_template_kwargs"] = dict(fields)
    return fields


def _read(section: Section) -> dict[str, Any]:
    section.only(_NAMES)
    given: dict[str, Any] = {
        "context": section.whole("context"),
        "max_output": section.whole("max_output"),
        "input_price": section.price("input_price"),
        "output_price": section.price("output_price"),
        "reasoning": section.choice("reasoning", _THINKING),
        "status": section.choice("status", _STATUS),
        "released": section.text("released"),
        "note": section.text("note"),
        "endpoint": section.text("endpoint"),
    }
    return {name: value for name, value in given.items() if value is not None}
