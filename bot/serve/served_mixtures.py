"""Which mixtures the service has: the served one, called `moa`, and the presets by their names.

A preset is asked as `moa-bot --preset NAME` would ask it here: the environment and config.toml
hold, what the service's own command line says of the mixture does not. Making settings reads
files, so every mixture is made once; what a single request says of temperature and lengths
changes only its plan.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.app.app import KnownModels
from bot.app.make_plan import make_plan
from bot.errors import MoaError, UsageError
from bot.serve.api_errors import ApiError, wrong
from bot.serve.request_schema import MAX_REFERENCES, ChatRequest, MoaOptions
from bot.settings.endpoints import LOCAL
from bot.settings.model_names import parse_models

if TYPE_CHECKING:
    from bot.messages import Agent
    from bot.method.plan import Plan
    from bot.settings.settings import Settings

SERVED = "moa"
PREFIX = "preset:"
"""In front of a preset's name where the served mixture has that name."""
MOST_KEPT = 64
THIS_RUN = "this run"
"""The source of an address that `Settings.with_endpoint` has set."""

Resolve = Callable[[Mapping[str, object]], "Settings"]
"""Makes settings anew. With a preset in the mapping, the command line's own mixture is left out."""


@dataclass(frozen=True, slots=True)
class ServedMixture:
    """A mixture's plan, and what is known of its models."""

    plan: Plan
    models: KnownModels


class ServedMixtures:
    """The mixtures of one service. `settings` are those of the open program, demo address and all."""

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._made: OrderedDict[tuple[tuple[str, object], ...], ServedMixture] = OrderedDict()
        self._listed: list[tuple[str, str]] | None = None

    def listed(self) -> list[tuple[str, str]]:
        """Return (id, description) of what can be asked here: the served mixture, then the presets.

        A preset that cannot run here, for want of a key or of its service, is not listed.
        """
        if self._listed is None:
            served = f"The served mixture ({self._settings.preset.name})"
            rest = [
                (name, text) for name in self._settings.presets.names() if (text := self._described(name))
            ]
            self._listed = [(SERVED, served), *((_id(name), text) for name, text in rest)]
        return self._listed

    def find(self, model: str, options: MoaOptions) -> ServedMixture:
        """Return the mixture that a request names and changes.

        ApiError: 404 for a model that is not served here, 400 for changes that make no sense.
        """
        changes: dict[str, object] = {}
        if model != SERVED:
            name = model.removeprefix(PREFIX)
            if name not in self._settings.presets.names():
                raise _unknown(model, "GET /v1/models lists those that are")
            changes["preset"] = name
        base = self._get(changes, model)
        named = {
            "reference_models": options.references,
            "rounds": options.rounds,
            "aggregator": options.aggregator,
        }
        said = {name: value for name, value in named.items() if value is not None}
        if not said:
            return base
        try:
            if len(parse_models(options.references or ())) > MAX_REFERENCES:
                raise wrong(f"moa.references: more than {MAX_REFERENCES} models.", "moa.references")
            return self._make({**changes, **said})
        except (MoaError, ValueError) as problem:
            raise wrong(f"moa: {_words(problem)}", "moa") from None

    def _get(self, changes: dict[str, object], model: str) -> ServedMixture:
        try:
            return self._make(changes)
        except MoaError as problem:
            raise _unknown(model, f"it cannot run here: {problem.message}") from None

    def _make(self, changes: dict[str, object]) -> ServedMixture:
        """Return the mixture with these options changed. MoaError when there can be none."""
        key = tuple(changes.items())
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        settings = self._settle(changes)
        made = ServedMixture(make_plan(settings), KnownModels(settings))
        self._check_local(made.plan)
        for agent in made.plan.agents():
            made.models.endpoint(agent.endpoint)
        self._made[key] = made
        if len(self._made) > MOST_KEPT:
            self._made.popitem(last=False)
        return made

    def _settle(self, changes: Mapping[str, object]) -> Settings:
        if not changes:
            return self._settings
        settings = self._resolve(changes)
        # Services that the program itself has started are known to its own settings alone.
        for name, endpoint in self._settings.endpoints.items():
            if endpoint.source == THIS_RUN:
                settings = settings.with_endpoint(name, endpoint.base_url, endpoint.key)
        return settings

    def _check_local(self, plan: Plan) -> None:
        """Refuse models of the engine inside that the service was not started with.

        They are files: a client must not have the service open, or fetch, any that it names.
        """
        served = {agent.model for agent in make_plan(self._settings).agents() if agent.endpoint == LOCAL}
        if any(agent.endpoint == LOCAL and agent.model not in served for agent in plan.agents()):
            raise UsageError("Models of the engine inside are served only if the service began with them.")

    def _described(self, name: str) -> str:
        """Return a preset's description, "" when it cannot run here. The keyring stays shut."""
        try:
            settings = self._settle({"preset": name})
            plan = make_plan(settings)
            self._check_local(plan)
            for agent in plan.agents():
                endpoint = settings.endpoints[agent.endpoint]
                if not endpoint.base_url or (endpoint.needs_key and not endpoint.key_place(os.environ)):
                    return ""
        except MoaError:
            return ""
        return settings.preset.description or name


def with_overrides(plan: Plan, chat_request: ChatRequest) -> Plan:
    """Return the plan with what the request says of temperature, lengths, seed and system prompt.

    The request's `max_tokens` is about the reply, as in the API; the reference models keep their own.
    The service's system prompt stays first, the request's follows it.
    """
    layers, light = plan.layers, () if plan.light_aggregator is None else (plan.light_aggregator,)
    writers = (plan.aggregator, *light, *plan.fallbacks)
    changes: dict[str, object] = {}
    if chat_request.temperature is not None:
        changes["temperature"] = chat_request.temperature
        layers = tuple(_without(layer, "temperature") for layer in layers)
        writers = _without(writers, "temperature")
    if chat_request.max_tokens is not None:
        changes["max_tokens"] = chat_request.max_tokens
        writers = _without(writers, "max_tokens")
    if chat_request.moa.reference_max_tokens is not None:
        changes["reference_max_tokens"] = chat_request.moa.reference_max_tokens
        layers = tuple(_without(layer, "max_tokens") for layer in layers)
    if chat_request.seed is not None:
        changes["seed"] = chat_request.seed
    if chat_request.system is not None:
        changes["system"] = "\n\n".join(text for text in (plan.system, chat_request.system) if text)
    if light:
        changes["light_aggregator"] = writers[1]
    first, fallbacks = writers[0], writers[1 + len(light) :]
    return replace(plan, layers=layers, aggregator=first, fallbacks=fallbacks, **changes)  # type: ignore[arg-type]  # Plan's own fields


def _without(agents: tuple[Agent, ...], own: str) -> tuple[Agent, ...]:
    """Return the agents without a value of their own, so that the mixture's holds."""
    return tuple(replace(agent, **{own: None}) for agent in agents)  # type: ignore[arg-type]  # both may be None


def _id(preset: str) -> str:
    return f"{PREFIX}{preset}" if preset == SERVED else preset


def _unknown(model: str, why: str) -> ApiError:
    shown = model if model.isprintable() and len(model) <= 100 else "?"  # noqa: PLR2004 - a line's room
    return ApiError(
        404, f"The model `{shown}` is not served here; {why.rstrip('.')}.", "model_not_found", "model"
    )


def _words(problem: Exception) -> str:
    hint = problem.hint if isinstance(problem, MoaError) else ""
    return f"{problem} {hint}".strip()
