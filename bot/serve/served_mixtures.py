"""Which mixtures are served: the one the service was started with, called `moa`, and the presets.

A preset runs as with `moa-bot --preset NAME`: environment and config.toml count, the mixture options
of the service's own command line do not. Resolving settings reads files, so mixtures are cached; a
request's temperature and token limits change only its plan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from bot.app.known_models import KnownModels
from bot.app.make_plan import make_plan
from bot.errors import MoaError, UsageError
from bot.serve.api_errors import ApiError, bad_request
from bot.serve.request_schema import MAX_REFERENCES, MoaOptions
from bot.serve.tools import describe
from bot.settings.endpoints import LOCAL
from bot.settings.model_names import parse_models

if TYPE_CHECKING:
    from bot.messages import Agent
    from bot.method.plan import Plan
    from bot.serve.turn_request import TurnRequest
    from bot.settings.settings import Settings

SERVED = "moa"
PREFIX = "preset:"
"""In front of a preset's name where the served mixture has that name."""
MAX_CACHED = 64
THIS_RUN = "this run"
"""The source of an address that `Settings.with_endpoint` has set."""

Resolve = Callable[[Mapping[str, object]], "Settings"]
"""Resolves settings with some options changed; `preset` drops the command line's mixture options."""


@dataclass(frozen=True, slots=True)
class ServedMixture:
    """A mixture's plan, and the endpoints and prices of its models."""

    plan: Plan
    models: KnownModels


class ServedMixtures:
    """The mixtures of one service. `settings` are those of the open `App`, with the demo's address."""

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._cached = lru_cache(MAX_CACHED)(self._make)
        self._listed: list[tuple[str, str]] = []

    def entries(self) -> list[tuple[str, str]]:
        """Return (id, description) of the served mixture and the presets.

        A preset that cannot run, because its key or its service is missing, is left out.
        """
        if not self._listed:
            self._listed = [(SERVED, f"The served mixture ({self._settings.preset.name})")]
            for name in self._settings.presets.names():
                if description := self._description(name):
                    self._listed.append((f"{PREFIX}{name}" if name == SERVED else name, description))
        return self._listed

    def get(self, model: str, options: MoaOptions) -> ServedMixture:
        """Return the mixture that a request names, with its changes.

        ApiError: 404 for a model that is not served here, 400 for changes that are not possible.
        """
        changes: dict[str, object] = {}
        if model != SERVED:
            name = model.removeprefix(PREFIX)
            if name not in self._settings.presets.names():
                raise _unknown(model, "GET /v1/models lists those that are")
            changes["preset"] = name
        try:
            self._cached(tuple(changes.items()))
        except MoaError as problem:
            raise _unknown(model, f"it cannot run here: {problem.message}") from None
        if options.references is not None:
            changes["reference_models"] = tuple(options.references)
        if options.rounds is not None:
            changes["rounds"] = options.rounds
        if options.aggregator is not None:
            changes["aggregator"] = options.aggregator
        try:
            if len(parse_models(options.references or ())) > MAX_REFERENCES:
                raise bad_request(f"moa.references: more than {MAX_REFERENCES} models.", "moa.references")
            return self._cached(tuple(changes.items()))
        except (MoaError, ValueError) as problem:
            hint = problem.hint if isinstance(problem, MoaError) else ""
            raise bad_request(f"moa: {problem} {hint}".rstrip(), "moa") from None

    def _make(self, changes: tuple[tuple[str, object], ...]) -> ServedMixture:
        """Return the mixture with these options changed. MoaError when it cannot run."""
        settings = self._resolved(dict(changes))
        mixture = ServedMixture(make_plan(settings), KnownModels(settings))
        self._check_local(mixture.plan)
        for agent in mixture.plan.agents():
            mixture.models.endpoint(agent.endpoint)
        return mixture

    def _resolved(self, changes: Mapping[str, object]) -> Settings:
        if not changes:
            return self._settings
        settings = self._resolve(changes)
        # The addresses of services that this program started are in its own settings only.
        for name, endpoint in self._settings.endpoints.items():
            if endpoint.source == THIS_RUN:
                settings = settings.with_endpoint(name, endpoint.base_url, endpoint.key)
        return settings

    def _check_local(self, plan: Plan) -> None:
        """Raise UsageError for local models that the service was not started with.

        They are files: a client must not make the service open or download any that it names.
        """
        served = {agent.model for agent in make_plan(self._settings).agents() if agent.endpoint == LOCAL}
        if any(agent.endpoint == LOCAL and agent.model not in served for agent in plan.agents()):
            raise UsageError("Local models are served only if the service was started with them.")

    def _description(self, name: str) -> str:
        """Return a preset's description, "" when it cannot run. Does not open the keyring."""
        try:
            settings = self._resolved({"preset": name})
            plan = make_plan(settings)
            self._check_local(plan)
            for agent in plan.agents():
                endpoint = settings.endpoints[agent.endpoint]
                if not endpoint.base_url or (endpoint.needs_key and not endpoint.key_source(os.environ)):
                    return ""
        except MoaError:
            return ""
        return settings.preset.description or name


