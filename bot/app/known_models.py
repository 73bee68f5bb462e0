"""What the settings, services and local files say of models, in the form that the mixture asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.client.adapt import Adaptation
from bot.client.model_list import ListedModel, ModelList
from bot.local.model_files import context_length, shows_tools
from bot.messages import Agent, Endpoint, Usage
from bot.settings.catalogue import Prices, reasoning_fields
from bot.settings.endpoints import DEMO, LOCAL
from bot.settings.extra_body import extra_fields

if TYPE_CHECKING:
    from bot.settings.settings import Settings
    from bot.turn_result import Call


class KnownModels:
    """What the settings know of endpoints and models, in the form the mixture asks for it.

    `listed` are the models that services listed, by endpoint and model.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] = os.environ,
        listed: dict[tuple[str, str], ListedModel] | None = None,
    ) -> None:
        self._settings, self._environ = settings, environ
        self._endpoints: dict[str, Endpoint] = {}
        self._learned: dict[tuple[str, str], int] = {}
        self.listed = {} if listed is None else listed

    def endpoint(self, name: str) -> Endpoint:
        """Return the service of that name; KeyMissingError when its key is missing."""
        if name not in self._endpoints:
            self._endpoints[name] = self._settings.endpoint(name, self._environ)
        return self._endpoints[name]

    def context_length(self, agent: Agent) -> int | None:
        """Return the context length in tokens: as the service named it, else as configured.

        A server on this computer lists what it has loaded its models with, which holds before what is
        known of a model of that name elsewhere.
        """
        learned = self._learned.get((agent.endpoint, agent.model))
        if learned is not None:
            return learned
        if agent.endpoint == LOCAL:
            return context_length(agent.model, self._settings.models_dir)
        catalogue = self._settings.catalogue
        listed = self.listed.get((agent.endpoint, agent.model))
        here = self._settings.endpoints[agent.endpoint].on_this_computer
        if listed and listed.context and here and "context" not in catalogue.configured(agent.model):
            return listed.context
        facts = catalogue.facts(agent.model)
        return facts.context if facts else None

    def learn_context_length(self, agent: Agent, tokens: int) -> None:
        """Remember the context length that a service has named."""
        self._learned[agent.endpoint, agent.model] = tokens

    def request_fields(self, agent: Agent) -> Mapping[str, object]:
        """Return further fields of the request's body: thinking, extra_body, usage in streams."""
        facts = self._settings.catalogue.facts(agent.model)
        config = self._settings.endpoints[agent.endpoint]
        by_model = facts.extra_body if facts else ""
        return {
            **reasoning_fields(facts, agent.reasoning, config.quirks.thinking),
            **extra_fields(config.quirks.extra_body, by_model, agent.extra_body),
            **config.stream_fields,
        }

    def calls_tools(self, agent: Agent) -> bool | None:
        """Return whether the model can call tools, None when nothing is known of it.

        The engine shows none to a model whose chat template has no place for them.
        """
        if agent.endpoint == LOCAL:
            return shows_tools(agent.model, self._settings.models_dir)
        facts = self._settings.catalogue.facts(agent.model)
        return facts.tools if facts else None

    def vision(self, agent: Agent) -> bool | None:
        """Return whether a model takes images, None where that is not known.

        What the user has configured holds before the service's list, and that before the catalogue.
        """
        if agent.endpoint in {DEMO, LOCAL}:
            return False
        catalogue = self._settings.catalogue
        facts, listed = catalogue.facts(agent.model), self.listed.get((agent.endpoint, agent.model))
        if "vision" not in catalogue.configured(agent.model) and listed and listed.vision is not None:
            return listed.vision
        return facts.vision if facts else None

    def sees(self, agent: Agent) -> bool:
        """Return whether a model is known to take images."""
        return bool(self.vision(agent))

    def adaptation(self, endpoint: str, model: str) -> Adaptation:  # noqa: ARG002 - the same at every service
        """Return what is configured about a model's requests, beside what is about its service."""
        facts = self._settings.catalogue.facts(model)
        if facts is None:
            return Adaptation()
        schemas = ("response_format",) if facts.structured_output is False else ()
        return Adaptation(
            (*facts.rejects, *schemas), facts.max_tokens_field, facts.system_role, facts.alternate_roles
        )

    def cost(self, agent: Agent, usage: Usage) -> float | None:
        """Return US dollars, None when price or tokens are unknown; a local model is free."""
        if self._settings.is_free(agent.model, agent.endpoint):
            return 0.0
        known = self._settings.catalogue.prices(agent.model, agent.endpoint)
        listed = self.listed.get((agent.endpoint, agent.model))
        if listed is not None and known.cached_input is None:
            prices = Prices(listed.input_price, listed.output_price, listed.cached_input_price)
            known = prices if known.cost(usage) is None else replace(known, cached_input=prices.cached_input)
        return known.cost(usage)

    def cost_without_cache(self, call: Call) -> float | None:
        """Return what a call would have cost in US dollars had nothing been cached, None if unknown."""
        usage = call.completion.usage if call.completion else Usage()
        if call.cost is None or not usage.cached_tokens:
            return call.cost
        agent = call.slot.agent
        cost, without = self.cost(agent, usage), self.cost(agent, replace(usage, cached_tokens=None))
        # The call's own cost stays in it: prices may have changed since.
        return None if cost is None or without is None else call.cost + without - cost

    def learn_list(self, endpoint: str, model_list: ModelList) -> None:
        """Remember what a service's list says, for models whose price or context is not configured."""
        for model in model_list.models:
            self.listed[endpoint, model.id] = model