def with_overrides(plan: Plan, request: TurnRequest) -> Plan:
    """Return the plan with the request's temperature, token limits, seed, system prompt, tools and format.

    `max_tokens` limits the reply alone, as in the API; reference models keep their own limit. The
    request's system prompt follows the service's own.
    """
    layers, light = plan.layers, () if plan.light_aggregator is None else (plan.light_aggregator,)
    writers = (plan.aggregator, *light, *plan.fallbacks)
    changes: dict[str, object] = {}
    if request.temperature is not None:
        changes["temperature"] = request.temperature
        layers = tuple(_without(layer, "temperature") for layer in layers)
        writers = _without(writers, "temperature")
    if request.max_tokens is not None:
        changes["max_tokens"] = request.max_tokens
        writers = _without(writers, "max_tokens")
    if request.moa.reference_max_tokens is not None:
        changes["reference_max_tokens"] = request.moa.reference_max_tokens
        layers = tuple(_without(layer, "max_tokens") for layer in layers)
    if request.seed is not None:
        changes["seed"] = request.seed
    if request.conversation.system is not None:
        changes["system"] = _joined(plan.system, request.conversation.system)
    if request.reply_fields or request.conversation.prefill:
        # In other modes the aggregator does not write the reply, or not at once.
        changes |= {"reply_fields": request.reply_fields, "mode": "moa", "reply_format": None}
    if "tools" in request.reply_fields:
        told = describe(request.reply_fields["tools"])
        layers = tuple(_told(layer, told) for layer in layers)
    if request.reply_format is not None:
        writers = _told(writers, request.reply_format.instruction())
    if light:
        changes["light_aggregator"] = writers[1]
    first, fallbacks = writers[0], writers[1 + len(light) :]
    return replace(plan, layers=layers, aggregator=first, fallbacks=fallbacks, **changes)  # type: ignore[arg-type]  # Plan's own fields


def _without(agents: tuple[Agent, ...], own: str) -> tuple[Agent, ...]:
    """Return the agents without a value of their own, so that the mixture's is used."""
    return tuple(replace(agent, **{own: None}) for agent in agents)  # type: ignore[arg-type]  # both may be None


def _told(agents: tuple[Agent, ...], text: str) -> tuple[Agent, ...]:
    """Return the agents with a text at the end of their system prompts."""
    return tuple(replace(agent, system=_joined(agent.system, text)) for agent in agents)


def _joined(*texts: str | None) -> str:
    return "\n\n".join(text for text in texts if text)


def _unknown(model: str, why: str) -> ApiError:
    shown = model if model.isprintable() and len(model) <= 100 else "?"  # noqa: PLR2004 - a line's room
    return ApiError(
        404, f"The model `{shown}` is not served here; {why.rstrip('.')}.", "model_not_found", "model"
    )
